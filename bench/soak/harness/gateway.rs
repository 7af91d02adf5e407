//! The gateway's process: its configuration, its memory, its end, and the spool that it leaves.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whopulls_ingest::spool::Spool;
use whopulls_ingest::spool_options;
use whopulls_schemas::config::Config;
use whopulls_schemas::raw::{Outcome, RawAccess, stamp};

use super::account::{Account, Recorded};
use super::upstreams::Upstreams;
use super::{Plan, Without};

/// How long the gateway may take to start, and to stop.
const START_WAIT: Duration = Duration::from_secs(30);
const STOP_WAIT: Duration = Duration::from_mins(1);

pub(crate) struct Gateway {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    pub(crate) async fn start(dir: &Path, plan: &Plan, upstreams: &Upstreams) -> Self {
        let path = dir.join("whopulls.toml");
        std::fs::write(&path, configuration(dir, plan, upstreams)).expect("the configuration is written");
        let log_path = dir.join("gateway.log");
        let log = File::create(&log_path).expect("the log is made");
        let process = Command::new(&plan.gateway)
            .arg("--config")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the gateway starts");
        let said = async {
            loop {
                let log = std::fs::read_to_string(&log_path).expect("the log is read");
                let whole = log.lines().filter(|_| log.ends_with('\n'));
                let mut said =
                    whole.filter_map(|line| line.split_once("gateway listening addr=")?.1.trim().parse().ok());
                if let Some(address) = said.next_back() {
                    return address;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let address = tokio::time::timeout(START_WAIT, said).await;
        let address = address.unwrap_or_else(|_| panic!("the gateway does not listen: see {}", log_path.display()));
        Self { process, address }
    }

    /// Samples of its resident memory in bytes, until `stop`.
    pub(crate) fn memory(
        &self,
        every: Duration,
        stop: CancellationToken,
    ) -> impl Future<Output = Vec<u64>> + Send + 'static {
        let status = format!("/proc/{}/status", self.process.id());
        async move {
            let mut samples = Vec::new();
            while !stop.is_cancelled() {
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kib = resident.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
                samples.push(kib.expect("the gateway runs") * 1024);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(every) => {}
                }
            }
            samples
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill starts").success());
        let ended = tokio::task::spawn_blocking(move || {
            let status = self.process.wait();
            (self, status)
        });
        let (_, status) =
            tokio::time::timeout(STOP_WAIT, ended).await.expect("it stops in time").expect("the wait ends");
        assert!(status.expect("the gateway ends").success(), "the gateway does not end well");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A run that failed leaves no process behind; one that was stopped is gone already.
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.process.kill().expect("the process is ours to end");
            self.process.wait().expect("the process ends");
        }
    }
}

fn configuration(dir: &Path, plan: &Plan, upstreams: &Upstreams) -> String {
    let (first, second) = upstreams.addresses();
    let timeout_s = plan.upstream_timeout.as_secs().max(1);
    let fallback = if plan.without.contains(&Without::Fallback) { "" } else { "fallback = \"second\"" };
    let stale_max_h = if plan.without.contains(&Without::Stale) { 0 } else { 168 };
    format!(
        r#"
data = "{data}"
[gateway]
listen = "127.0.0.1:0"
upstream_networks = ["127.0.0.0/8"]
[cache]
# Short, so that tags are asked for again and again.
ttl_s = 1
stale_max_h = {stale_max_h}
[spool]
# All records of the longest run: they are counted at the end.
bytes_max = "60 GiB"
[[upstream]]
id = "first"
url = "http://{first}"
timeout_s = {timeout_s}
[[upstream]]
id = "second"
url = "http://{second}"
timeout_s = 10
[[route]]
id = "both"
kind = "oci"
match = "both/{{image}}"
name = "up/{{image}}"
upstream = "first"
{fallback}
[[route]]
id = "alone"
kind = "oci"
match = "alone/{{image}}"
name = "only/{{image}}"
upstream = "first"
[[route]]
id = "files"
kind = "file"
match = "/f/{{package}}/{{version}}"
to = "https://files.example.org/{{package}}/{{version}}"
"#,
        data = dir.display()
    )
}

/// Reads the whole spool that a stopped gateway left.
pub(crate) async fn recorded(dir: &Path, account: &Arc<Account>) -> Recorded {
    let text = std::fs::read_to_string(dir.join("whopulls.toml")).expect("the configuration is there");
    let asked = account.asked();
    tokio::task::spawn_blocking(move || {
        let config = Config::parse("whopulls.toml", &text, &[]).expect("the configuration is good");
        let (spool, _) = Spool::open(spool_options(&config).expect("it has a place")).expect("the spool opens");
        let mut reader = spool.reader("soak").expect("the reader opens");
        let mut recorded = Recorded::default();
        loop {
            let records = reader.read(10_000, 16 << 20).expect("nothing is damaged");
            if records.is_empty() {
                return recorded;
            }
            for record in records {
                let record = RawAccess::decode(&stamp(spool.node(), record.seq, &record.payload));
                let record = record.expect("the record is good");
                let agent = record.user_agent.as_deref().and_then(|agent| agent.strip_prefix("soak/"));
                let id = agent.and_then(|id| id.parse().ok()).filter(|id| *id < asked);
                let outcome = record.outcome.map_or("none", Outcome::as_str);
                recorded.enter(id, outcome, record.upstream.as_deref() == Some("second"));
            }
        }
    })
    .await
    .expect("the spool is read")
}
