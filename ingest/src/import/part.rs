//! Reading the parts of a line: words, quoted text, numbers, addresses.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use whopulls_schemas::{RejectReason, Rejected};

/// Text of a line, where it lies if nothing had to be undone.
pub(super) type Text<'a> = Cow<'a, str>;

/// A line that does not have the shape of its format, and where.
pub(super) fn wrong(field: &str, detail: &str) -> Rejected {
    Rejected::field(RejectReason::UnparsableLine, field, detail)
}

/// What stands before and after the first `separator`.
pub(super) fn split<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(text, separator)?;
    let (before, after) = text.split_at(at);
    Some((before, after.get(separator.len()..)?))
}

/// Where `needle` begins.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| byte == first)?;
        if text.get(at + 1..)?.starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Bytes as text; what is not UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> Text<'_> {
    String::from_utf8_lossy(bytes)
}

/// `-` and nothing are absent.
pub(super) fn present(text: Text<'_>) -> Option<Text<'_>> {
    (!text.is_empty() && text != "-").then_some(text)
}

/// A whole number of digits only.
pub(super) fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// A number of bytes; `-` is none, and so is `-1`, with which some say that they do not know.
pub(super) fn byte_count(digits: &[u8], field: &str) -> Result<u64, Rejected> {
    if matches!(digits, b"-" | b"-1" | b"") {
        return Ok(0);
    }
    number(digits).ok_or_else(|| wrong(field, "neither a number nor `-`"))
}

/// The status answered.
pub(super) fn status(digits: &[u8], field: &str) -> Result<u16, Rejected> {
    number(digits).and_then(status_of).ok_or_else(|| wrong(field, "not a number from 100 to 599"))
}

/// A number that is a status.
pub(super) fn status_of(number: u16) -> Option<u16> {
    (100..=599).contains(&number).then_some(number)
}

/// Seconds with a fraction, as microseconds; the nearest one, for binary fractions lie beside decimal ones. Nothing for what is no
/// duration: some write `-1` where they did not measure.
pub(super) fn micros(seconds: f64) -> Option<u64> {
    let rounded = Duration::try_from_secs_f64(seconds + 0.000_000_5).ok()?;
    u64::try_from(rounded.as_micros()).ok()
}

/// The same for text.
pub(super) fn micros_of_text(seconds: &[u8]) -> Option<u64> {
    micros(std::str::from_utf8(seconds).ok()?.parse().ok()?)
}

/// An address, alone or with a port: `192.0.2.1`, `2001:db8::1`, `192.0.2.1:80`, `[2001:db8::1]:80`. An IPv4 address in IPv6 is
/// the IPv4 address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.rsplit_once(':').and_then(|(host, _port)| bare(host));
    plain.or_else(|| bare(text)).or_else(with_port).map(|address| address.to_canonical())
}

/// An address that has a port for certain, also where IPv6 stands without brackets: `2001:db8::1:443`.
pub(super) fn address_before_port(text: &str) -> Option<IpAddr> {
    let (host, _port) = text.rsplit_once(':')?;
    host.parse().ok().or_else(|| bare(host)).map(|address: IpAddr| address.to_canonical())
}

fn bare(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?.parse().ok(),
        None => host.parse().ok(),
    }
}

/// A quoted part at the start, unescaped, and what comes after it. A bare `-` is the same as a quoted one.
pub(super) fn quoted<'a>(text: &'a [u8], field: &str) -> Result<(Text<'a>, &'a [u8]), Rejected> {
    if let Some(rest) = text.strip_prefix(b"-").filter(|rest| rest.is_empty() || rest.starts_with(b" ")) {
        return Ok((Cow::Borrowed("-"), rest));
    }
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

/// Words between spaces; one in quotes or brackets is one word, without them. Quotes end before a space, so that a quote within stays.
pub(super) fn words(line: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::with_capacity(32);
    let mut left = line;
    while !left.is_empty() {
        let (word, rest) = match left.split_first() {
            Some((b'"', inside)) => enclosed(inside, b'"').unwrap_or_else(|| plain(left)),
            Some((b'[', inside)) => enclosed(inside, b']').unwrap_or_else(|| plain(left)),
            _ => plain(left),
        };
        words.push(word);
        left = rest;
    }
    words
}

fn plain(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.get(1..).unwrap_or_default())
}

fn enclosed(inside: &[u8], closing: u8) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let end = from + inside.get(from..)?.iter().position(|byte| *byte == closing)?;
        let (word, after) = inside.split_at(end);
        match after.get(1) {
            None => return Some((word, &[])),
            Some(b' ') => return Some((word, after.get(2..)?)),
            Some(_) => from = end + 1,
        }
    }
}

/// Apache escapes `"` and `\` with a backslash and control characters in C's way; both servers write other bytes as `\xhh`.
pub(super) fn unescape(escaped: &[u8]) -> Text<'_> {
    if !escaped.contains(&b'\\') {
        return text(escaped);
    }
    let mut out = Vec::with_capacity(escaped.len());
    let mut left = escaped;
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
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(address(text), expected.map(|address| address.parse().expect("an address")));
    }

    #[test]
    fn addresses_stand_with_and_without_ports() {
        check("192.0.2.1", Some("192.0.2.1"));
        check("192.0.2.1:8080", Some("192.0.2.1"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("[2001:db8::1]:443", Some("2001:db8::1"));
        check("::ffff:192.0.2.1", Some("192.0.2.1"));
        for none in ["", "-", ":", "host", "host:80", "[192.0.2.1", "300.1.1.1", "192.0.2.1, 10.0.0.1"] {
            check(none, None);
        }
        assert_eq!(address_before_port("2001:db8::1:443"), "2001:db8::1".parse().ok());
        assert_eq!(address_before_port("192.0.2.1"), None);
    }

    #[test]
    fn seconds_become_the_nearest_microsecond() {
        let cases: [(&[u8], Option<u64>); 7] = [
            (b"0.017", Some(17_000)),
            (b"1700000000.123", Some(1_700_000_000_123_000)),
            (b"0.000001", Some(1)),
            (b"-1", None),
            (b"nan", None),
            (b"1e300", None),
            (b"-", None),
        ];
        for (text, expected) in cases {
            assert_eq!(micros_of_text(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_keep_what_is_enclosed_together() {
        let line = br#"a [b c] "d \"e" "f"g" [h "i j"#;
        let expected: [&[u8]; 7] = [b"a", b"b c", br#"d \"e"#, br#"f"g"#, b"[h", b"\"i", b"j"];
        assert_eq!(words(line), expected);
        assert!(words(b"").is_empty());
    }
}
