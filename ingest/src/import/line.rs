//! One line of an access log in its parts, unescaped.
//!
//! ```text
//! host ident user [time] "method target version" status bytes "referer" "user agent"
//! ```

use std::borrow::Cow;

use whopulls_schemas::{RejectReason, Rejected, UnixMicros};

use super::{LogFormat, clf_time};

/// A line's parts. `-` is absent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) host: Cow<'a, str>,
    pub(super) time: UnixMicros,
    pub(super) method: String,
    pub(super) target: String,
    /// `HTTP/1.1`; absent in HTTP/0.9.
    pub(super) version: Option<String>,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) referer: Option<String>,
    pub(super) user_agent: Option<String>,
}

pub(super) fn parse(line: &[u8], format: LogFormat) -> Result<Line<'_>, Rejected> {
    let (host, rest) = split(line, b" ").ok_or_else(|| wrong("host", "the line has one word"))?;
    let (_ident, rest) = split(rest, b" ").ok_or_else(|| wrong("ident", "missing"))?;
    // A user name may hold spaces; the time begins at the first bracket.
    let (_user, rest) = split(rest, b" [").ok_or_else(|| wrong("time", "no `[` before the time"))?;
    let (time, rest) = split(rest, b"] ").ok_or_else(|| wrong("time", "no `]` after the time"))?;
    let time = clf_time::parse(time).ok_or_else(|| wrong("time", "not as 17/May/2015:08:05:32 +0000"))?;
    let (request, rest) = quoted(rest, "request")?;
    let (method, target, version) = request_line(&request)?;
    let rest = rest.strip_prefix(b" ").ok_or_else(|| wrong("status", "missing"))?;
    let (status, rest) = split(rest, b" ").ok_or_else(|| wrong("bytes", "missing"))?;
    let status = number::<u16>(status)
        .filter(|s| (100..=599).contains(s))
        .ok_or_else(|| wrong("status", "not a number from 100 to 599"))?;
    let (bytes, rest) = split(rest, b" ").unwrap_or((rest, b""));
    let bytes = if bytes == b"-" { Some(0) } else { number(bytes) };
    let bytes = bytes.ok_or_else(|| wrong("bytes", "neither a number nor `-`"))?;
    let (referer, user_agent) = match (format, rest.is_empty()) {
        (LogFormat::Apache, true) => (None, None),
        (LogFormat::Nginx, true) => return Err(wrong("referer", "missing")),
        (LogFormat::Apache | LogFormat::Nginx, false) => {
            let (referer, rest) = quoted(rest, "referer")?;
            let rest = rest.strip_prefix(b" ").ok_or_else(|| wrong("user_agent", "missing"))?;
            let (user_agent, _added) = quoted(rest, "user_agent")?;
            (present(referer), present(user_agent))
        }
    };
    let host = String::from_utf8_lossy(host);
    Ok(Line { host, time, method, target, version, status, bytes, referer, user_agent })
}

fn request_line(request: &str) -> Result<(String, String, Option<String>), Rejected> {
    let mut words = request.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let is_method =
        |m: &&str| !m.is_empty() && m.len() <= 32 && m.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    let is_target = |t: &&str| t.starts_with('/') || *t == "*" || t.contains("://");
    let is_version = |v: &str| v.starts_with("HTTP/");
    match (method.filter(is_method), target.filter(is_target), version) {
        (Some(method), Some(target), version) if words.next().is_none() && version.is_none_or(is_version) => {
            Ok((method.into(), target.into(), version.map(String::from)))
        }
        _ => Err(wrong("request", "not `method target version`: no HTTP request was made")),
    }
}

/// A quoted part at the start, unescaped, and what comes after it.
fn quoted<'a>(text: &'a [u8], field: &str) -> Result<(String, &'a [u8]), Rejected> {
    let text = text.strip_prefix(b"\"").ok_or_else(|| wrong(field, "no opening quote"))?;
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let end = end.ok_or_else(|| wrong(field, "no closing quote"))?;
    let (inside, after) = text.split_at(end);
    let rest = after.strip_prefix(b"\"").unwrap_or_default();
    Ok((unescape(inside), rest))
}

/// Apache escapes `"` and `\` with a backslash and control characters in C's way; both write other bytes as `\xhh`.
fn unescape(text: &[u8]) -> String {
    if !text.contains(&b'\\') {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut left = text;
    while let Some((first, rest)) = left.split_first() {
        let (byte, after) = match (first, rest) {
            (b'\\', [b'x', high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (*first, rest),
            },
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [escaped @ (b'"' | b'\\'), after @ ..]) => (*escaped, after),
            _ => (*first, rest),
        };
        out.push(byte);
        left = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

fn present(text: String) -> Option<String> {
    (!text.is_empty() && text != "-").then_some(text)
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    let (before, after) = text.split_at(at);
    Some((before, after.get(separator.len()..)?))
}

fn wrong(field: &str, detail: &str) -> Rejected {
    Rejected::field(RejectReason::UnparsableLine, field, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = r#"192.0.2.1 - frank w [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326"#;

    #[track_caller]
    fn rejects(line: &str, format: LogFormat, field: &str) {
        let rejected = parse(line.as_bytes(), format).expect_err("the line is bad");
        assert_eq!((rejected.reason, rejected.field.as_deref()), (RejectReason::UnparsableLine, Some(field)));
    }

    #[test]
    fn a_common_line_is_apaches_and_not_nginxs() {
        let line = parse(COMMON.as_bytes(), LogFormat::Apache).expect("the line is good");
        assert_eq!((line.host.as_ref(), line.method.as_str(), line.target.as_str()), ("192.0.2.1", "GET", "/a?b=c"));
        assert_eq!((line.status, line.bytes, line.version.as_deref()), (200, 2326, Some("HTTP/1.0")));
        assert_eq!((line.referer, line.user_agent), (None, None));
        rejects(COMMON, LogFormat::Nginx, "referer");
    }

    #[test]
    fn escapes_are_undone_and_what_follows_is_passed_over() {
        let text = format!(r#"{COMMON} "-" "a \"b\" \\ \x22c\xc3\xa9 \q" "10.0.0.1" 0.004"#);
        for format in [LogFormat::Apache, LogFormat::Nginx] {
            let line = parse(text.as_bytes(), format).expect("the line is good");
            assert_eq!((line.referer, line.user_agent.as_deref()), (None, Some(r#"a "b" \ "cé \q"#)));
        }
    }

    #[test]
    fn a_bad_line_names_its_field() {
        let nginx = LogFormat::Nginx;
        rejects("", nginx, "host");
        rejects("nonsense", nginx, "host");
        rejects("a b c d", nginx, "time");
        rejects(&COMMON.replace("Oct", "Okt"), nginx, "time");
        rejects(&COMMON.replace("GET /a?b=c HTTP/1.0", r"\x16\x03\x01"), nginx, "request");
        rejects(&COMMON.replace("GET /a?b=c HTTP/1.0", "-"), nginx, "request");
        rejects(&COMMON.replace(" 200 ", " 20x "), nginx, "status");
        rejects(&COMMON.replace(" 200 ", " 999 "), nginx, "status");
        rejects(&COMMON.replace("2326", "many"), nginx, "bytes");
        rejects(&format!(r#"{COMMON} "-" "unclosed"#), nginx, "user_agent");
        rejects(&format!(r#"{COMMON} "-""#), nginx, "user_agent");
    }
}
