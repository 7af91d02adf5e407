//! RubyGems.org's log at Fastly: a syslog head, then `address time path status user agent`. It holds downloads only, so the method is GET.

use std::borrow::Cow;

use whopulls_schemas::{Rejected, UnixMicros};

use super::super::entry::{Entry, Request};
use super::super::part::{address, present, split, status, text, wrong};
use super::fastly::message;

/// The length of `Mon, 30 Nov 2015 21:00:05 GMT`.
const TIME_BYTES: usize = 29;

pub(super) fn parse(line: &[u8]) -> Result<Entry<'_>, Rejected> {
    let (client, rest) = split(message(line, b"")?, b" ").ok_or_else(|| wrong("address", "missing"))?;
    let address = address(&text(client)).ok_or_else(|| wrong("address", "not an address"))?;
    let not_a_time = || wrong("time", "not as Mon, 30 Nov 2015 21:00:05 GMT");
    let (time, rest) = rest.split_at_checked(TIME_BYTES).ok_or_else(not_a_time)?;
    let time = http_time(time).ok_or_else(not_a_time)?;
    let rest = rest.strip_prefix(b" ").ok_or_else(|| wrong("path", "missing"))?;
    let (path, rest) = split(rest, b" ").ok_or_else(|| wrong("status", "missing"))?;
    let (status_text, user_agent) = split(rest, b" ").unwrap_or((rest, b""));
    let request = Request::of_parts(Cow::Borrowed("GET"), text(path), None, ["method", "path"])?;
    let mut entry = Entry::new(time, request, status(status_text, "status")?);
    entry.address = Some(address);
    entry.user_agent = present(text(user_agent)).filter(|agent| agent != "(null)");
    Ok(entry)
}

/// The time of HTTP's header fields: `Mon, 30 Nov 2015 21:00:05 GMT`.
pub(super) fn http_time(text: &[u8]) -> Option<UnixMicros> {
    let time = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(UnixMicros)
}
