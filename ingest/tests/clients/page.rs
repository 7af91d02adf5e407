//! `docs/clients.md`: the page that says what each client does, and the expectation that each run is compared with.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::program::variable;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clients.md");

/// One run at a time reads and writes the page.
static WRITING: Mutex<()> = Mutex::new(());

/// What one client did.
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    pub(crate) version: String,
    pub(crate) how: &'static str,
    pub(crate) pulls: Vec<Pulled>,
}

/// What one pull did.
#[derive(Clone)]
pub(crate) struct Pulled {
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<String>,
    /// The bodies that the gateway sent.
    pub(crate) gateway_bytes: u64,
    /// The bodies that the storage sent.
    pub(crate) storage_bytes: u64,
}

impl Section {
    fn text(&self) -> String {
        let mut text = format!("\nVersion {}: {}\n\n", self.version, self.how);
        text += "| pull | requests | through the gateway | from the storage |\n|---|---|---|---|\n";
        for pull in &self.pulls {
            let (gateway, storage) = (kilobytes(pull.gateway_bytes), kilobytes(pull.storage_bytes));
            writeln!(text, "| {} | {} | {gateway} | {storage} |", pull.name, pull.lines.len()).expect("text grows");
        }
        for pull in &self.pulls {
            write!(text, "\n{}:\n\n```\n{}\n```\n", pull.name, pull.lines.join("\n")).expect("text grows");
        }
        text
    }
}

fn kilobytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100);
    format!("{}.{} kB", tenths / 10, tenths % 10)
}

/// Fails when the page says something else of a client than this run, apart from its version.
pub(crate) fn check(section: &Section) {
    check_text(section.heading, &section.text());
}

/// Fails when the page says something else under a heading than `seen`, apart from versions. With `CLIENTS_PAGE=write` the page
/// then says what was seen.
pub(crate) fn check_text(heading: &str, seen: &str) {
    // A run that failed meanwhile has left the page whole: it is written at once.
    let held = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let page = std::fs::read_to_string(PAGE).expect("docs/clients.md is read");
    let (before, said, after) = split(&page, heading);
    if said != seen && variable("CLIENTS_PAGE").is_some_and(|wish| wish == "write") {
        std::fs::write(PAGE, format!("{before}{seen}{after}")).expect("docs/clients.md is written");
    }
    drop(held);
    let (said, seen) = (without_version(said), without_version(seen));
    assert!(said == seen, "{heading}: docs/clients.md says\n{said}\nthis run saw\n{seen}");
}

/// The page before, in and after the section of a client, which begins behind its heading.
fn split<'a>(page: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let heading = format!("\n## {name}\n");
    let start = page.find(&heading).map(|at| at + heading.len());
    let (before, rest) = page.split_at(start.unwrap_or_else(|| panic!("docs/clients.md has no section {name}")));
    // The newline before the next heading is the heading's.
    let (section, after) = rest.split_at(rest.find("\n## ").unwrap_or(rest.len()));
    (before, section, after)
}

fn without_version(section: &str) -> String {
    let lines =
        section.lines().map(|line| match line.strip_prefix("Version ").and_then(|rest| rest.split_once(": ")) {
            Some((_version, how)) => how,
            None => line,
        });
    lines.collect::<Vec<_>>().join("\n")
}
