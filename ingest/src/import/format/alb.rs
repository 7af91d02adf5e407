//! AWS load balancers: words between spaces. The classic ones write the same without the first word.

use whopulls_schemas::Rejected;

use super::super::entry::{Entry, Request, optional};
use super::super::iso_time;
use super::super::part::{address_before_port, byte_count, micros_of_text, status, text, unescape, words, wrong};

/// Words of an application load balancer's line that are read; later ones were added over the years.
const REQUEST_CREATION: usize = 21;

pub(super) fn parse(line: &[u8]) -> Result<Entry<'_>, Rejected> {
    let words = words(line);
    // The classic balancer's line begins with the time.
    let is_classic = words.first().is_some_and(|word| iso_time::parse(word).is_some());
    let from = usize::from(!is_classic);
    let word = |at: usize| words.get(at - 1 + from).copied();
    let required = |at: usize, field: &str| word(at).ok_or_else(|| wrong(field, "missing"));
    let kind = if is_classic { None } else { words.first().copied() };
    if kind.is_some_and(|kind| !matches!(kind, b"http" | b"https" | b"h2" | b"grpcs" | b"ws" | b"wss")) {
        return Err(wrong("type", "not one of a load balancer's"));
    }
    let answered = iso_time::parse(required(1, "time")?).ok_or_else(|| wrong("time", "not as 2024-01-16T23:53:20Z"))?;
    // Of application load balancers the time of the request is known; `time` is that of the answer.
    let time = words.get(REQUEST_CREATION).filter(|_| !is_classic).and_then(|word| iso_time::parse(word));
    let client = text(required(3, "client:port")?);
    let request = Request::of_line(unescape(required(12, "request")?))?;
    let status = status(required(8, "elb_status_code")?, "elb_status_code")?;
    let mut entry = Entry::new(time.unwrap_or(answered), request, status);
    entry.address = address_before_port(&client);
    if entry.address.is_none() {
        return Err(wrong("client:port", "not an address and its port"));
    }
    entry.bytes = byte_count(required(11, "sent_bytes")?, "sent_bytes")?;
    let times = [word(5), word(6), word(7)].map(|word| word.and_then(micros_of_text).unwrap_or_default());
    entry.duration_us = times.into_iter().fold(0, u64::saturating_add);
    entry.tls = match kind {
        Some(kind) => matches!(kind, b"https" | b"h2" | b"grpcs" | b"wss"),
        None => entry.request.is_https(),
    };
    entry.user_agent = word(13).map(unescape).and_then(super::super::part::present);
    if entry.request.host().is_none() {
        entry.host = optional(word(18));
    }
    Ok(entry)
}
