//! Why an upstream gave no answer that can be passed on: whose fault it is, and whether another way may help.

use std::error::Error as _;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use super::super::retry::is_passing;
use super::guard::NotPublic;

/// The upstream did not give an answer that can be passed on. No URL enters its text: one may be signed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// It, or its token service, wants other credentials.
    #[error("the upstream or its token service refused with {0}")]
    Denied(StatusCode),
    /// It was asked too often.
    #[error("the upstream was asked too often")]
    RateLimited {
        /// What it said of when to come back.
        retry_after: Option<String>,
    },
    /// It answered that it cannot.
    #[error("the upstream answered {0}")]
    Status(StatusCode),
    /// It took too long.
    #[error("the upstream took too long")]
    Timeout,
    /// As many requests to it as may be were under way all the time.
    #[error("too many requests to the upstream are under way")]
    Busy,
    /// Its answer makes no sense.
    #[error("the upstream's answer cannot be used: {0}")]
    Unusable(&'static str),
    /// Its body is larger than one may be.
    #[error("the upstream's body is larger than expected")]
    TooLarge,
    /// Its body is not what its digest says.
    #[error("the upstream's body does not have the digest that was asked for")]
    Mismatch,
    /// It led to an address that is not public.
    #[error("the upstream leads to an address that is not public; `gateway.upstream_networks` can allow it")]
    Forbidden,
    /// No rule and no `[[upstream]]` has it.
    #[error("no upstream has this id")]
    Unknown,
    /// The connection failed.
    #[error("ask the upstream")]
    Http(#[source] Arc<reqwest::Error>),
}

impl UpstreamError {
    /// Another upstream or a cached answer may serve the client: the upstream, not the client, is at fault.
    pub(super) fn is_failure(&self) -> bool {
        !matches!(self, Self::Denied(_) | Self::TooLarge | Self::Unknown)
    }

    /// The upstream does not do its work, as `health` counts it.
    pub(super) fn is_sickness(&self) -> bool {
        matches!(self, Self::Status(_) | Self::Timeout | Self::Http(_))
    }

    /// The same request may go well at once.
    pub(super) fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Status(status) => is_passing(*status),
            Self::Http(error) => !error.is_builder() && !error.is_body() && !error.is_decode(),
            Self::Denied(_)
            | Self::RateLimited { .. }
            | Self::Timeout
            | Self::Busy
            | Self::Unusable(_)
            | Self::TooLarge
            | Self::Mismatch
            | Self::Forbidden
            | Self::Unknown => false,
        }
    }

    /// Tells the client when to come back, where the upstream said so.
    pub(super) fn say_when(&self, headers: &mut HeaderMap) {
        if let Self::RateLimited { retry_after: Some(after) } = self
            && let Ok(after) = HeaderValue::try_from(after)
        {
            headers.insert(RETRY_AFTER, after);
        }
    }

    /// The word of the metric `upstream_requests`.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Denied(_) => "client_error",
            Self::RateLimited { .. } => "ratelimited",
            Self::Timeout | Self::Busy => "timeout",
            Self::Mismatch => "mismatch",
            Self::Http(_) | Self::Forbidden | Self::Unknown => "connect",
            Self::Status(_) | Self::Unusable(_) | Self::TooLarge => "server_error",
        }
    }

    /// The status that the upstream answered, for the record.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Denied(status) | Self::Status(status) => Some(*status),
            Self::RateLimited { .. } => Some(StatusCode::TOO_MANY_REQUESTS),
            Self::Timeout
            | Self::Busy
            | Self::Unusable(_)
            | Self::TooLarge
            | Self::Mismatch
            | Self::Forbidden
            | Self::Unknown
            | Self::Http(_) => None,
        }
    }
}

impl From<reqwest::Error> for UpstreamError {
    fn from(error: reqwest::Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            if cause.is::<NotPublic>() {
                return Self::Forbidden;
            }
            source = cause.source();
        }
        // A connection that was not made in time is tried again like one that was refused.
        if error.is_timeout() && !error.is_connect() {
            return Self::Timeout;
        }
        Self::Http(Arc::new(error.without_url()))
    }
}
