//! Real parts for the tests: processes, a broker, a registry; each with its own folder and port, each stopped by its own id.

pub(crate) mod file_server;
pub(crate) mod kafka;
pub(crate) mod load;
pub(crate) mod past;
pub(crate) mod pipe;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod registry;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// The repository's folder.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Real data that is not part of the repository. `None`, said loudly, on a machine that does not have it; in CI its absence
/// is a failure.
#[expect(clippy::print_stderr, reason = "a test that is not run is said loudly")]
pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let path = repository().join("../shared/data").join(file);
    if path.exists() {
        return Some(path);
    }
    #[expect(clippy::disallowed_methods, reason = "only CI says that it is CI")]
    let in_ci = std::env::var("CI").is_ok();
    assert!(!in_ci, "{} must be there in CI", path.display());
    eprintln!("SKIPPED: {} is not on this machine", path.display());
    None
}

/// Waits for a state, and fails with `what` when it does not come.
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let started = now();
    while !holds() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits by the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs `whopulls` to its end and gives what it printed.
#[track_caller]
pub(crate) fn whopulls(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_whopulls")).args(arguments).output().expect("whopulls runs");
    Output {
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
        success: output.status.success(),
    }
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

impl Output {
    /// The standard output of a command that must succeed.
    #[track_caller]
    pub(crate) fn expect_success(self) -> String {
        assert!(self.success, "{}\n{}", self.stderr, self.stdout);
        self.stdout
    }
}

/// The rows of a query, each a list of cells, without the head.
#[track_caller]
pub(crate) fn query(data: &Path, sql: &str) -> Vec<Vec<String>> {
    let data = data.to_str().expect("a text path");
    let csv = whopulls(&["sql", "--data", data, "--rows-max", "1000000", "--format", "csv", sql]).expect_success();
    csv.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The one number that a query gives; 0 while there is no table.
pub(crate) fn number(data: &Path, sql: &str) -> u64 {
    let path = data.to_str().expect("a text path");
    let output = whopulls(&["sql", "--data", path, "--format", "csv", sql]);
    if !output.success && output.stderr.contains("no table") {
        return 0;
    }
    let csv = output.expect_success();
    csv.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("no number in {csv:?}"))
}

/// Loopback with a port.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs a future to its end, on a runtime that all tests share.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    RUNTIME.block_on(future)
}

/// The value of a metric without labels.
pub(crate) fn metric(address: &str, name: &str) -> Option<f64> {
    let text = metrics(address);
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// All metrics of a role.
pub(crate) fn metrics(address: &str) -> String {
    let text = block_on(async { reqwest::get(format!("http://{address}/metrics")).await?.text().await });
    text.expect("the role answers")
}
