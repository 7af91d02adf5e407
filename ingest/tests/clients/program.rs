//! The clients as programs: where they are, what they are given, how long they may take.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use regex::Regex;
use tokio::process::Command;

use crate::authority::Authority;

/// No client takes longer for a few megabytes on any machine that runs this.
const PATIENCE: Duration = Duration::from_mins(2);

/// When a client has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// `make test` installs it: in CI its absence is a failure, elsewhere it is said loudly.
    Always,
    /// `make test-clients` installs it; other runs leave it out, since its version may be any.
    WithAllClients,
}

/// A client's program, or `None` where the test is to be left out.
pub(crate) fn find(name: &str, need: Need) -> Option<PathBuf> {
    let all = variable("CLIENTS").is_some_and(|clients| clients == "all");
    if need == Need::WithAllClients && !all {
        skipped(&format!("{name} is for `make test-clients`"));
        return None;
    }
    let mut places = vec![installed()];
    places.extend(std::env::split_paths(&variable("PATH").unwrap_or_default()));
    places.extend(["/usr/sbin", "/usr/bin"].map(PathBuf::from));
    let found = places.iter().map(|place| place.join(name)).find(|path| path.is_file());
    assert!(
        found.is_some() || variable("CI").is_none(),
        "{name} is missing: scripts/setup or scripts/clients installs it"
    );
    if found.is_none() {
        skipped(&format!("{name} is missing"));
    }
    found
}

/// Said past the test harness, which shows what a test prints only when it fails.
fn skipped(why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {why}").expect("somebody reads what tests say");
}

/// Where `scripts/clients prepare` puts what it builds.
fn installed() -> PathBuf {
    let home = || PathBuf::from(variable("HOME").unwrap_or_default()).join(".cache");
    variable("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("whopulls/clients-1/bin")
}

#[expect(clippy::disallowed_methods, reason = "the tests are told by their environment what must be there")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A command with nothing of the caller's environment: only a home of its own and the certificate authority to trust.
pub(crate) fn command(program: &Path, home: &Path, authority: &Authority) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"] {
        command.env(name, &authority.ca);
    }
    command.current_dir(home).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end and shows what it said when it failed.
pub(crate) async fn run(command: &mut Command) -> Output {
    let ran = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ran.expect("the client ends in time").expect("the client starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{:?} ended with {}\n{}{}",
        command.as_std(),
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
    output
}

/// The first version number that a client says.
pub(crate) async fn version(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = run(command.args(arguments).stdin(Stdio::null())).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = Regex::new(r"[0-9]+\.[0-9]+(\.[0-9]+)?").expect("a good pattern");
    number.find(&text).expect("the client says its version").as_str().to_owned()
}
