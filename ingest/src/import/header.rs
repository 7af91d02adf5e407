//! Lines that say how the lines after them are to be read: CloudFront's directives, the first line of a CSV file.

use std::sync::Arc;

use whopulls_schemas::docker::REPORT_COLUMNS;
use whopulls_schemas::{RejectReason, Rejected};

use super::LogFormat;
use super::format::{cloudfront, csv_line, gcs, scarf};

/// Which cell of a line is which.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    places: Vec<(&'static str, usize)>,
}

impl Columns {
    /// Of the names, those that are `known` are found again; the others are passed over.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, known: &[&'static str]) -> Self {
        let place = |(at, name): (usize, &str)| Some((*known.iter().find(|known| **known == name)?, at));
        Self { places: names.enumerate().filter_map(place).collect() }
    }

    /// The cell of this name, where the line has it.
    pub(super) fn cell<T: Copy>(&self, cells: &[T], name: &str) -> Option<T> {
        let (_, at) = self.places.iter().find(|(known, _)| *known == name)?;
        cells.get(*at).copied()
    }
}

/// What the lines so far said of those to come.
#[derive(Debug, Clone, Default)]
pub(super) enum Header {
    /// Nothing: the format's own order of columns.
    #[default]
    Absent,
    Columns(Arc<Columns>),
    /// A version that is not known: no line is read until another is said.
    UnknownVersion,
}

/// A line that is a header: what it says, and whether it is itself refused.
pub(super) struct HeaderLine {
    pub(super) header: Header,
    pub(super) rejected: Option<Rejected>,
}

impl HeaderLine {
    fn taken(header: Header) -> Self {
        Self { header, rejected: None }
    }
}

/// What `line` says of the next ones; `None` for a line that is no header of this format.
pub(super) fn read(line: &[u8], format: LogFormat, now: &Header) -> Option<HeaderLine> {
    match format {
        LogFormat::CloudFront => directive(line.strip_prefix(b"#")?, now),
        LogFormat::Gcs => csv_header(line, b"time_micros", &gcs::COLUMNS),
        LogFormat::Scarf => csv_header(line, b"id", &scarf::COLUMNS),
        LogFormat::Docker => csv_header(line, b"DATE_GRANULARITY", &REPORT_COLUMNS),
        LogFormat::Nginx
        | LogFormat::Apache
        | LogFormat::ApacheVhost
        | LogFormat::Caddy
        | LogFormat::Alb
        | LogFormat::S3
        | LogFormat::Fastly
        | LogFormat::Rubygems
        | LogFormat::Linehaul
        | LogFormat::Registry
        | LogFormat::Artifactory
        | LogFormat::Whopulls => None,
    }
}

/// `#Version: 1.0`, `#Fields: date time …`; others are remarks.
#[expect(clippy::unnecessary_wraps, reason = "every line of this form is a header")]
fn directive(directive: &[u8], now: &Header) -> Option<HeaderLine> {
    let is_known = !matches!(now, Header::UnknownVersion);
    if let Some(version) = directive.strip_prefix(b"Version:") {
        if version.trim_ascii() == b"1.0" {
            return Some(HeaderLine::taken(if is_known { now.clone() } else { Header::Absent }));
        }
        return Some(HeaderLine { header: Header::UnknownVersion, rejected: Some(unknown_version()) });
    }
    match directive.strip_prefix(b"Fields:") {
        Some(names) if is_known => {
            let names = String::from_utf8_lossy(names);
            let columns = Columns::new(names.split_ascii_whitespace(), &cloudfront::COLUMNS);
            Some(HeaderLine::taken(Header::Columns(Arc::new(columns))))
        }
        _ => Some(HeaderLine::taken(now.clone())),
    }
}

pub(super) fn unknown_version() -> Rejected {
    Rejected::field(RejectReason::UnsupportedSchema, "#Version", "this build reads CloudFront's version 1.0")
}

/// A line that begins with the name of the format's first column, quoted or not.
fn csv_header(line: &[u8], first: &[u8], known: &[&'static str]) -> Option<HeaderLine> {
    // Spreadsheets put a byte order mark before the first line.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    if !line.strip_prefix(b"\"").unwrap_or(line).starts_with(first) {
        return None;
    }
    let cells = csv_line::cells(line).ok()?;
    let names = csv_line::texts(&cells);
    if names.first().map(|name| name.as_bytes()) != Some(first) {
        return None;
    }
    Some(HeaderLine::taken(Header::Columns(Arc::new(Columns::new(names.into_iter(), known)))))
}
