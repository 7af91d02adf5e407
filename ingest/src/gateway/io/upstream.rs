//! Requests to upstream registries, with the token that they want.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::super::routes::OciTarget;
use super::super::upstream_answer::Challenge;
use super::token::Tokens;
use crate::metrics::Metrics;

/// Connections kept open to each upstream.
const IDLE_MAX: usize = 64;
/// What of the client's request goes to the upstream, unchanged. Never its `Authorization`.
const PASSED_UP: [HeaderName; 5] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::RANGE, header::IF_NONE_MATCH, header::IF_RANGE];

/// The upstream did not give an answer that can be passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error("the upstream or its token service refused with {0}")]
    Denied(StatusCode),
    #[error("the upstream took too long")]
    Timeout,
    #[error("the upstream's answer cannot be used")]
    Unusable,
    #[error("the upstream's body is larger than expected")]
    TooLarge,
    #[error("ask the upstream")]
    Http(#[source] reqwest::Error),
}

impl From<reqwest::Error> for UpstreamError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Http(error.without_url()) }
    }
}

#[derive(Debug)]
pub(super) struct Upstreams {
    client: reqwest::Client,
    tokens: Tokens,
    timeout: Duration,
    metrics: Metrics,
}

/// One question to an upstream.
pub(super) struct Question<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a OciTarget<'a>,
    /// The path behind the repository name.
    pub(super) behind_name: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
}

impl Question<'_> {
    fn url(&self) -> String {
        let query = self.query.map(|q| format!("?{q}")).unwrap_or_default();
        let OciTarget { rule, upstream_name, .. } = self.target;
        format!("{}/v2/{upstream_name}/{}{query}", rule.upstream, self.behind_name)
    }
}

impl Upstreams {
    pub(super) fn new(timeout: Duration, metrics: Metrics) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("whopulls/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout)
            .read_timeout(timeout)
            .pool_max_idle_per_host(IDLE_MAX)
            .build()?;
        Ok(Self { client, tokens: Tokens::default(), timeout, metrics })
    }

    /// Asks, and when the upstream wants a token gets one and asks again, once.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<reqwest::Response, UpstreamError> {
        let key = (question.target.rule.upstream.as_str(), question.target.upstream_name.as_str());
        let held = self.tokens.held(key.0, key.1).await;
        let response = self.send(question, held.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return passable(response);
        }
        let Some(challenge) = Challenge::of(response.headers()) else {
            return Err(UpstreamError::Denied(response.status()));
        };
        drop(response);
        self.metrics.tokens.inc();
        let token = self.tokens.fresh(&self.client, key, &challenge, held.as_deref(), self.timeout).await?;
        passable(self.send(question, Some(&token)).await?)
    }

    async fn send(&self, question: &Question<'_>, token: Option<&str>) -> Result<reqwest::Response, UpstreamError> {
        let mut request = self.client.request(question.method.clone(), question.url());
        for name in &PASSED_UP {
            for value in question.headers.get_all(name) {
                request = request.header(name, value);
            }
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answered = tokio::time::timeout(self.timeout, request.send()).await;
        Ok(answered.map_err(|_elapsed| UpstreamError::Timeout)??)
    }
}

/// A client that has no credentials to give must not be asked for some.
fn passable(response: reqwest::Response) -> Result<reqwest::Response, UpstreamError> {
    match response.status() {
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(UpstreamError::Denied(status)),
        _ => Ok(response),
    }
}

/// The whole body, when it is within `bytes_max`.
pub(super) async fn bounded_body(mut response: reqwest::Response, bytes_max: usize) -> Result<Bytes, UpstreamError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Err(UpstreamError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
