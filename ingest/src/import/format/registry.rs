//! The Distribution registry's log in JSON. It writes several lines for a request; the one with the answer counts.

use std::borrow::Cow;

use whopulls_schemas::Rejected;

use super::super::entry::{Entry, Request};
use super::super::part::{address, wrong};
use super::object::{self, Object};

/// Nothing for the lines that tell no answer: they would count a request twice.
pub(super) fn parse(line: &[u8]) -> Result<Option<Entry<'static>>, Rejected> {
    let value = object::read(line)?;
    let line = Object::of(&value);
    if line.has("http.response.status") {
        return read(line).map(Some);
    }
    if line.has("level") && line.has("msg") {
        return Ok(None);
    }
    Err(wrong("http.response.status", "missing"))
}

fn read(line: Object<'_>) -> Result<Entry<'static>, Rejected> {
    let time = line.time(&["time", "@timestamp"])?;
    let method = line.required_text(&["http.request.method"])?.to_owned();
    let uri = line.required_text(&["http.request.uri"])?.to_owned();
    let fields = ["http.request.method", "http.request.uri"];
    let request = Request::of_parts(Cow::Owned(method), Cow::Owned(uri), line.text(&["http.request.proto"]), fields)?;
    let mut entry = Entry::new(time, request, line.status(&["http.response.status"])?);
    entry.bytes = line.number(&["http.response.written"]).unwrap_or_default();
    entry.duration_us = line.duration_us("http.response.duration");
    entry.address = line.text(&["http.request.remoteaddr"]).and_then(address);
    let owned = |name: &str| line.text(&[name]).map(|text| Cow::Owned(text.to_owned()));
    entry.host = owned("http.request.host");
    entry.user_agent = owned("http.request.useragent");
    entry.referer = owned("http.request.referer");
    entry.media_type = owned("http.response.contenttype");
    Ok(entry)
}
