//! Google Cloud Storage's usage log: CSV.

use std::borrow::Cow;

use csv::ByteRecord;
use whopulls_schemas::{Rejected, UnixMicros};

use super::super::entry::{Entry, Request};
use super::super::header::{Columns, Header};
use super::super::part::{address, byte_count, number, status, wrong};
use super::csv_line;

/// Every column, in the order of the log.
pub(in super::super) const COLUMNS: [&str; 17] = [
    "time_micros",
    "c_ip",
    "c_ip_type",
    "c_ip_region",
    "cs_method",
    "cs_uri",
    "sc_status",
    "cs_bytes",
    "sc_bytes",
    "time_taken_micros",
    "cs_host",
    "cs_referer",
    "cs_user_agent",
    "s_request_id",
    "cs_operation",
    "cs_bucket",
    "cs_object",
];

pub(super) fn parse(line: &[u8], header: &Header) -> Result<Entry<'static>, Rejected> {
    csv_line::read(line, header, &COLUMNS, entry)
}

fn entry(record: &ByteRecord, columns: &Columns) -> Result<Entry<'static>, Rejected> {
    let cells: Vec<&[u8]> = record.iter().collect();
    let cell = |name: &str| columns.cell(&cells, name);
    let text = |name: &str| {
        let text = String::from_utf8_lossy(cell(name)?).into_owned();
        (!text.is_empty() && text != "-").then_some(Cow::Owned(text))
    };
    let required = |name: &str| cell(name).ok_or_else(|| wrong(name, "missing"));
    let time = number(required("time_micros")?).map(UnixMicros);
    let time = time.ok_or_else(|| wrong("time_micros", "not microseconds since 1970"))?;
    let method = text("cs_method").ok_or_else(|| wrong("cs_method", "missing"))?;
    let uri = text("cs_uri").ok_or_else(|| wrong("cs_uri", "missing"))?;
    let request = Request::of_parts(method, uri, None, ["cs_method", "cs_uri"])?;
    let mut entry = Entry::new(time, request, status(required("sc_status")?, "sc_status")?);
    entry.bytes = byte_count(cell("sc_bytes").unwrap_or_default(), "sc_bytes")?;
    entry.duration_us = cell("time_taken_micros").and_then(number).unwrap_or_default();
    entry.address = text("c_ip").and_then(|text: Cow<'_, str>| address(&text));
    entry.host = text("cs_host");
    entry.referer = text("cs_referer");
    entry.user_agent = text("cs_user_agent");
    Ok(entry)
}
