//! Caddy's access log, JSON of version 2.

use std::borrow::Cow;

use whopulls_schemas::Rejected;

use super::super::entry::{Entry, Request};
use super::super::part::{address, wrong};
use super::object::{self, Object};
use crate::gateway::range_start;

/// Nothing for Caddy's other lines, which are about no request.
pub(super) fn parse(line: &[u8]) -> Result<Option<Entry<'static>>, Rejected> {
    let value = object::read(line)?;
    let entry = Object::of(&value);
    if !entry.has("request") && entry.has("level") && entry.has("msg") {
        return Ok(None);
    }
    read(entry).map(Some)
}

fn read(line: Object<'_>) -> Result<Entry<'static>, Rejected> {
    let asked = line.within("request");
    if !line.has("request") {
        return Err(wrong("request", "missing"));
    }
    let time = line.time(&["ts"])?;
    let method = asked.required_text(&["method"])?.to_owned();
    let uri = asked.required_text(&["uri"])?.to_owned();
    let fields = ["method", "uri"];
    let request = Request::of_parts(Cow::Owned(method), Cow::Owned(uri), asked.text(&["proto"]), fields)?;
    let mut entry = Entry::new(time, request, line.status(&["status"])?);
    entry.bytes = line.number(&["size"]).unwrap_or_default();
    entry.duration_us = line.duration_us("duration");
    // `client_ip` is what Caddy makes of its trusted proxies; versions before 2.7 do not have it.
    entry.address = asked.text(&["client_ip", "remote_ip", "remote_addr"]).and_then(address);
    let owned = |text: &str| Cow::Owned(text.to_owned());
    entry.host = asked.text(&["host"]).map(owned);
    entry.tls = asked.has("tls");
    let headers = asked.within("headers");
    entry.user_agent = headers.header("user-agent").map(owned);
    entry.referer = headers.header("referer").map(owned);
    entry.accept = headers.header("accept").map(owned);
    entry.dnt = headers.header("dnt") == Some("1");
    entry.gpc = headers.header("sec-gpc") == Some("1");
    entry.range_start = headers.header("range").and_then(range_start);
    entry.media_type = line.within("resp_headers").header("content-type").map(owned);
    Ok(entry)
}
