//! The gateway's own address as clients know it, for documents that must name it.

use http::HeaderMap;
use http::header;
use http::request::Parts;
use http::uri::Authority;
use url::Url;
use whopulls_schemas::config::Trust;

use super::client_address::Peer;

/// `https://get.example.org`, without a slash at its end: the configured one, else what the client asked for. `None` when it asked for
/// no host that can stand in a URL.
pub(crate) fn public_base(public_url: Option<&Url>, trust: &Trust, peer: &Peer, request: &Parts) -> Option<String> {
    if let Some(url) = public_url {
        return Some(url.as_str().trim_end_matches('/').to_owned());
    }
    let asked = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get(header::HOST)?.to_str().ok()?,
    };
    // It goes into documents: nothing but a name or address and a port.
    let plain = asked.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    let authority: Authority = asked.parse().ok().filter(|_| plain)?;
    let https = peer.tls || (is_trusted(trust, peer) && says_https(&request.headers));
    Some(format!("{}://{authority}", if https { "https" } else { "http" }))
}

/// Whether the peer is a proxy whose word counts.
fn is_trusted(trust: &Trust, peer: &Peer) -> bool {
    match trust {
        Trust::Socket => false,
        Trust::Networks(networks) => networks.iter().any(|network| network.contains(&peer.address.to_canonical())),
        Trust::Hops(_) => true,
    }
}

fn says_https(headers: &HeaderMap) -> bool {
    let value = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[track_caller]
    fn check(public_url: Option<&str>, trust: &Trust, tls: bool, headers: &[(&str, &str)], expected: Option<&str>) {
        let url = public_url.map(|url| Url::parse(url).expect("a URL"));
        let request = headers.iter().fold(http::Request::get("/p"), |r, (name, value)| r.header(*name, *value));
        let request = request.body(()).expect("a request").into_parts().0;
        let peer = Peer { tls, ..Peer::plain(IpAddr::from([127, 0, 0, 1])) };
        assert_eq!(public_base(url.as_ref(), trust, &peer, &request).as_deref(), expected);
    }

    #[test]
    fn the_configured_address_counts_before_the_one_asked_for() {
        let host = [("host", "get.example.org:8080"), ("x-forwarded-proto", "https")];
        check(Some("https://a.example.org/x/"), &Trust::Socket, false, &host, Some("https://a.example.org/x"));
        check(None, &Trust::Socket, false, &host, Some("http://get.example.org:8080"));
        check(None, &Trust::Socket, true, &host, Some("https://get.example.org:8080"));
        check(None, &Trust::Hops(1), false, &host, Some("https://get.example.org:8080"));
        let networks = Trust::Networks(vec!["127.0.0.0/8".parse().expect("a network")]);
        check(None, &networks, false, &host, Some("https://get.example.org:8080"));
        check(None, &Trust::Socket, false, &[("host", "[::1]:80")], Some("http://[::1]:80"));
    }

    #[test]
    fn a_host_that_cannot_stand_in_a_url_is_none() {
        for bad in ["", "a b", "a\"b", "user@a", "a/b", "a?b", "<a>"] {
            check(None, &Trust::Socket, false, &[("host", bad)], None);
        }
        check(None, &Trust::Socket, false, &[], None);
    }
}
