//! Which program asked, from its user agent: name, version, operating system, architecture, and whether it is a bot.
//!
//! The table of programs stands in `table`; what a user agent may nest or hide (Docker's client inside the engine's,
//! pip's JSON, a robot inside a browser's name) is taken apart here.

mod platform;
mod products;
mod table;

use platform::Platform;
use products::{nested_upstream, product, products};

/// The part of a user agent that is looked at.
pub const USER_AGENT_BYTES_MAX: usize = 1024;
/// Versions are cut there.
const VERSION_BYTES_MAX: usize = 64;

/// A client program. What the user agent does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The program, by its usual name in lower case.
    pub name: Option<&'static str>,
    /// Its version, as it says it.
    pub version: Option<String>,
    /// The operating system: linux, macos, windows, freebsd, android, ios.
    pub os: Option<&'static str>,
    /// The architecture, as image platforms name it: amd64, arm64, 386, arm, ...
    pub arch: Option<&'static str>,
    /// It says, or is known, to be a robot: it never counts.
    pub bot: bool,
    /// It says that it runs in continuous integration.
    pub ci: bool,
}

/// Recognizes the program that sent a user agent.
pub fn recognize(user_agent: &str) -> Client {
    let end = user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
    let user_agent = user_agent.get(..end).unwrap_or_default().trim();
    let program = table::program(user_agent);
    if let Some(nested) = nested_upstream(user_agent) {
        return docker(user_agent, program, &nested);
    }
    let may_be_bot = program.is_none_or(|program| program.name == table::BROWSER);
    if may_be_bot && let Some(bot) = table::bot(user_agent) {
        return Client { name: Some(bot), bot: true, ..plain(user_agent, None) };
    }
    match user_agent.split_once(" {") {
        Some((head, details)) => installer(head, details),
        None => plain(user_agent, program),
    }
}

/// The engine speaks for a client: the engine pulls and has the name; what it does not say is asked of the client.
fn docker(user_agent: &str, engine: Option<&'static table::Program>, nested: &str) -> Client {
    let own = user_agent.split_once("UpstreamClient(").map_or(user_agent, |(own, _)| own);
    let engine = plain(own, engine);
    let inner = plain(nested, table::program(nested));
    Client {
        name: engine.name.or(inner.name),
        version: engine.version.or(inner.version),
        os: engine.os.or(inner.os),
        arch: engine.arch.or(inner.arch),
        bot: false,
        ci: false,
    }
}

/// pip and uv: the product, then a JSON object about the machine.
fn installer(head: &str, details: &str) -> Client {
    let mut client = plain(head, table::program(head));
    let json = format!("{{{details}");
    let Ok(details) = serde_json::from_str::<serde_json::Value>(&json) else {
        // Cut off by somebody on the way: its words still say what machine it is.
        return Client { os: platform::os_of(&json), arch: platform::arch_of(&json), ..client };
    };
    let text = |pointer| details.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    client.os = platform::os_of(text("/system/name"));
    client.arch = platform::arch_of(text("/cpu"));
    client.ci = details.pointer("/ci").and_then(serde_json::Value::as_bool).unwrap_or_default();
    client
}

fn plain(user_agent: &str, row: Option<&'static table::Program>) -> Client {
    let platform = Platform::of(user_agent);
    let version = row.and_then(|row| version(user_agent, row));
    Client { name: row.map(|row| row.name), version, os: platform.os, arch: platform.arch, bot: false, ci: false }
}

fn version(user_agent: &str, row: &table::Program) -> Option<String> {
    let found = match row.version {
        table::Version::Product(wanted) => product(user_agent, wanted)?,
        table::Version::Comment => products(user_agent).find_map(|product| product.comment)?,
        table::Version::None => return None,
    };
    let found = found.trim_start_matches(['v', 'V']);
    let end = found.floor_char_boundary(VERSION_BYTES_MAX);
    found.get(..end).filter(|version| version.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests;
