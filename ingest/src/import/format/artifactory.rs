//! Artifactory's `artifactory-request.log`: `time|trace|address|user|method|URL|status|request length|response length|duration|user agent`.

use std::borrow::Cow;

use whopulls_schemas::Rejected;

use super::super::entry::{Entry, Request};
use super::super::iso_time;
use super::super::part::{address, byte_count, number, present, status, text, wrong};

pub(super) fn parse(line: &[u8]) -> Result<Entry<'_>, Rejected> {
    // A user agent may hold the separator: it takes the rest.
    let mut cells = line.splitn(11, |byte| *byte == b'|');
    let mut next = |field: &str| cells.next().ok_or_else(|| wrong(field, "missing"));
    let time = iso_time::parse(next("timestamp")?);
    let time = time.ok_or_else(|| wrong("timestamp", "not as 2018-11-18T15:39:04.902Z"))?;
    let (_trace, client, _user) = (next("trace_id")?, next("remote_address")?, next("username")?);
    let (method, url) = (text(next("method")?), text(next("url")?));
    // Some of its services write the path without its first slash.
    let target = if url.starts_with('/') || url.contains("://") { url } else { Cow::Owned(format!("/{url}")) };
    let request = Request::of_parts(method, target, None, ["method", "url"])?;
    let mut entry = Entry::new(time, request, status(next("status")?, "status")?);
    let _request_length = next("request_length")?;
    entry.bytes = byte_count(next("response_length")?, "response_length")?;
    entry.duration_us = number::<u64>(next("duration")?).unwrap_or_default().saturating_mul(1000);
    entry.address = address(&text(client));
    entry.user_agent = present(text(next("user_agent")?));
    Ok(entry)
}
