//! CloudFront's standard log: cells between tabs, named by the line `#Fields:`.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use whopulls_schemas::Rejected;

use super::super::entry::{Entry, Request, optional};
use super::super::header::{Columns, Header, unknown_version};
use super::super::iso_time;
use super::super::part::{Text, address, byte_count, micros_of_text, number, present, status, text, wrong};

/// The columns that are read, among them those of the order that CloudFront has kept since its first logs.
pub(in super::super) const COLUMNS: [&str; 18] = [
    "date",
    "time",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "x-host-header",
    "cs-protocol",
    "time-taken",
    "cs-protocol-version",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
];

/// The order for lines before which no `#Fields:` stands. Newer columns were added at the end.
const ORDER: [&str; 33] = [
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
];

pub(super) fn parse<'a>(line: &'a [u8], header: &Header) -> Result<Entry<'a>, Rejected> {
    match header {
        Header::Columns(columns) => entry(line, columns),
        Header::Absent => entry(line, &Columns::new(ORDER.into_iter(), &COLUMNS)),
        Header::UnknownVersion => Err(unknown_version()),
    }
}

fn entry<'a>(line: &'a [u8], columns: &Columns) -> Result<Entry<'a>, Rejected> {
    let cells: Vec<&[u8]> = line.split(|byte| *byte == b'\t').collect();
    if cells.len() < 2 {
        return Err(wrong("line", "no tab between cells"));
    }
    let cell = |name: &str| columns.cell(&cells, name);
    let required = |name: &str| cell(name).ok_or_else(|| wrong(name, "missing"));
    let time = iso_time::of_parts(required("date")?, required("time")?).ok_or_else(|| wrong("date", "not a time"))?;
    let target = target(required("cs-uri-stem")?, cell("cs-uri-query"));
    let protocol = optional(cell("cs-protocol-version"));
    let fields = ["cs-method", "cs-uri-stem"];
    let request = Request::of_parts(text(required("cs-method")?), target, protocol.as_deref(), fields)?;
    let mut entry = Entry::new(time, request, status(required("sc-status")?, "sc-status")?);
    // The length of the body where it is told: `sc-bytes` has the head of the answer too.
    let length = cell("sc-content-len").filter(|cell| *cell != b"-").or_else(|| cell("sc-bytes"));
    entry.bytes = byte_count(length.unwrap_or(b"-"), "sc-bytes")?;
    entry.duration_us = cell("time-taken").and_then(micros_of_text).unwrap_or_default();
    entry.address = cell("c-ip").and_then(|cell| address(&text(cell)));
    entry.host = optional(cell("x-host-header")).or_else(|| optional(cell("cs(Host)")));
    entry.tls = matches!(cell("cs-protocol"), Some(b"https" | b"wss"));
    entry.user_agent = cell("cs(User-Agent)").and_then(|cell| present(user_agent(cell)));
    entry.referer = cell("cs(Referer)").and_then(|cell| present(decoded(cell)));
    entry.range_start = cell("sc-range-start").and_then(number);
    entry.media_type = cell("sc-content-type").and_then(|cell| present(decoded(cell)));
    Ok(entry)
}

/// The path as it was received: CloudFront encodes what is in it once more, the percent signs too.
fn target<'a>(stem: &'a [u8], query: Option<&[u8]>) -> Text<'a> {
    // A question mark of the path itself is behind an encoded percent sign, or a bare `%3F`, which must not become the query's.
    let path = if stem.windows(3).any(|part| part.eq_ignore_ascii_case(b"%3f")) { text(stem) } else { decoded(stem) };
    match query.filter(|query| *query != b"-") {
        Some(query) => Cow::Owned(format!("{path}?{}", decoded(query))),
        None => path,
    }
}

/// Logs before 2020 have every percent sign encoded again. No user agent has `%20` in it.
fn user_agent(cell: &[u8]) -> Text<'_> {
    let once = decoded(cell);
    if once.contains("%20") { Cow::Owned(decoded(once.as_bytes()).into_owned()) } else { once }
}

fn decoded(cell: &[u8]) -> Text<'_> {
    percent_decode(cell).decode_utf8_lossy()
}
