//! What is read from an upstream registry's answer: its challenge, the children of an index, the next page's link.

use http::header::{self, HeaderMap, HeaderName};
use serde::Deserialize;
use whopulls_schemas::raw::{Child, ENTRIES_MAX, bounded};

/// What an upstream wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from a token service.
    Bearer(TokenService),
    /// User and password.
    Basic,
}

/// Where a token is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenService {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
}

impl Challenge {
    /// The first challenge of `WWW-Authenticate` that can be met, a token before a password. Its scope is not taken: a registry may name a
    /// placeholder, and the gateway knows what it wants.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut challenges: Vec<Self> = values.filter_map(|value| Self::parse(value.to_str().ok()?)).collect();
        challenges.sort_by_key(|challenge| *challenge == Self::Basic);
        challenges.into_iter().next()
    }

    fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let (scheme, parameters) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let realm = parameter(parameters, "realm")?;
        Some(Self::Bearer(TokenService { realm, service: parameter(parameters, "service") }))
    }
}

/// One parameter of a challenge, quoted or not. A quoted value may hold commas.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut left = parameters;
    while let Some((name, after)) = left.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']);
        let (value, rest) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value.trim().to_owned());
        }
        left = rest;
    }
    None
}

/// A token service's answer.
#[derive(Clone, Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    pub(crate) issued_at: Option<String>,
}

/// What the token specification says when `expires_in` is absent.
const EXPIRES_IN_S_DEFAULT: u64 = 60;
/// A token that claims to live longer is renewed all the same.
const EXPIRES_IN_S_MAX: u64 = 3600;

impl TokenAnswer {
    /// The token as it is handed on, and the seconds that it lives.
    pub(crate) fn whole(&self) -> Option<(&str, u64)> {
        let token = self.token.as_deref().or(self.access_token.as_deref()).filter(|t| !t.is_empty())?;
        Some((token, self.expires_in.unwrap_or(EXPIRES_IN_S_DEFAULT)))
    }

    /// The token and the seconds for which it is used: a tenth less than it lives.
    pub(crate) fn token(self) -> Option<(String, u64)> {
        let lives_s = self.expires_in.unwrap_or(EXPIRES_IN_S_DEFAULT).min(EXPIRES_IN_S_MAX);
        let token = self.token.or(self.access_token).filter(|t| !t.is_empty())?;
        Some((token, lives_s - lives_s / 10))
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// The children of an index; none for anything else, or for an index that cannot be read: the client gets it all the same.
pub(crate) fn children(media_type: &str, body: &[u8]) -> Vec<Child> {
    let is_index = media_type.contains("image.index") || media_type.contains("manifest.list");
    if !is_index {
        return Vec::new();
    }
    let Ok(index) = serde_json::from_slice::<Index>(body) else {
        return Vec::new();
    };
    let child = |descriptor: Descriptor| Child {
        digest: bounded(&descriptor.digest),
        platform: descriptor.platform.and_then(|p| platform(&p)),
    };
    index.manifests.into_iter().take(ENTRIES_MAX).map(child).collect()
}

/// Attestations are listed with the platform `unknown/unknown`: that is none.
fn platform(platform: &Platform) -> Option<String> {
    if platform.os == "unknown" {
        return None;
    }
    let variant = platform.variant.as_deref().map(|v| format!("/{v}")).unwrap_or_default();
    Some(bounded(&format!("{}/{}{variant}", platform.os, platform.architecture)))
}

/// A `Link` to the next page with its path written back to the public name. `None` for a link that leads elsewhere.
pub(crate) fn public_link(link: &str, upstream_name: &str, public_name: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let path = match target.split_once("://") {
        Some((_scheme, rest)) => rest.split_once('/')?.1,
        None => target.strip_prefix('/')?,
    };
    let behind = path.strip_prefix("v2/")?.strip_prefix(upstream_name)?.strip_prefix('/')?;
    Some(format!("</v2/{public_name}/{behind}>{parameters}"))
}

/// What of an upstream's answer is passed on. `Link` is rewritten apart.
fn is_passed_on(name: &HeaderName) -> bool {
    const PASSED: [HeaderName; 9] = [
        header::ACCEPT_RANGES,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::ETAG,
        header::LAST_MODIFIED,
        header::RETRY_AFTER,
        header::WARNING,
    ];
    let named = ["docker-content-digest", "oci-filters-applied", "oci-subject"];
    PASSED.contains(name) || named.contains(&name.as_str()) || name.as_str().starts_with("ratelimit-")
}

/// What of an upstream's head goes to the client.
pub(crate) fn passed_on(upstream: &HeaderMap) -> HeaderMap {
    only(upstream, is_passed_on)
}

/// The fields of a head that are wanted, unchanged.
pub(crate) fn only(headers: &HeaderMap, is_wanted: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let wanted = headers.iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(&str, Option<&str>)>) {
        let found = Challenge::parse(value);
        let found = found.as_ref().map(|c| match c {
            Challenge::Bearer(service) => (service.realm.as_str(), service.service.as_deref()),
            Challenge::Basic => ("basic", None),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_bearer_challenge_names_its_realm_and_service() {
        check(
            r#"Bearer realm="https://auth.example.org/token",service="registry.example.org",scope="repository:a,b:pull""#,
            Some(("https://auth.example.org/token", Some("registry.example.org"))),
        );
        check(r#"bearer scope="x,y", realm="https://a/t""#, Some(("https://a/t", None)));
        check("Bearer realm=https://a/t, service=s", Some(("https://a/t", Some("s"))));
        check(r#"Basic realm="x""#, Some(("basic", None)));
        check("Negotiate", None);
        check("Bearer", None);
        check(r#"Bearer realm="unclosed"#, None);
    }

    #[test]
    fn an_index_gives_its_children_without_attestations_platform() {
        let body = br#"{"manifests":[
            {"digest":"sha256:a","platform":{"os":"linux","architecture":"arm","variant":"v7"}},
            {"digest":"sha256:b","platform":{"os":"unknown","architecture":"unknown"}}]}"#;
        let found = children("application/vnd.oci.image.index.v1+json", body);
        let found: Vec<_> = found.iter().map(|c| (c.digest.as_str(), c.platform.as_deref())).collect();
        assert_eq!(found, [("sha256:a", Some("linux/arm/v7")), ("sha256:b", None)]);
        assert_eq!(children("application/vnd.oci.image.manifest.v1+json", body), []);
        assert_eq!(children("application/vnd.oci.image.index.v1+json", b"nonsense"), []);
    }

    #[test]
    fn the_next_page_is_under_the_public_name() {
        let expected = Some(r#"</v2/acme/app/tags/list?last=b&n=2>; rel="next""#.to_owned());
        for target in ["/v2/up/app/tags/list?last=b&n=2", "https://r.example.org/v2/up/app/tags/list?last=b&n=2"] {
            assert_eq!(public_link(&format!("<{target}>; rel=\"next\""), "up/app", "acme/app"), expected);
        }
        assert_eq!(public_link("</v2/other/tags/list>; rel=\"next\"", "up/app", "acme/app"), None);
    }

    #[test]
    fn a_token_is_used_a_tenth_less_than_it_lives() {
        let token = |text: &str| serde_json::from_str::<TokenAnswer>(text).expect("JSON").token();
        assert_eq!(token(r#"{"token":"t","expires_in":300}"#), Some(("t".into(), 270)));
        assert_eq!(token(r#"{"access_token":"a"}"#), Some(("a".into(), 54)));
        assert_eq!(token(r#"{"expires_in":300}"#), None);
    }
}
