//! Keeps other people's web pages out of a server that trusts whoever reaches it on loopback.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{StatusCode, header};

use super::problem::Problem;

/// A page on another site can make a browser ask a loopback server: directly, which the browser says in `Sec-Fetch-Site`, or
/// through a name of its own that it points at 127.0.0.1 (DNS rebinding), which the host name shows. `hosts` are the names
/// that are right besides loopback ones; `None` asks for no name.
pub(super) fn check(request: &Request, hosts: Option<&[String]>) -> Result<(), Problem> {
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site == Some("cross-site") && request.uri().path().starts_with("/api/") {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another site may not ask")
            .hint("ask from a program, or from a page of this server"));
    }
    let Some(hosts) = hosts else { return Ok(()) };
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = named.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    match authority.map(host_of) {
        Some(host) if is_loopback(host) || hosts.iter().any(|right| right.eq_ignore_ascii_case(host)) => Ok(()),
        _ => Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "this server answers on loopback names only")
            .hint("ask as localhost or 127.0.0.1; a proxy in front sends `Host: 127.0.0.1`")),
    }
}

fn host_of(authority: &str) -> &str {
    let without_port = match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    };
    without_port.trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn host(name: &str, right: bool) {
        let request = Request::builder().uri("/").header("host", name).body(axum::body::Body::empty());
        let hosts = ["who.example".to_owned()];
        assert_eq!(check(&request.expect("a request"), Some(&hosts)).is_ok(), right, "{name}");
    }

    #[test]
    fn only_loopback_names_and_configured_ones_are_answered() {
        for right in
            ["localhost", "LOCALHOST:80", "127.0.0.1:8480", "127.8.8.8", "[::1]:8480", "[::1]", "who.example:1"]
        {
            host(right, true);
        }
        for wrong in ["evil.example", "evil.example:8480", "10.0.0.1", "localhost.evil.example", "", "[::2]:80"] {
            host(wrong, false);
        }
    }

    #[test]
    fn a_page_of_another_site_may_show_ours_but_not_ask_the_api() {
        let request = |path: &str| {
            let request = Request::builder().uri(path).header("sec-fetch-site", "cross-site");
            request.body(axum::body::Body::empty()).expect("a request")
        };
        assert!(check(&request("/"), None).is_ok());
        assert!(check(&request("/api/v1/sql"), None).is_err());
    }
}
