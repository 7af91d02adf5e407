//! The log goes to standard error; standard output is for answers.

use std::io::Write as _;

use tracing_subscriber::EnvFilter;

use crate::Command;

/// What the libraries of the table say at INFO is for their makers; a commit that another writer was faster than is an error to them and a
/// round more to us; and librdkafka calls every lost connection an error: the
/// roles say themselves what does not answer. The resolver tells names, which are addresses written backwards.
const QUIET: &str = "hickory_net=off,hickory_resolver=off,hickory_proto=off,buoyant_kernel=warn,deltalake_core=warn,deltalake_core::kernel::transaction=off,librdkafka=off,rdkafka=off";

/// Starts the log. Roles tell what they do; one-time commands only what went wrong. `WHOPULLS_LOG` says otherwise.
pub(crate) fn start(command: &Command, json: bool) {
    let level = match command {
        Command::Up | Command::Gateway | Command::Enrich | Command::Serve | Command::Follow(_) => "info",
        Command::Demo(_)
        | Command::Import(_)
        | Command::Export(_)
        | Command::Sql(_)
        | Command::Orgs(_)
        | Command::Check
        | Command::Explain(_)
        | Command::Overrides(_)
        | Command::Recount(_)
        | Command::Forget(_)
        | Command::EndpointKey(_)
        | Command::Geo(_) => "warn",
    };
    let filter = EnvFilter::try_from_env("WHOPULLS_LOG").unwrap_or_else(|_| EnvFilter::new(format!("{level},{QUIET}")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Where nobody reads the log any more, saying so would panic, and what was logged from would end with it.
    let log = log.log_internal_errors(false);
    if json { log.json().init() } else { log.init() }
}

/// Tells a person why the command failed.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut text = String::from("error: ");
    for (depth, cause) in error.chain().enumerate() {
        if depth > 0 {
            text.push_str(": ");
        }
        text.push_str(cause.to_string().trim_end());
    }
    // Nothing is left to tell it to if this fails.
    drop(writeln!(std::io::stderr(), "{text}"));
}
