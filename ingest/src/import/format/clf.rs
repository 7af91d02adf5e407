//! The common log format and what servers add to it.
//!
//! ```text
//! host ident user [time] "method target version" status bytes "referer" "user agent"
//! ```

use whopulls_schemas::Rejected;

use super::super::clf_time;
use super::super::entry::{Entry, Request};
use super::super::part::{address, byte_count, present, quoted, split, status, text, wrong};

/// Whose form of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clf {
    /// nginx's `combined`.
    Nginx,
    /// Apache's `common` or `combined`.
    Apache,
    /// Apache's `vhost_combined`: `host:port` stands first.
    Vhost,
}

pub(super) fn parse(line: &[u8], form: Clf) -> Result<Entry<'_>, Rejected> {
    let (vhost, line) = match form {
        Clf::Vhost => split(line, b" ").ok_or_else(|| wrong("vhost", "the line has one word"))?,
        Clf::Nginx | Clf::Apache => (&b""[..], line),
    };
    if form == Clf::Vhost && !vhost.contains(&b':') {
        return Err(wrong("vhost", "not `host:port`"));
    }
    let (host, rest) = split(line, b" ").ok_or_else(|| wrong("host", "the line has one word"))?;
    let (_ident, rest) = split(rest, b" ").ok_or_else(|| wrong("ident", "missing"))?;
    // A user name may hold spaces; the time begins at the first bracket.
    let (_user, rest) = split(rest, b" [").ok_or_else(|| wrong("time", "no `[` before the time"))?;
    let (time, rest) = split(rest, b"] ").ok_or_else(|| wrong("time", "no `]` after the time"))?;
    let time = clf_time::parse(time).ok_or_else(|| wrong("time", "not as 17/May/2015:08:05:32 +0000"))?;
    let (request, rest) = quoted(rest, "request")?;
    let request = Request::of_line(request)?;
    let rest = rest.strip_prefix(b" ").ok_or_else(|| wrong("status", "missing"))?;
    let (status_text, rest) = split(rest, b" ").ok_or_else(|| wrong("bytes", "missing"))?;
    let status = status(status_text, "status")?;
    let (bytes, rest) = split(rest, b" ").unwrap_or((rest, b""));
    let mut entry = Entry::new(time, request, status);
    entry.bytes = byte_count(bytes, "bytes")?;
    match (form, rest.is_empty()) {
        (Clf::Apache, true) => {}
        (Clf::Nginx | Clf::Vhost, true) => return Err(wrong("referer", "missing")),
        (Clf::Apache | Clf::Nginx | Clf::Vhost, false) => {
            let (referer, rest) = quoted(rest, "referer")?;
            let rest = rest.strip_prefix(b" ").ok_or_else(|| wrong("user_agent", "missing"))?;
            let (user_agent, _added) = quoted(rest, "user_agent")?;
            (entry.referer, entry.user_agent) = (present(referer), present(user_agent));
        }
    }
    entry.address = address(&text(host));
    entry.host = present(text(vhost));
    entry.tls = vhost.ends_with(b":443");
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::RejectReason;
    use whopulls_schemas::raw::HttpVersion;

    use super::*;

    const COMMON: &str = r#"192.0.2.1 - frank w [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326"#;

    #[track_caller]
    fn rejects(line: &str, form: Clf, field: &str) {
        let rejected = parse(line.as_bytes(), form).expect_err("the line is bad");
        assert_eq!((rejected.reason, rejected.field.as_deref()), (RejectReason::UnparsableLine, Some(field)));
    }

    #[test]
    fn a_common_line_is_apaches_and_not_nginxs() {
        let line = parse(COMMON.as_bytes(), Clf::Apache).expect("the line is good");
        let Request { method, target, version } = &line.request;
        assert_eq!((method.as_ref(), target.as_ref(), *version), ("GET", "/a?b=c", Some(HttpVersion::Http10)));
        assert_eq!((line.status, line.bytes, line.address), (200, 2326, "192.0.2.1".parse().ok()));
        assert_eq!((line.referer, line.user_agent), (None, None));
        rejects(COMMON, Clf::Nginx, "referer");
    }

    #[test]
    fn escapes_are_undone_and_what_follows_is_passed_over() {
        let text = format!(r#"{COMMON} "-" "a \"b\" \\ \x22c\xc3\xa9 \q" "10.0.0.1" 0.004"#);
        for form in [Clf::Apache, Clf::Nginx] {
            let line = parse(text.as_bytes(), form).expect("the line is good");
            assert_eq!((line.referer, line.user_agent.as_deref()), (None, Some(r#"a "b" \ "cé \q"#)));
        }
    }

    #[test]
    fn a_virtual_host_stands_first_with_its_port() {
        let text = format!(r#"get.example.org:443 {COMMON} - "curl/8""#);
        let line = parse(text.as_bytes(), Clf::Vhost).expect("the line is good");
        assert_eq!((line.host.as_deref(), line.tls), (Some("get.example.org:443"), true));
        assert_eq!((line.address, line.user_agent.as_deref()), ("192.0.2.1".parse().ok(), Some("curl/8")));
        rejects(&format!(r#"{COMMON} - "curl/8""#), Clf::Vhost, "vhost");
    }

    #[test]
    fn a_bad_line_names_its_field() {
        let nginx = Clf::Nginx;
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
