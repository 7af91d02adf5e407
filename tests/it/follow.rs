//! `whopulls follow` behind a real nginx whose log is rotated, and behind one that is copied and emptied.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::{block_on, free_port, number, query, wait_until};

/// A server with a log, and a folder for the table.
struct Scene {
    folder: TempDir,
    port: u16,
    nginx: Process,
    asked: u32,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (dir, port) = (folder.path().display(), free_port());
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|what| format!("{what}_temp_path {dir}/{what};")).join(" ");
        let configuration = format!(
            "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr; events {{ }}\n\
             http {{ {temporary} access_log {dir}/access.log combined;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 'a download'; }} }} }}"
        );
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration).expect("a configuration");
        let nginx = Process::start("nginx", Command::new("nginx").arg("-c").arg(&config).arg("-e").arg("stderr"));
        wait_until("nginx listens", Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { folder, port, nginx, asked: 0 }
    }

    fn log(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("access.log{suffix}"))
    }

    /// Asks for so many files, each of its own name.
    fn ask(&mut self, count: u32) {
        let client = reqwest::Client::new();
        for _ in 0..count {
            self.asked += 1;
            let url = format!("http://127.0.0.1:{}/downloads/file-{}", self.port, self.asked);
            let answer = block_on(client.get(url).send()).expect("nginx answers");
            assert!(answer.status().is_success());
        }
    }

    /// As logrotate does it.
    fn rotate(&mut self) {
        fs::rename(self.log(""), self.log(".1")).expect("the log is moved");
        self.nginx.signal("USR1");
        wait_until("nginx has opened a new log", Duration::from_secs(10), || self.log("").exists());
    }
}

fn follow(data: &Path, log: &Path) -> Process {
    fs::create_dir_all(data).expect("a folder");
    let config = data.join("whopulls.toml");
    fs::write(&config, format!("data = '{}'\n[enrich]\nflush_s = 1\n", data.display())).expect("a configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_whopulls"));
    command.args(["follow", "--path", "/downloads/{package}", "--config"]).arg(&config).arg(log);
    Process::start("follow", &mut command)
}

#[track_caller]
fn wait_for(data: &Path, rows: u64, follow: &Process) {
    wait_until("every request is in the table", Duration::from_secs(40), || {
        number(data, "select count(*) from events") >= rows
    });
    assert_eq!(number(data, "select count(*) from events"), rows, "{}", follow.log_text());
    assert_eq!(number(data, "select count(distinct package) from events"), rows);
}

#[test]
fn every_request_is_in_the_table_once_whatever_happens_to_the_log_and_to_its_reader() {
    let mut scene = Scene::new();
    let data = scene.folder.path().join("data");
    let mut following = follow(&data, &scene.log(""));
    scene.ask(200);
    following.line_with("following");
    scene.rotate();
    scene.ask(200);
    following.line_with("rotated");
    scene.ask(100);
    wait_for(&data, 500, &following);
    // Killed while lines come, and the log is rotated twice before it is back; the older one is packed.
    scene.ask(50);
    following.signal("KILL");
    drop(following);
    scene.ask(100);
    fs::rename(scene.log(".1"), scene.log(".2")).expect("moved");
    scene.rotate();
    scene.ask(100);
    let packed = Command::new("gzip").arg(scene.log(".1")).status().expect("gzip runs");
    assert!(packed.success());
    fs::rename(scene.log(".1.gz"), scene.log(".3.gz")).expect("moved");
    scene.rotate();
    scene.ask(100);
    let mut following = follow(&data, &scene.log(""));
    following.line_with("reading a rotated log to its end");
    scene.ask(50);
    wait_for(&data, 900, &following);
    // A stop is no loss, and the next start begins where it was.
    following.stop();
    scene.ask(50);
    let following = follow(&data, &scene.log(""));
    wait_for(&data, 950, &following);
    assert!(!following.log_text().contains("127.0.0.1 "), "no address: {}", following.log_text());
    let addresses = query(&data, "select distinct client_net from events");
    assert_eq!(addresses, [["127.0.0.0/24"]]);
}

#[test]
fn a_log_that_is_copied_and_emptied_is_read_to_its_end_and_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("access.log"));
    let line = |number: u32| {
        let (minute, second) = (number / 60 % 60, number % 60);
        format!(
            "198.51.100.7 - - [17/May/2015:08:{minute:02}:{second:02} +0000] \"GET /downloads/file-{number} HTTP/1.1\" 200 490 \"-\" \"curl/8.5.0\"\n"
        )
    };
    let append = |numbers: std::ops::Range<u32>| {
        let mut file = OpenOptions::new().create(true).append(true).open(&log).expect("the log");
        let text: String = numbers.map(line).collect();
        file.write_all(text.as_bytes()).expect("written");
    };
    append(0..200);
    let mut following = follow(&data, &log);
    following.line_with("following");
    wait_for(&data, 200, &following);
    // Half a line is none yet.
    let (half, rest) = (line(200), "not a request\n");
    let mut file = OpenOptions::new().append(true).open(&log).expect("the log");
    file.write_all(&half.as_bytes()[..40]).expect("written");
    append(0..0);
    std::thread::sleep(Duration::from_secs(1));
    file.write_all(&half.as_bytes()[40..]).and_then(|()| file.write_all(rest.as_bytes())).expect("written");
    wait_for(&data, 201, &following);
    // The copy has lines that the reader has not seen when the log is emptied, and the new one is longer than the old.
    following.signal("STOP");
    append(201..260);
    fs::copy(&log, folder.path().join("access.log.1")).expect("copied");
    OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(0)).expect("emptied");
    append(260..900);
    following.signal("CONT");
    wait_for(&data, 900, &following);
    let letters = fs::read_dir(data.join("dead-letters")).expect("a folder of letters");
    let text: String = letters.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    assert_eq!(text.matches("not a request").count(), 1, "{text}");
}
