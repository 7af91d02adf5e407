//! A child process whose log is read as it comes, and which does not outlive its test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{now, wait_until};

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a program; its standard error and output are its log.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("start {name}: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let keep = |log: Arc<Mutex<Vec<String>>>, lines: Box<dyn Iterator<Item = std::io::Result<String>> + Send>| {
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    log.lock().expect("no panic under the lock").push(line);
                }
            });
        };
        keep(Arc::clone(&log), Box::new(BufReader::new(stdout).lines()));
        keep(Arc::clone(&log), Box::new(BufReader::new(stderr).lines()));
        Self { name: name.to_owned(), child, log }
    }

    /// The first line of the log that holds `text`, once it is there.
    #[track_caller]
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        self.line_with_any(&[text])
    }

    /// The first line that has one of these texts in it.
    pub(crate) fn line_with_any(&mut self, texts: &[&str]) -> String {
        let started = now();
        loop {
            let found = self
                .log
                .lock()
                .expect("no panic under the lock")
                .iter()
                .find(|line| texts.iter().any(|text| line.contains(text)))
                .cloned();
            if let Some(line) = found {
                return line;
            }
            let ended = self.child.try_wait().expect("it can be asked");
            let late = started.elapsed() > Duration::from_mins(1);
            assert!(
                !late && ended.is_none(),
                "no {texts:?} from {} (ended: {ended:?}):\n{}",
                self.name,
                self.log_text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that it said so far.
    pub(crate) fn log_text(&self) -> String {
        self.log.lock().expect("no panic under the lock").join("\n")
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().expect("kill runs");
        assert!(sent.success(), "send {signal} to {}", self.name);
    }

    /// Kills it without a warning and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end, and waits for it.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let mut status = None;
        wait_until(&format!("the end of {}: {}", self.name, self.log_text()), Duration::from_mins(1), || {
            status = self.child.try_wait().expect("it can be asked");
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{} ended badly: {}", self.name, self.log_text());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The value of `key=…` in a line of a log.
pub(crate) fn value_in(line: &str, key: &str) -> String {
    let at = line.find(&format!("{key}=")).unwrap_or_else(|| panic!("no {key} in {line}"));
    let rest = line.get(at + key.len() + 1..).unwrap_or_default();
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}
