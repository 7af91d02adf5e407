//! How far a log is read, kept on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::step::FileId;

/// The first line of a log that is no header: what tells it from others, also when it was renamed, copied or packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The start of its SHA-256.
    pub(super) hash: String,
}

impl Head {
    pub(super) fn of(line: &[u8]) -> Self {
        Self { hash: short_hash(&[line]) }
    }
}

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) file: FileId,
    pub(super) head: Head,
    /// What the log's records are called, wherever it goes.
    pub(super) node: String,
    /// Bytes that are read, of the unpacked content.
    pub(super) offset: u64,
}

impl Cursor {
    /// The beginning of a log.
    pub(super) fn at_start(file: FileId, head: Head) -> Self {
        let place = [file.device.to_be_bytes(), file.inode.to_be_bytes()].concat();
        let node = format!("follow-{}", short_hash(&[&place, head.hash.as_bytes()]));
        Self { file, head, node, offset: 0 }
    }

    /// Where the cursor of a path is kept.
    pub(super) fn path(folder: &Path, log: &Path) -> PathBuf {
        folder.join(format!("{}.json", short_hash(&[log.as_os_str().as_encoded_bytes()])))
    }

    /// The one that was kept; `None` where there is none.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let value: Value = serde_json::from_slice(&text)?;
        let number = |name: &str| value[name].as_u64();
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let cursor = || {
            let file = FileId { device: number("device")?, inode: number("inode")? };
            let head = Head { hash: text("head")? };
            Some(Self { file, head, node: text("node")?, offset: number("offset")? })
        };
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no cursor; remove it to begin anew");
        cursor().map(Some).ok_or_else(wrong)
    }

    /// Keeps it: whole or not at all, and durable when this returns.
    pub(super) fn save(&self, path: &Path, log: &Path) -> io::Result<()> {
        let text = json!({
            "log": log.to_string_lossy(), "device": self.file.device, "inode": self.file.inode, "head": self.head.hash, "node": self.node,
            "offset": self.offset,
        });
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.to_string().as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

fn short_hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    data_encoding::HEXLOWER.encode(hasher.finalize().get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_damage_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (log, path) = (Path::new("/var/log/a.log"), Cursor::path(dir.path(), Path::new("/var/log/a.log")));
        assert_ne!(path, Cursor::path(dir.path(), Path::new("/var/log/b.log")));
        assert_eq!(Cursor::load(&path).expect("nothing is there"), None);
        let start = Cursor::at_start(FileId { device: u64::MAX, inode: 2 }, Head::of(b"a line"));
        let cursor = Cursor { offset: 77, ..start.clone() };
        cursor.save(&path, log).expect("it is kept");
        assert_eq!(Cursor::load(&path).expect("it is read"), Some(cursor));
        fs::write(&path, "{}").expect("written");
        assert!(Cursor::load(&path).is_err());
        let other = Cursor::at_start(FileId { device: u64::MAX, inode: 2 }, Head::of(b"another line"));
        assert_ne!(start.node, other.node, "a file that was emptied is another log");
    }
}
