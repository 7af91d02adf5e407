//! Refused records on a machine without Kafka: one JSON object a line, synced before the worker goes past them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;
use whopulls_enrich::worker::source::DeadLetter;

/// The file of one source's dead letters. Topic, partition and offset tell a letter that was written twice.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    path: PathBuf,
}

impl DeadLetters {
    /// The file of `topic` in the data folder. It is made with the first letter.
    pub(crate) fn of(data: &Path, topic: &str) -> Self {
        Self { path: data.join("dead-letters").join(format!("{topic}.ndjson")) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the letters. They are durable when this returns.
    pub(crate) fn keep(&self, letters: &[DeadLetter]) -> io::Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(&self.path);
        std::fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(lines(letters).as_bytes())?;
        file.sync_data()?;
        File::open(folder)?.sync_all()
    }

    /// Removes the file, where there is one. For an import, which finds the same letters each time.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn lines(letters: &[DeadLetter]) -> String {
    let mut text = String::new();
    for DeadLetter { topic, partition, offset, reason, payload } in letters {
        let mut line = json!({"topic": topic, "partition": partition, "offset": offset, "reason": reason});
        match std::str::from_utf8(payload) {
            Ok(payload) => line["payload"] = payload.into(),
            Err(_) => line["payload_base64"] = base64::engine::general_purpose::STANDARD.encode(payload).into(),
        }
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_kept_with_their_bytes_whatever_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let letters = DeadLetters::of(folder.path(), "spool-x");
        let letter = |offset, payload: &'static [u8]| DeadLetter {
            topic: "spool-x".to_owned(),
            partition: 0,
            offset,
            reason: "not_json".to_owned(),
            payload: payload.into(),
        };
        letters.keep(&[letter(1, b"a\nb")]).expect("kept");
        letters.keep(&[letter(2, b"\xff")]).expect("kept");
        let text = std::fs::read_to_string(letters.path()).expect("a file");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["payload"], "a\nb");
        assert_eq!(lines[1]["payload_base64"], "/w==");
        letters.remove().expect("removed");
        assert!(!letters.path().exists());
    }
}
