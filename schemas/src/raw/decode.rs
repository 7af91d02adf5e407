//! From bytes to a record or a rejection that names the field.

use serde_json::Value;

use super::{ENTRIES_MAX, RAW_RECORD_BYTES_MAX, RAW_SCHEMA_VERSION, RawAccess, TEXT_BYTES_MAX};
use crate::{RejectReason, Rejected};

/// The fields without which a record means nothing.
const REQUIRED: [&str; 9] = ["schema", "node", "seq", "id", "ts", "method", "path", "status", "kind"];

pub(super) fn decode(bytes: &[u8]) -> Result<RawAccess, Rejected> {
    if bytes.len() > RAW_RECORD_BYTES_MAX {
        let detail = format!("{} bytes, at most {RAW_RECORD_BYTES_MAX}", bytes.len());
        return Err(Rejected::whole(RejectReason::Oversized, detail));
    }
    match serde_json::from_slice::<RawAccess>(bytes) {
        Ok(record) => check_ranges(&record).map_or(Ok(record), Err),
        Err(error) => Err(explain(bytes, &error)),
    }
}

/// The slow path: says what a failed decode was about.
fn explain(bytes: &[u8], error: &serde_json::Error) -> Rejected {
    let value = match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => value,
        Err(syntax) => {
            let detail = format!("not JSON at line {} column {}", syntax.line(), syntax.column());
            return Rejected::whole(RejectReason::NotJson, detail);
        }
    };
    let Some(object) = value.as_object() else {
        return Rejected::whole(RejectReason::NotJson, "not a JSON object");
    };
    if let Some(version) = object.get("schema")
        && version.as_u64() != Some(u64::from(RAW_SCHEMA_VERSION))
    {
        return unsupported_schema();
    }
    if let Some(missing) = REQUIRED.iter().find(|name| !object.contains_key(**name)) {
        return Rejected::field(RejectReason::MissingField, *missing, "required, absent");
    }
    let field = object.iter().find(|(name, _)| !decodes_with_only(object, name)).map(|(name, _)| name.clone());
    let expected = expectation(error);
    match field {
        Some(field) => Rejected::field(RejectReason::InvalidField, field, expected),
        None => Rejected::whole(RejectReason::InvalidField, expected),
    }
}

/// Whether the record decodes when all optional fields but `name` are left out and, for a required field, when only it keeps
/// its value and the others are known to be good.
fn decodes_with_only(object: &serde_json::Map<String, Value>, name: &str) -> bool {
    let mut probe = good_example();
    if let Some(value) = object.get(name) {
        probe.insert(name.to_owned(), value.clone());
    }
    serde_json::from_value::<RawAccess>(Value::Object(probe)).is_ok()
}

fn good_example() -> serde_json::Map<String, Value> {
    let example = serde_json::json!({
        "schema": 1, "node": "n", "seq": 1, "id": "00000000-0000-7000-8000-000000000000", "ts": 0,
        "method": "GET", "path": "/", "status": 200, "kind": "other",
    });
    match example {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => serde_json::Map::new(),
    }
}

/// serde's message holds the value that it did not like ("invalid type: string \"10.0.0.1\", expected u16"), and a value may
/// be an address: only what was expected is kept.
fn expectation(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let expected = text.split_once(", expected ").or_else(|| text.split_once("expected "));
    let Some((_, after)) = expected else { return "value not of its type".to_owned() };
    let words = after.split_once(" at line ").map_or(after, |(words, _)| words);
    format!("expected {words}")
}

fn unsupported_schema() -> Rejected {
    let detail = format!("this build reads version {RAW_SCHEMA_VERSION}");
    Rejected::field(RejectReason::UnsupportedSchema, "schema", detail)
}

fn check_ranges(record: &RawAccess) -> Option<Rejected> {
    let missing = |field: &str| Some(Rejected::field(RejectReason::MissingField, field, "required, absent"));
    let invalid = |field: &str, detail: String| Some(Rejected::field(RejectReason::InvalidField, field, detail));
    if record.schema != RAW_SCHEMA_VERSION {
        return Some(unsupported_schema());
    }
    if record.node.is_empty() {
        return missing("node");
    }
    if record.seq == 0 {
        return missing("seq");
    }
    if i64::try_from(record.seq).is_err() {
        return invalid("seq", format!("at most {}", i64::MAX));
    }
    if record.node.len() > 128 || record.node.contains('/') {
        return invalid("node", "at most 128 bytes, without a slash".to_owned());
    }
    if !record.ts.is_plausible() {
        return invalid("ts", "microseconds since 1970, before the year 10000".to_owned());
    }
    if !(100..=599).contains(&record.status) {
        return invalid("status", "from 100 to 599".to_owned());
    }
    if record.query.len() > ENTRIES_MAX || record.vars.len() > ENTRIES_MAX {
        return invalid("vars", format!("at most {ENTRIES_MAX} entries"));
    }
    if record.children.len() > ENTRIES_MAX {
        return invalid("children", format!("at most {ENTRIES_MAX} entries"));
    }
    let long = long_text(record)?;
    invalid(long, format!("at most {TEXT_BYTES_MAX} bytes"))
}

fn long_text(record: &RawAccess) -> Option<&'static str> {
    let optional = [
        ("host", &record.host),
        ("user_agent", &record.user_agent),
        ("referer", &record.referer),
        ("accept", &record.accept),
        ("route", &record.route),
        ("package", &record.package),
        ("version", &record.version),
        ("repository", &record.repository),
        ("reference", &record.reference),
        ("digest", &record.digest),
        ("media_type", &record.media_type),
        ("ns", &record.ns),
        ("upstream", &record.upstream),
    ];
    let too_long = |text: &str| text.len() > TEXT_BYTES_MAX;
    if too_long(&record.method) {
        return Some("method");
    }
    if too_long(&record.path) {
        return Some("path");
    }
    if record.query.iter().any(|(key, value)| too_long(key) || too_long(value)) {
        return Some("query");
    }
    if record.vars.iter().any(|(key, value)| too_long(key) || too_long(value)) {
        return Some("vars");
    }
    if record.claim.as_ref().is_some_and(|claim| too_long(&claim.organization) || too_long(&claim.name)) {
        return Some("claim");
    }
    optional.into_iter().find(|(_, text)| text.as_deref().is_some_and(too_long)).map(|(name, _)| name)
}
