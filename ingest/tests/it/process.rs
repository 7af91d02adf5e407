//! The gateway as a process of its own: stopped in order, and killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_schemas::raw::{RawAccess, stamp};

use crate::support::{client, until};

/// The program, running.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(dir: &Path) -> Self {
        Self::start_with(&write_config(dir))
    }

    /// The program with this configuration file.
    pub(crate) fn start_with(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_whopulls-gateway"))
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its log is ours")).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = lines
            .by_ref()
            .inspect(|line| log.lock().expect("nobody panics with it").push(line.clone()))
            .find_map(|line| line.split_once("gateway listening addr=")?.1.trim().parse().ok())
            .expect("the gateway says where it listens");
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().expect("nobody panics with it").push(line)));
        Self { child, address, log }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").join("\n")
    }

    /// Sends it a signal, as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill starts").success());
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM");
        let mut ended = None;
        until("the process ends", async || {
            ended = self.child.try_wait().expect("the process is ours to wait for");
            ended.is_some()
        })
        .await;
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    }

    async fn ask(&self, package: &str) {
        let response = client().get(format!("http://{}/f/{package}", self.address)).send().await.expect("an answer");
        assert_eq!(response.status(), 302);
    }
}

/// One rule for files.
fn write_config(dir: &Path) -> PathBuf {
    let config = dir.join("whopulls.toml");
    let text = format!(
        "data = \"{}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n[[route]]\nid = \"f\"\nkind = \"file\"\n\
         match = \"/f/{{package}}\"\nto = \"https://example.org/{{package}}\"\n",
        dir.display()
    );
    std::fs::write(&config, text).expect("the configuration is written");
    config
}

/// A test that fails leaves no process behind.
impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().and_then(|()| self.child.wait()).expect("the process is ours to end");
        }
    }
}

fn recorded(dir: &Path) -> BTreeSet<String> {
    let (spool, _) = Spool::open(SpoolOptions::new(dir.join("spool"))).expect("the spool opens");
    let mut reader = spool.reader("test").expect("the reader opens");
    let records = reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
    let packages: Vec<String> = records
        .iter()
        .map(|r| RawAccess::decode(&stamp(spool.node(), r.seq, &r.payload)).expect("the record is good"))
        .filter_map(|record| record.package)
        .collect();
    let count = packages.len();
    let distinct: BTreeSet<String> = packages.into_iter().collect();
    assert_eq!(distinct.len(), count, "a record is there twice");
    distinct
}

#[tokio::test]
async fn a_killed_gateway_has_kept_every_request_that_it_answered() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut asked = BTreeSet::new();
    for kill in 0..5 {
        let mut process = Process::start(dir.path());
        for i in 0..=kill * 3 {
            let package = format!("p{kill}-{i}");
            process.ask(&package).await;
            asked.insert(package);
        }
        process.child.kill().expect("the process is ours to end");
        process.child.wait().expect("the process ends");
    }
    assert_eq!(recorded(dir.path()), asked);
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_ends_well() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let process = Process::start(dir.path());
    process.ask("p").await;
    process.stop().await;
    assert_eq!(recorded(dir.path()), BTreeSet::from(["p".to_owned()]));
}

#[tokio::test]
async fn a_gateway_whose_log_nobody_reads_any_more_answers_and_ends_well() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = write_config(dir.path());
    let mut child = Command::new(env!("CARGO_BIN_EXE_whopulls-gateway"))
        .arg("--config")
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway starts");
    let mut lines = BufReader::new(child.stderr.take().expect("its log is ours")).lines().map_while(Result::ok);
    let address = lines.by_ref().find_map(|line| line.split_once("gateway listening addr=")?.1.trim().parse().ok());
    drop(lines);
    let process = Process { child, address: address.expect("it says where it listens"), log: Arc::default() };
    // The log says that the file is refused, to nobody.
    std::fs::write(&config, "nonsense").expect("the configuration is written");
    process.signal("HUP");
    process.ask("p").await;
    process.stop().await;
    assert_eq!(recorded(dir.path()), BTreeSet::from(["p".to_owned()]));
}
