//! S3's server access log: words between spaces, the time in brackets.

use whopulls_schemas::Rejected;

use super::super::clf_time;
use super::super::entry::{Entry, Request, optional};
use super::super::part::{address, byte_count, number, present, status, text, unescape, words, wrong};

pub(super) fn parse(line: &[u8]) -> Result<Entry<'_>, Rejected> {
    let words = words(line);
    let word = |at: usize| words.get(at).copied();
    let required = |at: usize, field: &str| word(at).ok_or_else(|| wrong(field, "missing"));
    let time = clf_time::parse(required(2, "time")?);
    let time = time.ok_or_else(|| wrong("time", "not as [06/Feb/2019:00:00:38 +0000]"))?;
    // `REST.GET.OBJECT`, `WEBSITE.GET.OBJECT`: what is none of these words is another log's line.
    if !required(6, "operation")?.contains(&b'.') {
        return Err(wrong("operation", "not as REST.GET.OBJECT"));
    }
    // S3's own work (`S3.EXPIRE.OBJECT`) has no request.
    let request = Request::of_line(unescape(required(8, "request")?))?;
    let mut entry = Entry::new(time, request, status(required(9, "status")?, "status")?);
    entry.bytes = byte_count(required(11, "bytes_sent")?, "bytes_sent")?;
    entry.duration_us = word(13).and_then(number::<u64>).unwrap_or_default().saturating_mul(1000);
    entry.address = word(3).and_then(|word| address(&text(word)));
    entry.referer = word(15).map(unescape).and_then(present);
    entry.user_agent = word(16).map(unescape).and_then(present);
    entry.host = optional(word(22));
    entry.tls = word(23).is_some_and(|word| word.starts_with(b"TLS"));
    Ok(entry)
}
