//! Another configuration while requests are answered, by the real process.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::support::{client, header, until};

const CLIENTS: usize = 32;
const RELOADS: usize = 50;

struct Place {
    _dir: tempfile::TempDir,
    config: PathBuf,
    data: PathBuf,
    admin: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // The program does not say in its configuration which free port it took: one is chosen for it.
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let admin = free.local_addr().expect("a port");
        Self { config: dir.path().join("whopulls.toml"), data: dir.path().join("data"), admin, _dir: dir }
    }

    fn write(&self, rules: &str) {
        self.write_to(&self.config, "", rules);
    }

    fn write_to(&self, path: &Path, gateway: &str, rules: &str) {
        let (data, admin) = (self.data.display(), self.admin);
        let text = format!(
            "data = \"{data}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"{admin}\"\n{gateway}\n{rules}"
        );
        std::fs::write(path, text).expect("the configuration is written");
    }

    async fn metric(&self, name: &str) -> f64 {
        let page = client().get(format!("http://{}/metrics", self.admin)).send().await.expect("an answer");
        let page = page.text().await.expect("text");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
    }

    async fn reloads(&self, result: &str) -> f64 {
        self.metric(&format!("whopulls_config_reloads_total{{result=\"{result}\"}}")).await
    }
}

/// A rule that says by where it leads which configuration it is of.
fn rule(number: usize) -> String {
    format!(
        "[[route]]\nid = \"f\"\nkind = \"file\"\nmatch = \"/f/{{package}}\"\nto = \"https://n{number}.example.org/{{package}}\"\n"
    )
}

async fn location(process: &Process) -> String {
    let answer = client().get(format!("http://{}/f/p", process.address)).send().await.expect("an answer");
    header(&answer, "location").unwrap_or_default().to_owned()
}

/// One client on one connection that is never opened again: a dropped request or a closed connection panics.
async fn ask_until(address: SocketAddr, over: &AtomicBool, newest: &AtomicUsize) -> (usize, BTreeSet<usize>) {
    let (reader, mut writer) = TcpStream::connect(address).await.expect("a connection").into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut count, mut seen) = (0, BTreeSet::new());
    while !over.load(Ordering::Relaxed) {
        let oldest = newest.load(Ordering::SeqCst).saturating_sub(1);
        writer.write_all(b"GET /f/p HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the connection stays");
        let mut found = None;
        let mut status = None;
        loop {
            let line = lines.next_line().await.expect("the connection stays").expect("the connection is not closed");
            if line.is_empty() {
                break;
            }
            status.get_or_insert_with(|| line.clone());
            found = found.or_else(|| line.to_ascii_lowercase().strip_prefix("location: https://n").map(String::from));
        }
        assert_eq!(status.as_deref(), Some("HTTP/1.1 302 Found"));
        let number = found.and_then(|text| text.split('.').next()?.parse().ok());
        let number: usize = number.expect("one of the rules answered");
        assert!(number >= oldest, "rule {number} answered after rule {oldest} was in use");
        seen.insert(number);
        count += 1;
    }
    (count, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_drop_no_request() {
    let place = Place::new();
    place.write(&rule(0));
    let process = Process::start_with(&place.config);
    let (over, newest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, over, newest) = (process.address, Arc::clone(&over), Arc::clone(&newest));
            tokio::spawn(async move { ask_until(address, &over, &newest).await })
        })
        .collect();
    for number in 1..=RELOADS {
        place.write(&rule(number));
        process.signal("HUP");
        // A signal may meet a look that takes the change: it is in use when the rule says so.
        let leads = format!("https://n{number}.example.org/p");
        until("the rule is in use", async || location(&process).await == leads).await;
        newest.store(number, Ordering::SeqCst);
    }
    over.store(true, Ordering::Relaxed);
    let (mut count, mut seen) = (0, BTreeSet::new());
    for client in clients {
        let (asked, found) = client.await.expect("no request of the client was dropped");
        count += asked;
        seen.extend(found);
    }
    assert!(count >= CLIENTS * RELOADS, "the clients asked only {count} times");
    assert!(seen.len() > RELOADS / 2, "the clients met only the rules {seen:?}");
    let all = f64::from(u32::try_from(RELOADS).expect("a small number"));
    until("the last one is counted", async || place.reloads("taken").await >= all).await;
    assert!(place.reloads("refused").await.abs() < f64::EPSILON);
    process.stop().await;
}

#[tokio::test]
async fn a_bad_file_is_refused_whole_and_the_old_rules_stay_until_it_is_mended() {
    let place = Place::new();
    place.write(&rule(1));
    let process = Process::start_with(&place.config);
    let first = "https://n1.example.org/p";
    assert_eq!(location(&process).await, first);

    place.write(&format!("{}colour = \"red\"\n[[route]]\nid = \"f\"\nkind = \"tape\"\n", rule(2)));
    process.signal("HUP");
    until("the file is refused", async || place.reloads("refused").await > 0.5).await;
    // The mistakes are lines of their own, in the order of the file.
    until("every mistake is told", async || process.log().contains("tape")).await;
    let log = process.log();
    assert!(log.contains("ERROR") && log.contains("the one before it stays in use"), "{log}");
    assert!(log.contains("2 mistakes") && log.contains("`route.colour`"), "{log}");
    assert_eq!(location(&process).await, first);
    assert!(place.metric("whopulls_config_last_reload_successful").await < 0.5);

    // A rule that only its compilation finds wrong.
    place.write(&rule(3).replace("/f/{package}\"", "/f/{package\""));
    process.signal("HUP");
    until("the rule is refused", async || place.reloads("refused").await > 1.5).await;
    assert_eq!(location(&process).await, first);

    place.write(&rule(4));
    process.signal("HUP");
    until("the mended file is in use", async || location(&process).await == "https://n4.example.org/p").await;
    // The rules are in use an instant before that is counted.
    until("it is counted", async || place.metric("whopulls_config_last_reload_successful").await > 0.5).await;
    process.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_taken_without_a_signal_also_when_a_link_turns() {
    let place = Place::new();
    // As Kubernetes mounts a ConfigMap: the file is a link into a folder that is itself a link, and the folder's link is turned.
    let dir = place.config.parent().expect("a folder").to_owned();
    for (folder, number) in [("one", 1), ("two", 2)] {
        std::fs::create_dir(dir.join(folder)).expect("a folder");
        place.write_to(&dir.join(folder).join("whopulls.toml"), "", &rule(number));
    }
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, dir.join("new")).expect("a link");
        std::fs::rename(dir.join("new"), dir.join("now")).expect("the link turns");
    };
    link("one");
    std::os::unix::fs::symlink("now/whopulls.toml", &place.config).expect("a link");
    let process = Process::start_with(&place.config);
    assert_eq!(location(&process).await, "https://n1.example.org/p");
    link("two");
    until("the other file is in use", async || location(&process).await == "https://n2.example.org/p").await;
    // In place, as an editor writes.
    place.write_to(&dir.join("two").join("whopulls.toml"), "", &rule(3));
    until("the changed file is in use", async || location(&process).await == "https://n3.example.org/p").await;
    until("both are counted", async || place.reloads("taken").await > 1.5).await;
    assert!(place.reloads("taken").await < 2.5, "one was read twice");
    process.stop().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_is_taken() {
    let place = Place::new();
    place.write(&rule(1));
    let process = Process::start_with(&place.config);
    place.write_to(&place.config, "connections_max = 7\nthreads = 3", &format!("[spool]\nage_max_h = 5\n{}", rule(2)));
    process.signal("HUP");
    until("the rule is in use", async || location(&process).await == "https://n2.example.org/p").await;
    until("the warning is written", async || process.log().contains("wait for a restart")).await;
    let log = process.log();
    assert!(log.contains("gateway.threads, gateway.connections_max, spool"), "{log}");
    process.stop().await;
}
