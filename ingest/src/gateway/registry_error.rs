//! Errors in the registry's own shape, so that its clients say something useful.

use http::StatusCode;

/// A code of the distribution specification, and when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistryError {
    /// No rule knows the repository.
    NameUnknown,
    /// Not a path of the API.
    PathUnknown,
    /// `_catalog` is not answered.
    CatalogUnsupported,
    /// Any method but GET and HEAD.
    MethodUnsupported,
    /// The repository has no such manifest or tag.
    ManifestUnknown,
    /// The client has to log in, or did so in vain.
    Unauthorized,
    /// The upstream was asked too often.
    TooManyRequests,
    /// What the upstream sent does not have the digest that was asked for.
    DigestMismatch,
    /// The upstream gives this repository to nobody without credentials.
    Denied,
    /// The upstream does not answer, or not in a way that can be passed on.
    UpstreamUnavailable,
    /// The upstream took too long.
    UpstreamTimeout,
    /// The upstream's manifest is larger than a manifest may be.
    ManifestTooLarge,
}

impl RegistryError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NameUnknown | Self::PathUnknown | Self::CatalogUnsupported | Self::ManifestUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::MethodUnsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::UpstreamUnavailable | Self::ManifestTooLarge | Self::DigestMismatch => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// `{"errors":[{"code","message","detail"}]}`
    pub(crate) fn body(self) -> String {
        let (code, message) = match self {
            Self::NameUnknown => ("NAME_UNKNOWN", "no repository of this name is served here"),
            Self::PathUnknown => ("UNSUPPORTED", "not a path of the registry API"),
            Self::CatalogUnsupported => ("UNSUPPORTED", "the catalog is not served here"),
            Self::MethodUnsupported => ("UNSUPPORTED", "this registry is read-only: GET and HEAD"),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", "the repository has no such manifest"),
            Self::Unauthorized => ("UNAUTHORIZED", "log in to this registry; user or password may be wrong"),
            Self::TooManyRequests => ("TOOMANYREQUESTS", "the upstream registry was asked too often; try again later"),
            Self::DigestMismatch => {
                ("DIGEST_INVALID", "the upstream registry sent something else than it was asked for")
            }
            Self::Denied => ("DENIED", "the upstream registry does not serve this repository without credentials"),
            Self::UpstreamUnavailable => ("UNAVAILABLE", "the upstream registry does not answer; try again"),
            Self::UpstreamTimeout => ("UNAVAILABLE", "the upstream registry took too long; try again"),
            Self::ManifestTooLarge => ("MANIFEST_INVALID", "the upstream's answer is larger than it may be"),
        };
        serde_json::json!({"errors": [{"code": code, "message": message, "detail": null}]}).to_string()
    }
}
