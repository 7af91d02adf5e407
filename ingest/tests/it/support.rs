//! What several tests need: a gateway with its spool, a registry, a token server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whopulls_ingest::GatewayRole;
use whopulls_ingest::spool::{Reader, Spool};
use whopulls_schemas::config::Config;
use whopulls_schemas::raw::{RawAccess, stamp};

/// No state that a test waits for takes longer on any machine that runs it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) spool: Spool,
    reader: Reader,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// A gateway on a free port; `gateway` are further keys of its section, `rest` further sections.
    pub(crate) async fn start(gateway: &str, rest: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().display();
        let text = format!("data = \"{data}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n{gateway}\n{rest}\n");
        let config = Config::parse("test", &text, &[]).expect("the configuration is good");
        let role = GatewayRole::open(&config).await.expect("the gateway opens");
        let (address, admin, spool) = (role.local_addr(), role.admin_addr(), role.spool().clone());
        let reader = spool.reader("test").expect("the reader opens");
        let stop = CancellationToken::new();
        let task = tokio::spawn(role.run(stop.clone()));
        Self { dir, address, admin, spool, reader, stop, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The records since the last call, as the next in line gets them. A record is there before the answer is.
    pub(crate) fn records(&mut self) -> Vec<RawAccess> {
        let records = self.reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
        let node = self.spool.node();
        let decode = |seq, payload: &[u8]| RawAccess::decode(&stamp(node, seq, payload)).expect("the record is good");
        records.iter().map(|r| decode(r.seq, &r.payload)).collect()
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("the gateway stops in time");
        ended.expect("the gateway does not panic").expect("the gateway stops well");
    }
}

/// A client that shows what it gets.
pub(crate) fn client() -> reqwest::Client {
    let none = reqwest::redirect::Policy::none();
    reqwest::Client::builder().redirect(none).no_proxy().build().expect("a client")
}

pub(crate) fn header<'a>(response: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("a header is text"))
}

/// Whether a program that a test needs is here. In CI its absence fails the test; elsewhere it is said loudly.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
#[expect(clippy::disallowed_methods, reason = "CI says so in its environment")]
pub(crate) fn is_here(path: &Path) -> bool {
    let here = path.exists();
    assert!(here || std::env::var("CI").is_err(), "{} is missing", path.display());
    if !here {
        eprintln!("SKIPPED: {} is missing", path.display());
    }
    here
}

pub(crate) fn program(name: &str) -> PathBuf {
    Path::new("/usr/bin").join(name)
}

/// Waits for a state, with a bound.
pub(crate) async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}
