//! The token endpoint, `/v2/token`: what the challenge says, and which scopes a client asks for.

use http::header::{self, HeaderMap, HeaderValue};
use url::Url;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::{GatewayConfig, Trust};

use super::client_address::Peer;

/// Repositories in one token request. Clients ask for one or two.
const SCOPES_MAX: usize = 16;

/// The gateway's address as a client sees it, as `https://get.example.org`. The host is what the client asked for: registry and realm must share
/// it. `None` where that is no host.
pub(crate) fn public_address(
    config: &GatewayConfig,
    peer: &Peer,
    asked: Option<&str>,
    headers: &HeaderMap,
) -> Option<String> {
    let own = config.public_url.as_ref();
    let is_authority = |text: &&str| {
        !text.is_empty()
            && text.len() <= 255
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
    };
    let scheme = if peer.tls {
        "https"
    } else {
        let passed_on = headers.get("x-forwarded-proto").filter(|_| is_trusted(&config.trust, peer));
        // The proxy next to us wrote the last one.
        let last = passed_on.and_then(|value| value.to_str().ok()?.rsplit(',').next()).map(str::trim);
        match last {
            Some(last) if last.eq_ignore_ascii_case("https") => "https",
            Some(last) if last.eq_ignore_ascii_case("http") => "http",
            _ => own.map_or("http", Url::scheme),
        }
    };
    match asked.filter(is_authority) {
        Some(authority) => Some(format!("{scheme}://{authority}")),
        None => own.map(|url| url.as_str().trim_end_matches('/').to_owned()),
    }
}

/// The host with its port, as asked for.
pub(crate) fn authority(request: &http::request::Parts) -> Option<&str> {
    let of_target = request.uri.authority().map(http::uri::Authority::as_str);
    of_target.or_else(|| request.headers.get(header::HOST)?.to_str().ok())
}

fn is_trusted(trust: &Trust, peer: &Peer) -> bool {
    match trust {
        Trust::Socket => false,
        Trust::Networks(networks) => networks.iter().any(|network| network.contains(&peer.address.to_canonical())),
        Trust::Hops(_) => true,
    }
}

/// `Bearer realm="…",service="…"`, with the scope where a repository was asked for.
pub(crate) fn challenge(address: &str, repository: Option<&str>) -> Option<HeaderValue> {
    let service = address.split_once("://").map_or(address, |(_scheme, authority)| authority);
    let scope = repository.map(|name| format!(",scope=\"repository:{name}:pull\"")).unwrap_or_default();
    HeaderValue::try_from(format!("Bearer realm=\"{address}/v2/token\",service=\"{service}\"{scope}")).ok()
}

/// The repositories that a token request is for. Whatever it wants to do with them, it gets to pull.
pub(crate) fn repositories(query: Option<&str>) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let scopes = pairs.filter(|(name, _)| name == "scope");
    let mut names = Vec::new();
    for (_, scopes) in scopes {
        for scope in scopes.split(' ') {
            let name = scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':')).map(|(name, _)| name);
            if let Some(name) = name
                && names.len() < SCOPES_MAX
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// `2024-01-02T03:04:05Z`
pub(crate) fn rfc3339(moment: UnixMicros) -> String {
    let seconds = moment.0.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days of 400 years, years that begin in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400 + i64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn config(public_url: Option<&str>, trust: Trust) -> GatewayConfig {
        let mut config = GatewayConfig::on(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.public_url = public_url.map(|url| url.parse().expect("a URL"));
        config.trust = trust;
        config
    }

    fn address(config: &GatewayConfig, tls: bool, asked: Option<&str>, proto: Option<&'static str>) -> Option<String> {
        let mut peer = Peer::plain([10, 0, 0, 1].into());
        peer.tls = tls;
        let mut headers = HeaderMap::new();
        if let Some(proto) = proto {
            headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
        }
        public_address(config, &peer, asked, &headers)
    }

    #[test]
    fn the_realm_is_where_the_client_asked() {
        let plain = config(None, Trust::Socket);
        let asked = Some("get.example.org:8080");
        assert_eq!(address(&plain, false, asked, None).as_deref(), Some("http://get.example.org:8080"));
        assert_eq!(address(&plain, true, asked, None).as_deref(), Some("https://get.example.org:8080"));
        assert_eq!(address(&plain, false, asked, Some("https")).as_deref(), Some("http://get.example.org:8080"));
        assert_eq!(address(&plain, false, Some("a\"b"), None), None);
        let behind = config(None, Trust::Networks(vec!["10.0.0.0/8".parse().expect("a network")]));
        assert_eq!(address(&behind, false, asked, Some("https")).as_deref(), Some("https://get.example.org:8080"));
        let chain = address(&behind, false, asked, Some("http, HTTPS"));
        assert_eq!(chain.as_deref(), Some("https://get.example.org:8080"));
        let public = config(Some("https://get.example.org"), Trust::Socket);
        assert_eq!(address(&public, false, Some("get.example.org"), None).as_deref(), Some("https://get.example.org"));
        assert_eq!(address(&public, false, None, None).as_deref(), Some("https://get.example.org"));
    }

    #[test]
    fn the_challenge_names_the_public_repository() {
        let expected = "Bearer realm=\"https://get.example.org/v2/token\",service=\"get.example.org\"";
        let base = challenge("https://get.example.org", None).expect("a value");
        assert_eq!(base, expected);
        let named = challenge("https://get.example.org", Some("acme/app")).expect("a value");
        assert_eq!(named, format!("{expected},scope=\"repository:acme/app:pull\"").as_str());
    }

    #[test]
    fn a_moment_is_written_with_its_date() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_704_164_645, "2024-01-02T03:04:05Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UnixMicros(seconds * 1_000_000)), expected);
        }
    }

    #[test]
    fn scopes_are_read_in_both_ways_of_writing_them() {
        let query = "service=x&scope=repository%3Aacme%2Fapp%3Apull&scope=repository:b:pull,push%20repository:c/d:pull";
        assert_eq!(repositories(Some(query)), ["acme/app", "b", "c/d"]);
        assert_eq!(repositories(Some("scope=registry:catalog:*&scope=repository:x")), [""; 0]);
        assert_eq!(repositories(None), [""; 0]);
        let many = (0..100).fold(String::new(), |text, n| text + &format!("&scope=repository:r{n}:pull"));
        assert_eq!(repositories(Some(&many)).len(), SCOPES_MAX);
    }
}
