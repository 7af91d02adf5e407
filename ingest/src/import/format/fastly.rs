//! Fastly's log of JSON objects, behind a syslog head or without one: the shape that crates.io writes, and the one that Fastly proposes.

use std::borrow::Cow;

use whopulls_schemas::{RejectReason, Rejected};

use super::super::entry::{Entry, Request};
use super::super::part::{address, find, wrong};
use super::object::{self, Object};
use crate::gateway::range_start;

pub(super) fn parse(line: &[u8]) -> Result<Entry<'static>, Rejected> {
    let value = object::read(message(line, b"{")?)?;
    let line = Object::of(&value);
    if line.text(&["version"]).is_some_and(|version| version != "1") {
        return Err(Rejected::field(RejectReason::UnsupportedSchema, "version", "this build reads version 1"));
    }
    let time = line.time(&["date_time", "timestamp", "time"])?;
    let http = line.within("http");
    let method = line.required_text(&["method", "request_method"])?.to_owned();
    let url = line.required_text(&["url"])?.to_owned();
    let protocol = http.text(&["protocol"]).or_else(|| line.text(&["request_protocol", "protocol"]));
    let request = Request::of_parts(Cow::Owned(method), Cow::Owned(url), protocol, ["method", "url"])?;
    let mut entry = Entry::new(time, request, line.status(&["status", "response_status"])?);
    entry.bytes = line.number(&["bytes", "response_body_size"]).unwrap_or_default();
    entry.address = line.text(&["ip", "client_ip"]).and_then(address);
    let owned = |text: &str| Cow::Owned(text.to_owned());
    entry.host = line.text(&["host"]).map(owned);
    entry.tls = entry.request.is_https() || line.within("tls").text(&["protocol"]).is_some();
    entry.user_agent =
        http.text(&["useragent"]).or_else(|| line.text(&["request_user_agent", "user_agent"])).map(owned);
    entry.referer = http.text(&["referer"]).or_else(|| line.text(&["request_referer", "referer"])).map(owned);
    entry.range_start = line.text(&["range", "request_range"]).and_then(range_start);
    entry.media_type = line.text(&["content_type"]).map(owned);
    Ok(entry)
}

/// What stands behind a syslog head (`<134>2024-01-16T23:53:20Z host name[1]: `), or the line where it begins as a message does.
pub(super) fn message<'a>(line: &'a [u8], begins: &[u8]) -> Result<&'a [u8], Rejected> {
    if !begins.is_empty() && line.starts_with(begins) {
        return Ok(line);
    }
    let behind = || {
        let rest = line.strip_prefix(b"<")?;
        rest.get(find(rest, b"]: ")? + 3..)
    };
    behind().ok_or_else(|| wrong("line", "neither a message nor a syslog head before one"))
}
