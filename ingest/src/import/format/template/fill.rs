//! From the variables of a line to what it says.

use std::borrow::Cow;

use whopulls_schemas::{Rejected, UnixMicros};

use super::super::super::entry::{Entry, Request};
use super::super::super::part::{address, byte_count, micros_of_text, status, wrong};
use super::super::super::{clf_time, iso_time};
use super::{LogTemplate, Values};
use crate::gateway::range_start;

/// Reads a line by a format.
pub(in super::super::super) fn entry<'a>(line: &'a [u8], template: &'a LogTemplate) -> Result<Entry<'a>, Rejected> {
    let values = template.values(line).map_err(|name| wrong(name, "what follows is not as the log_format says"))?;
    let status = status(values.written("status").unwrap_or_default(), "status")?;
    let mut entry = Entry::new(time(&values)?, request(&values)?, status);
    // `$bytes_sent` has the head of the answer too.
    let bytes = values.written("body_bytes_sent").or_else(|| values.written("bytes_sent"));
    entry.bytes = byte_count(bytes.unwrap_or_default(), "body_bytes_sent")?;
    entry.duration_us = values.written("request_time").and_then(micros_of_text).unwrap_or_default();
    entry.address = client(&values);
    entry.host = ["http_host", "host", "server_name"].iter().find_map(|name| values.text(name));
    entry.tls = values.written("scheme") == Some(b"https")
        || values.written("https") == Some(b"on")
        || values.written("ssl_protocol").is_some();
    entry.user_agent = values.text("http_user_agent");
    entry.referer = values.text("http_referer");
    entry.accept = values.text("http_accept");
    entry.dnt = values.written("http_dnt") == Some(b"1");
    entry.gpc = values.written("http_sec_gpc") == Some(b"1");
    entry.range_start = values.text("http_range").and_then(|range| range_start(&range));
    entry.media_type = values.text("sent_http_content_type");
    Ok(entry)
}

fn time(values: &Values<'_>) -> Result<UnixMicros, Rejected> {
    let seconds = |text| i64::try_from(micros_of_text(text)?).ok().map(UnixMicros);
    // The most exact one that is there.
    if let Some(text) = values.written("msec") {
        return seconds(text).ok_or_else(|| wrong("msec", "not seconds since 1970"));
    }
    if let Some(text) = values.written("time_iso8601") {
        return iso_time::parse(text).ok_or_else(|| wrong("time_iso8601", "not as 2015-05-17T08:05:32+00:00"));
    }
    let text = values.written("time_local").unwrap_or_default();
    clf_time::parse(text).ok_or_else(|| wrong("time_local", "not as 17/May/2015:08:05:32 +0000"))
}

fn request<'a>(values: &Values<'a>) -> Result<Request<'a>, Rejected> {
    if let Some(line) = values.text("request") {
        return Request::of_line(line);
    }
    let method = values.text("request_method").unwrap_or_default();
    let target = values.text("request_uri").unwrap_or_else(|| {
        let path = values.text("uri").or_else(|| values.text("document_uri")).unwrap_or_default();
        match values.text("args").or_else(|| values.text("query_string")) {
            Some(arguments) => Cow::Owned(format!("{path}?{arguments}")),
            None => path,
        }
    });
    let protocol = values.text("server_protocol");
    Request::of_parts(method, target, protocol.as_deref(), ["request_method", "request_uri"])
}

/// The address that nginx answered, which its `realip` module may have taken from a proxy. A header field of the client's is asked only
/// where the format has no address, and of it the last entry, which the nearest proxy wrote.
fn client(values: &Values<'_>) -> Option<std::net::IpAddr> {
    let answered = values.text("remote_addr").or_else(|| values.text("realip_remote_addr"));
    match answered {
        Some(text) => address(&text),
        None => address(values.text("http_x_forwarded_for")?.rsplit(',').next()?.trim()),
    }
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::raw::HttpVersion;

    use super::super::LogTemplateError;
    use super::*;

    const MAIN: &str = r#"log_format main '$remote_addr - $remote_user [$time_local] "$request" '
        '$status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time $host';"#;
    const JSON: &str = r#"escape=json {"t":"$time_iso8601","a":"$remote_addr","m":"$request_method","u":"$request_uri","s":$status,"b":$bytes_sent,"ua":"$http_user_agent","x":"$upstream_addr"}"#;

    fn compile(text: &str) -> LogTemplate {
        LogTemplate::compile(text).expect("a good format")
    }

    #[track_caller]
    fn rejects(template: &str, line: &str, field: &str) {
        let template = compile(template);
        let rejected = entry(line.as_bytes(), &template).expect_err("the line is bad");
        assert_eq!(rejected.field.as_deref(), Some(field));
    }

    #[test]
    fn a_directive_reads_its_lines() {
        let line = r#"192.0.2.1 - a b [17/May/2015:08:05:32 +0000] "GET /a?b HTTP/2.0" 200 9 "-" "x \x22y\x22" 0.017 h.example:443"#;
        let template = compile(MAIN);
        let entry = entry(line.as_bytes(), &template).expect("a good line");
        assert_eq!((entry.address, entry.duration_us, entry.bytes), ("192.0.2.1".parse().ok(), 17_000, 9));
        assert_eq!((entry.user_agent.as_deref(), entry.host.as_deref()), (Some("x \"y\""), Some("h.example:443")));
        assert_eq!((entry.request.version, entry.referer), (Some(HttpVersion::Http2), None));
    }

    #[test]
    fn json_is_undone_and_a_quote_in_it_ends_nothing() {
        let line = r#"{"t":"2015-05-17T08:05:32+00:00","a":"2001:db8::1","m":"GET","u":"/f","s":200,"b":7,"ua":"a \"b\", \u00e9","x":""}"#;
        let template = compile(JSON);
        let entry = entry(line.as_bytes(), &template).expect("a good line");
        assert_eq!((entry.user_agent.as_deref(), entry.time.0), (Some("a \"b\", é"), 1_431_849_932_000_000));
    }

    #[test]
    fn variables_side_by_side_are_told_apart_where_they_can_be() {
        let template =
            compile("escape=none $msec $status $request_method $scheme://$host$uri$is_args$args $http_x_forwarded_for");
        let line = "1700000000.123 200 GET https://h.example/a/b?c=d 198.51.100.1, 192.0.2.7";
        let read = entry(line.as_bytes(), &template).expect("a good line");
        assert_eq!((read.request.target.as_ref(), read.host.as_deref()), ("/a/b?c=d", Some("h.example")));
        assert_eq!((read.address, read.tls), ("192.0.2.7".parse().ok(), true));
        let without = line.replace("?c=d", "");
        let read = entry(without.as_bytes(), &template).expect("a good line");
        assert_eq!(read.request.target, "/a/b");
    }

    #[test]
    fn a_bad_line_names_the_variable_where_it_ends_to_fit() {
        let good = r#"192.0.2.1 - - [17/May/2015:08:05:32 +0000] "GET / HTTP/1.1" 200 9 "-" "-" 0.1 h"#;
        rejects(MAIN, "", "remote_addr");
        rejects(MAIN, &good.replace(" [", " "), "remote_user");
        rejects(MAIN, &good.replace("May", "Mai"), "time_local");
        rejects(MAIN, &good.replace("GET /", "GET"), "request");
        rejects(MAIN, &good.replace("200", "99"), "status");
        rejects(MAIN, &good.replace(" 9 ", " x "), "body_bytes_sent");
        rejects(JSON, good, "line");
        rejects("$msec $status $request.", "1.0 200 GET / HTTP/1.1.x", "request");
    }

    #[test]
    fn a_format_that_says_too_little_is_refused() {
        let refuses = |text: &str, error: LogTemplateError| {
            assert_eq!(LogTemplate::compile(text).expect_err("a bad format"), error, "{text}");
        };
        refuses("$request $status", LogTemplateError::Time);
        refuses("$msec $status", LogTemplateError::Request);
        refuses("$msec $request_method $status", LogTemplateError::Request);
        refuses("$msec $request", LogTemplateError::Status);
        refuses("$msec$request $status", LogTemplateError::Adjacent("msec".to_owned()));
        refuses("$msec $request $status $", LogTemplateError::Name);
        refuses("$msec $request ${status", LogTemplateError::Name);
        refuses("escape=xml $msec $request $status", LogTemplateError::Escape);
        refuses("log_format a '$msec $request $status", LogTemplateError::Quote);
        refuses(&format!("$msec $request $status{}", " $a".repeat(126)), LogTemplateError::TooMany);
    }
}
