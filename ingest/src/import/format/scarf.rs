//! Scarf's export of events: CSV of 24 columns. It has no address, but the organization that Scarf saw.

use std::borrow::Cow;

use csv::ByteRecord;
use serde_json::Value;
use whopulls_schemas::Rejected;
use whopulls_schemas::raw::{Kind, bounded};

use super::super::entry::{Entry, Request};
use super::super::header::{Columns, Header};
use super::super::iso_time;
use super::super::part::wrong;
use super::csv_line;

/// Every column, in the order of the export.
pub(in super::super) const COLUMNS: [&str; 24] = [
    "id",
    "type",
    "package",
    "pixel",
    "version",
    "time",
    "referer",
    "user_agent",
    "platform",
    "variables",
    "origin_id",
    "origin_latitude",
    "origin_longitude",
    "origin_country",
    "origin_city",
    "origin_postal",
    "origin_connection_type",
    "origin_company",
    "origin_domain",
    "dnt",
    "confidence",
    "endpoint_id",
    "origin_state",
    "mtc_quota_exceeded",
];

/// Who asked, and from where: of an event whose client did not want to be tracked it is not kept.
const WHO: [&str; 12] = [
    "origin_id",
    "origin_latitude",
    "origin_longitude",
    "origin_country",
    "origin_city",
    "origin_postal",
    "origin_connection_type",
    "origin_company",
    "origin_domain",
    "confidence",
    "endpoint_id",
    "origin_state",
];

/// Of an event's own variables, at most this many: with Scarf's they are fewer than a record holds.
const VARIABLES_MAX: usize = 32;

pub(super) fn parse(line: &[u8], header: &Header) -> Result<Entry<'static>, Rejected> {
    csv_line::read(line, header, &COLUMNS, entry)
}

fn entry(record: &ByteRecord, columns: &Columns) -> Result<Entry<'static>, Rejected> {
    let cells: Vec<&[u8]> = record.iter().collect();
    let text = |name: &str| {
        let cell = columns.cell(&cells, name).filter(|cell| !cell.is_empty())?;
        Some(String::from_utf8_lossy(cell).into_owned())
    };
    let required = |name: &str| text(name).ok_or_else(|| wrong(name, "missing"));
    let identity = required("id")?;
    let time = iso_time::parse(required("time")?.as_bytes());
    let time = time.ok_or_else(|| wrong("time", "not as 2024-01-16T23:53:20Z"))?;
    let (package, pixel) = (text("package"), text("pixel"));
    // There is no path: what was asked for stands in its place.
    let asked = package.as_ref().or(pixel.as_ref()).ok_or_else(|| wrong("package", "neither a package nor a pixel"))?;
    let target = Cow::Owned(format!("/{}", asked.replace(['?', '#'], "")));
    let request = Request::of_parts(Cow::Borrowed("GET"), target, None, ["type", "package"])?;
    let mut entry = Entry::new(time, request, 200);
    entry.kind = Some(if package.is_none() { Kind::Pixel } else { Kind::File });
    entry.package = package.map(Cow::Owned);
    entry.version = text("version").map(Cow::Owned);
    entry.referer = text("referer").map(Cow::Owned);
    entry.user_agent = text("user_agent").map(Cow::Owned);
    entry.dnt = matches!(text("dnt").as_deref(), Some("true" | "1" | "t"));
    if let Some(Value::Object(variables)) = text("variables").and_then(|text| serde_json::from_str(&text).ok()) {
        let texts = variables.iter().filter_map(|(name, value)| Some((bounded(name), bounded(value.as_str()?))));
        entry.vars.extend(texts.take(VARIABLES_MAX));
    }
    // Every cell as it stands, so that it can be exported again; package and version are the record's own.
    let kept = COLUMNS.iter().filter(|column| !["package", "version"].contains(*column));
    for column in kept.filter(|column| !(entry.dnt && WHO.contains(*column))) {
        entry.vars.extend(text(column).map(|text| (format!("scarf_{column}"), bounded(&text))));
    }
    entry.identity = Some(Cow::Owned(format!("scarf {identity}")));
    Ok(entry)
}
