//! The closed vocabularies of a raw record.

use serde::{Deserialize, Serialize};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What a word of records and rows means.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }

            /// The word as it stands in records and rows.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

vocabulary! {
    /// How the client's address was learned.
    ClientIpSource {
        /// The peer of the connection.
        Socket = "socket",
        /// `X-Forwarded-For`, by configured trust.
        Forwarded = "forwarded",
        /// The PROXY protocol.
        ProxyProtocol = "proxy_protocol",
        /// A line of a foreign log.
        Import = "import",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro does not mark a default variant")]
impl Default for ClientIpSource {
    fn default() -> Self {
        Self::Socket
    }
}

vocabulary! {
    /// The protocol version of a request.
    HttpVersion {
        /// HTTP/1.0.
        Http10 = "1.0",
        /// HTTP/1.1.
        Http11 = "1.1",
        /// HTTP/2.
        Http2 = "2",
        /// HTTP/3.
        Http3 = "3",
    }
}

vocabulary! {
    /// What kind of thing was asked for.
    Kind {
        /// The container registry API.
        Oci = "oci",
        /// A file.
        File = "file",
        /// A Helm repository with an index.
        Helm = "helm",
        /// A Python package index.
        Pypi = "pypi",
        /// An npm registry.
        Npm = "npm",
        /// A counting picture.
        Pixel = "pixel",
        /// A telemetry event.
        Telemetry = "telemetry",
        /// Anything else on the host.
        Other = "other",
    }
}

vocabulary! {
    /// What the gateway did with the request.
    Outcome {
        /// The upstream's answer was passed through.
        Proxied = "proxied",
        /// The client was sent elsewhere.
        Redirected = "redirected",
        /// Answered from the cache.
        Cached = "cached",
        /// Answered from the cache although it was due for renewal, since the upstream did not answer.
        Stale = "stale",
        /// Answered by the gateway itself: no rule, a wrong method, a malformed path.
        Refused = "refused",
        /// The upstream failed.
        UpstreamError = "upstream_error",
        /// Answered by the gateway itself with success (`/v2/`).
        Served = "served",
    }
}

vocabulary! {
    /// How an organization said itself who it is.
    ClaimBy {
        /// It asked for a host name that only it has.
        Host = "host",
        /// It gave a user name that only it has.
        User = "user",
    }
}

/// An organization that said itself who it is, in a way that the configuration knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its id: its domain where it has one.
    pub organization: String,
    /// Its name for people.
    pub name: String,
    /// How it said so.
    pub by: ClaimBy,
}

/// A child of an image index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its digest.
    pub digest: String,
    /// Its platform as `os/architecture[/variant]`; absent for attestations and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}
