//! Where an answer leads, what a host may be told, and whether asking again can help.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use thiserror::Error;
use url::{Origin, Url};
use whopulls_schemas::config::SourceUrl;

/// Why a redirect is not followed.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum HopError {
    /// There is none, or it is no URL.
    #[error("redirects to nowhere: its Location is not a URL")]
    Nowhere,
    /// Neither https nor, from http, http.
    #[error("redirects to {to}, which is less safe than itself")]
    Downgrade {
        /// The target.
        to: SourceUrl,
    },
}

/// The URL that an answer of `from` leads to. One of https never leads to http.
pub(super) fn next_hop(from: &Url, location: Option<&str>) -> Result<Url, HopError> {
    let mut to = location.and_then(|location| from.join(location).ok()).ok_or(HopError::Nowhere)?;
    // A server's word is not taken for who we are.
    if to.set_username("").is_err() || to.set_password(None).is_err() {
        return Err(HopError::Nowhere);
    }
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        _ => Err(HopError::Downgrade { to: SourceUrl::new(to) }),
    }
}

/// HTTP Basic for one scheme, host and port.
#[derive(Debug)]
pub(super) struct Authorization {
    origin: Origin,
    value: HeaderValue,
}

impl Authorization {
    pub(super) fn new(url: &SourceUrl, username: &str, password: &str) -> Self {
        let text = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        // Base64 is always a header value.
        let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        Self { origin: url.reveal().origin(), value }
    }

    /// What is said to the host of `url`: nothing, but to the one that it is for.
    pub(super) fn value_for(&self, url: &Url) -> Option<HeaderValue> {
        (url.origin() == self.origin).then(|| self.value.clone())
    }
}

/// Whether an answer of this status may be another one a moment later.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// What to do about an answer that is no file.
pub(super) fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => {
            "look at `username` and `password_file`, or the token in the URL, and whether the account may have this database"
        }
        404 | 410 => "nothing is there: look at `url` and `sha256_url`",
        429 => "the provider gives no more today: ask less often",
        500.. => "the provider fails: try again later",
        _ => "look at `url` and `sha256_url`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[track_caller]
    fn leads(from: &str, location: &str, expected: Option<&str>) {
        let to = next_hop(&url(from), Some(location)).ok().map(String::from);
        assert_eq!(to.as_deref(), expected, "{from} {location}");
    }

    #[test]
    fn a_redirect_is_never_less_safe() {
        leads("https://a.example.org/x/y", "z?q=1", Some("https://a.example.org/x/z?q=1"));
        leads("https://a.example.org/x", "//b.example.org/", Some("https://b.example.org/"));
        leads("https://a.example.org/x", "https://u:p@b.example.org/", Some("https://b.example.org/"));
        leads("http://a.example.org/x", "https://a.example.org/x", Some("https://a.example.org/x"));
        leads("http://a.example.org/x", "/z", Some("http://a.example.org/z"));
        leads("https://a.example.org/x", "http://a.example.org/x", None);
        leads("https://a.example.org/x", "file:///etc/passwd", None);
        leads("http://a.example.org/x", "ftp://a.example.org/x", None);
        leads("https://a.example.org/x", "https://", None);
        assert_eq!(next_hop(&url("https://a.example.org/"), None), Err(HopError::Nowhere));
    }

    #[test]
    fn a_refused_redirect_does_not_show_its_query() {
        let refused = next_hop(&url("https://a.example.org/"), Some("http://b.example.org/x?signature=hunter2"));
        let told = refused.expect_err("a refusal").to_string();
        assert!(told.contains("http://b.example.org/x") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_password_is_for_one_host() {
        let authorization = Authorization::new(&SourceUrl::new(url("https://a.example.org/x")), "user", "hunter2");
        let told = |to: &str| authorization.value_for(&url(to)).is_some();
        assert!(told("https://a.example.org/y?z") && told("https://a.example.org:443/"));
        for other in [
            "https://b.example.org/",
            "https://sub.a.example.org/",
            "https://a.example.org:8443/",
            "http://a.example.org/",
            "http://a.example.org:443/",
        ] {
            assert!(!told(other), "{other}");
        }
        let value = authorization.value_for(&url("https://a.example.org/")).expect("told");
        assert_eq!(value.to_str().ok(), Some("Basic dXNlcjpodW50ZXIy"));
        assert!(!format!("{authorization:?}").contains("dXNlcjpodW50ZXIy"), "{authorization:?}");
    }

    #[test]
    fn only_what_passes_is_asked_again() {
        let passing = |status: u16| is_passing(StatusCode::from_u16(status).expect("a status"));
        assert!([408, 500, 502, 503, 504].into_iter().all(passing));
        assert!(![400, 401, 403, 404, 410, 416, 429].into_iter().any(passing));
        assert!(advice(StatusCode::FORBIDDEN).contains("password_file"));
        assert!(advice(StatusCode::NOT_FOUND).contains("`url`"));
    }
}
