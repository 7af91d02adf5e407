//! The registry API's paths. A repository name has slashes, and a component of it may itself be called `manifests`: paths are read
//! from the right.

/// What a path below `/v2` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OciPath<'a> {
    /// `/v2` or `/v2/`: is this a registry?
    Base,
    /// `/v2/_catalog`: never answered.
    Catalog,
    /// `/v2/token`: the gateway's own token endpoint.
    Token,
    Manifest {
        name: &'a str,
        reference: &'a str,
    },
    Blob {
        name: &'a str,
        digest: &'a str,
    },
    Tags {
        name: &'a str,
    },
    Referrers {
        name: &'a str,
        digest: &'a str,
    },
    /// Below `/v2/` but nothing of the API.
    Unknown,
}

impl<'a> OciPath<'a> {
    /// `None` for a path that is not the registry API's.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        let below = path.strip_prefix("/v2")?;
        if below.is_empty() || below == "/" {
            return Some(Self::Base);
        }
        let below = below.strip_prefix('/')?;
        if below == "_catalog" {
            return Some(Self::Catalog);
        }
        if below == "token" {
            return Some(Self::Token);
        }
        Some(Self::of_repository(below).filter(|path| path.name().is_some_and(is_name)).unwrap_or(Self::Unknown))
    }

    fn of_repository(below: &'a str) -> Option<Self> {
        if let Some(name) = below.strip_suffix("/tags/list") {
            return Some(Self::Tags { name });
        }
        let (before, last) = below.rsplit_once('/')?;
        let (name, what) = before.rsplit_once('/')?;
        match what {
            "manifests" if is_tag(last) || is_digest(last) => Some(Self::Manifest { name, reference: last }),
            "blobs" if is_digest(last) => Some(Self::Blob { name, digest: last }),
            "referrers" if is_digest(last) => Some(Self::Referrers { name, digest: last }),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Tags { name }
            | Self::Referrers { name, .. } => Some(name),
            Self::Base | Self::Catalog | Self::Token | Self::Unknown => None,
        }
    }

    /// The tag or digest asked for.
    pub(crate) fn reference(&self) -> Option<&'a str> {
        match self {
            Self::Manifest { reference, .. } => Some(reference),
            Self::Blob { digest, .. } | Self::Referrers { digest, .. } => Some(digest),
            Self::Tags { .. } | Self::Base | Self::Catalog | Self::Token | Self::Unknown => None,
        }
    }

    /// The path's part behind the repository name, for the upstream.
    pub(crate) fn behind_name(&self) -> String {
        match self {
            Self::Manifest { reference, .. } => format!("manifests/{reference}"),
            Self::Blob { digest, .. } => format!("blobs/{digest}"),
            Self::Referrers { digest, .. } => format!("referrers/{digest}"),
            Self::Tags { .. } => "tags/list".into(),
            Self::Base | Self::Catalog | Self::Token | Self::Unknown => String::new(),
        }
    }
}

/// A reference with a colon is a digest: `algorithm:encoded`, the algorithm in words of lower-case letters and digits between `+`, `.`, `_`
/// and `-`. Of the registered algorithms the form is known: what is none of theirs is nobody's content, and some registries answer it with
/// an error of their own.
pub(crate) fn is_digest(reference: &str) -> bool {
    let Some((algorithm, encoded)) = reference.split_once(':') else { return false };
    let is_hex = |length| encoded.len() == length && encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_text = || !encoded.is_empty() && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b));
    match algorithm {
        "sha256" => is_hex(64),
        "sha512" => is_hex(128),
        _ => reference.len() <= 256 && algorithm.split(['+', '.', '_', '-']).all(is_word) && is_text(),
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(reference: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    reference.len() <= 128
        && reference.bytes().next().is_some_and(word)
        && reference.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Components of lower-case letters and digits, with `.`, `_` and `-` between; 255 bytes in all.
fn is_name(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_component = |component: &str| {
        component.bytes().next().is_some_and(alphanumeric)
            && component.bytes().next_back().is_some_and(alphanumeric)
            && component.bytes().all(|b| alphanumeric(b) || b"._-".contains(&b))
    };
    name.len() <= 255 && name.split('/').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[track_caller]
    fn check(path: &str, expected: Option<OciPath<'_>>) {
        assert_eq!(OciPath::parse(path), expected);
    }

    #[test]
    fn paths_are_read_from_the_right() {
        check("/v2/", Some(OciPath::Base));
        check("/v2", Some(OciPath::Base));
        check("/v2/_catalog", Some(OciPath::Catalog));
        check("/v2/token", Some(OciPath::Token));
        check("/v2/token/tags/list", Some(OciPath::Tags { name: "token" }));
        check("/v2/a/b/manifests/1.0", Some(OciPath::Manifest { name: "a/b", reference: "1.0" }));
        check("/v2/a/manifests/manifests/latest", Some(OciPath::Manifest { name: "a/manifests", reference: "latest" }));
        check("/v2/manifests/blobs/manifests/x", Some(OciPath::Manifest { name: "manifests/blobs", reference: "x" }));
        check("/v2/a/tags/list", Some(OciPath::Tags { name: "a" }));
        check(&format!("/v2/a/blobs/{DIGEST}"), Some(OciPath::Blob { name: "a", digest: DIGEST }));
        check(&format!("/v2/a/referrers/{DIGEST}"), Some(OciPath::Referrers { name: "a", digest: DIGEST }));
    }

    #[test]
    fn what_is_no_name_tag_or_digest_goes_nowhere() {
        check("/v3/", None);
        check("/v2x", None);
        for path in [
            "/v2/manifests/latest",
            "/v2/a/blobs/latest",
            "/v2/A/manifests/x",
            "/v2/a/../b/manifests/x",
            "/v2/a//b/manifests/x",
            "/v2/a/manifests/.x",
            "/v2/a/manifests/",
            "/v2/a/manifests/x%2f..",
            "/v2/a/blobs/sha256:",
            "/v2/a/blobs/sha256:ab",
            "/v2/a/manifests/sha256:baddigeststring",
            "/v2/a/manifests/sha512:ab",
            "/v2/a/blobs/.sha256:ab",
            "/v2/a/blobs/SHA256:ab",
        ] {
            check(path, Some(OciPath::Unknown));
        }
    }
}
