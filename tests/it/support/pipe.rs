//! A pipe on Kafka: the configuration and the roles of it, each a process of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::kafka::Kafka;
use super::load::OwnList;
use super::process::{Process, value_in};
use super::{free_port, loopback, now, number, query};

/// The topic of raw records.
pub(crate) const TOPIC: &str = "access.raw";

/// A folder with a configuration.
pub(crate) struct Pipe {
    folder: TempDir,
    gateway_port: u16,
}

impl Pipe {
    /// A pipe whose images come from `registry` and whose records go through `kafka`. The topic is made with three partitions.
    pub(crate) fn new(kafka: &Kafka, registry: &str) -> Self {
        kafka.create_topic(TOPIC, 3);
        kafka.create_topic("access.dead", 1);
        let pipe = Self { folder: tempfile::tempdir().expect("a folder"), gateway_port: free_port() };
        pipe.write_config("whopulls.toml", kafka, registry, 1);
        pipe
    }

    /// A configuration of the same pipe whose worker writes every `flush_s` seconds.
    pub(crate) fn write_config(&self, name: &str, kafka: &Kafka, registry: &str, flush_s: u64) -> PathBuf {
        let path = self.folder.path().join(name);
        let text = format!(
            r#"
data = "{data}"
[gateway]
listen = "127.0.0.1:{port}"
trusted_proxies = ["127.0.0.0/8"]
[[route]]
id = "images"
kind = "oci"
match = "load/{{image}}"
name = "acme/app"
upstream = "{registry}"
[[route]]
id = "files"
kind = "file"
match = "/files/{{package}}/{{serial}}.tar.gz"
to = "https://downloads.example.org/{{package}}/{{serial}}.tar.gz"
[kafka]
brokers = "{brokers}"
[kafka.options]
"session.timeout.ms" = "2000"
"heartbeat.interval.ms" = "300"
[enrich]
flush_s = {flush_s}
admin_listen = "127.0.0.1:0"
"#,
            data = self.data().display(),
            port = self.gateway_port,
            brokers = kafka.brokers(),
        );
        std::fs::write(&path, text).expect("a configuration");
        path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        loopback(self.gateway_port)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("whopulls.toml")
    }

    pub(crate) fn start_gateway(&self) -> Process {
        let mut gateway = role("gateway", &self.config());
        let line = gateway.line_with("gateway listening");
        assert_eq!(value_in(&line, "addr"), self.gateway().to_string());
        gateway
    }

    pub(crate) fn start_worker(&self) -> Process {
        role("enrich", &self.config())
    }

    /// Waits until as many events are there as the client saw answered, and then compares one by one.
    #[track_caller]
    pub(crate) fn check(&self, list: &OwnList, roles: &[&Process]) {
        let data = self.data();
        let events = "select count(*) from events";
        let expected = list.answered.len() as u64;
        let started = now();
        loop {
            let there = number(&data, events);
            if there >= expected {
                break;
            }
            let logs = || roles.iter().map(|role| role.log_text()).collect::<Vec<_>>().join("\n\n");
            assert!(started.elapsed() < Duration::from_mins(2), "{there} of {expected} are in the table\n{}", logs());
            std::thread::sleep(Duration::from_millis(200));
        }
        let mut missing: BTreeSet<&String> = list.answered.iter().collect();
        let rows = query(&data, "select path, count(*), count(distinct id) from events group by path");
        let (mut twice, mut unknown) = (Vec::new(), Vec::new());
        for row in &rows {
            let path = row.first().expect("a path");
            if row.get(1).map(String::as_str) != Some("1") {
                twice.push(row.clone());
            }
            if !missing.remove(path) && !list.unanswered.contains(path) {
                unknown.push(path.clone());
            }
        }
        assert!(
            missing.is_empty() && twice.is_empty() && unknown.is_empty(),
            "lost {missing:?}, twice {twice:?}, unknown {unknown:?}"
        );
        assert_eq!(number(&data, events), number(&data, "select count(distinct id) from events"));
    }
}

/// Starts a role with a configuration.
pub(crate) fn role(name: &str, config: &Path) -> Process {
    role_with(name, config, &[])
}

/// Starts a role with a configuration and environment variables.
pub(crate) fn role_with(name: &str, config: &Path, environment: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whopulls"));
    command.args([name, "--config"]).arg(config).envs(environment.iter().copied()).env("NO_COLOR", "1");
    Process::start(name, &mut command)
}
