//! Which program asked, from its user agent: name, version, operating system, architecture, and whether it is a robot.
//!
//! The table of programs is `clients.csv`, the list of robots `bots.csv`; what a user agent may nest or hide (a client inside
//! Docker's engine, pip's JSON, a robot inside a browser's name) is taken apart here. Who or what asked is decided in `automation`.

mod automation;
mod bots;
mod platform;
mod products;
mod table;
mod words;

pub use automation::{Automation, automation, automation_rules};
pub use table::Class;

use platform::Platform;
use products::UserAgent;
use table::Program;

/// The part of a user agent that is looked at.
pub const USER_AGENT_BYTES_MAX: usize = 1024;
/// Versions are cut there.
const VERSION_BYTES_MAX: usize = 64;
/// The engine that nests its clients' user agents.
const DOCKER: &str = "docker";

/// A client program. What the user agent does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The program, by its usual name in lower case.
    pub name: Option<&'static str>,
    /// Its version, as it says it.
    pub version: Option<String>,
    /// The operating system: linux, macos, windows, freebsd, android, ios; the distribution where it says nothing else.
    pub os: Option<&'static str>,
    /// The architecture, as image platforms name it: amd64, arm64, 386, arm, ...
    pub arch: Option<&'static str>,
    /// What sort of program it is.
    pub class: Option<Class>,
    /// It says, or is known, to be a robot, or a program that only looks: it never counts.
    pub bot: bool,
    /// It says that it runs in continuous integration.
    pub ci: bool,
}

/// Recognizes the program that sent a user agent.
pub fn recognize(user_agent: &str) -> Client {
    let end = user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
    let user_agent = UserAgent::parse(user_agent.get(..end).unwrap_or_default().trim());
    let program = table::program(&user_agent);
    let is_docker = program.is_some_and(|program| program.name == DOCKER);
    if is_docker && let Some(nested) = user_agent.nested_upstream() {
        return docker(&user_agent, &nested);
    }
    // A program that is known is no robot, whatever it is called (regbot); behind a browser or a library may stand anything.
    let class = program.map(|program| program.class);
    let may_be_bot = matches!(class, None | Some(Class::Browser | Class::Library));
    if may_be_bot && let Some(bot) = bots::bot(&user_agent.lower, class == Some(Class::Browser)) {
        return Client { name: Some(bot), class: Some(Class::Bot), bot: true, ..plain(&user_agent, None) };
    }
    let client = plain(&user_agent, program);
    match user_agent.details {
        Some(details) => with_details(client, details),
        None => client,
    }
}

/// Docker's engine asks for a client, whose user agent it nests. The client is what was used, if it names itself; where the image
/// goes is the engine's machine.
fn docker(user_agent: &UserAgent<'_>, nested: &str) -> Client {
    let own = user_agent.text.split_once("UpstreamClient(").map_or(user_agent.text, |(own, _)| own);
    let own = UserAgent::parse(own.trim());
    let engine = plain(&own, table::program(&own));
    let nested = UserAgent::parse(nested);
    let inner = plain(&nested, table::program(&nested));
    let ci = engine.ci || inner.ci;
    let (os, arch) = (engine.os.or(inner.os), engine.arch.or(inner.arch));
    let is_its_own = inner.name == engine.name;
    if is_its_own || matches!(inner.class, None | Some(Class::Library)) {
        let version = engine.version.or_else(|| inner.version.filter(|_| is_its_own));
        return Client { version, os, arch, ci, ..engine };
    }
    // One that watches for new versions does not look here: it has the engine pull what runs there.
    let class = inner.class.map(|class| if class == Class::Watcher { Class::Runtime } else { class });
    Client { os, arch, class, bot: false, ci, ..inner }
}

/// pip and uv: after the product a JSON object about the machine, of which the length bounds the work.
fn with_details(client: Client, details: &str) -> Client {
    let Ok(details) = serde_json::from_str::<serde_json::Value>(details) else {
        // Cut off, here or on the way: its words, of which `plain` has seen those of the machine, still say something.
        return Client { ci: details.contains("\"ci\":true"), ..client };
    };
    let text =
        |pointer| details.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let ci = details.pointer("/ci").and_then(serde_json::Value::as_bool).unwrap_or_default();
    Client { os: platform::os_of(&text("/system/name")), arch: platform::arch_of(&text("/cpu")), ci, ..client }
}

fn plain(user_agent: &UserAgent<'_>, program: Option<&'static Program>) -> Client {
    let Platform { os, arch } = Platform::of(&user_agent.lower);
    Client {
        name: program.map(|program| program.name),
        version: program.and_then(|program| program.version_in(user_agent)).and_then(version),
        os,
        arch,
        class: program.map(|program| program.class),
        bot: program.is_some_and(|program| program.class == Class::Watcher),
        ci: user_agent.says_ci(),
    }
}

/// A version as it stands in the column: without the `v` before it, and only if it begins with a number.
fn version(found: &str) -> Option<String> {
    let found = found.trim_start_matches(['v', 'V']).split([',', ';', ')']).next().unwrap_or_default();
    let end = found.floor_char_boundary(VERSION_BYTES_MAX);
    found.get(..end).filter(|version| version.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests;
