//! One question to an upstream: its bounds, its retries, its credentials, and where its redirects lead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::super::retry::pause;
use super::super::upstream_answer::Challenge;
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use crate::io::clock;

/// Redirects that are followed one after the other.
const REDIRECTS_MAX: usize = 5;

/// A question to an upstream.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Behind the upstream's base URL, with the query.
    pub(super) path: String,
    /// What goes along. Never the client's credentials.
    pub(super) headers: HeaderMap,
    pub(super) auth: Auth,
    /// Redirects are followed by the gateway, not handed on.
    pub(super) follow: bool,
}

/// Whose credentials go along.
#[derive(Debug, Clone)]
pub(super) enum Auth {
    /// The gateway's own, for this repository.
    Repository(String),
    /// The gateway's own, where the upstream asks for some.
    Own,
    /// The client's.
    Client(Option<HeaderValue>),
}

/// An upstream's answer; as long as it is held, it counts as a request under way.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) response: reqwest::Response,
    permit: OwnedSemaphorePermit,
}

impl Reply {
    /// The body as it comes. When it breaks, so does what it is sent on with.
    pub(super) fn into_body(self) -> reqwest::Body {
        let Self { response, permit } = self;
        // The permit goes with the stream.
        reqwest::Body::wrap_stream(response.bytes_stream().inspect(move |_chunk| {
            let _held = &permit;
        }))
    }

    /// The whole body, when it is within `bytes_max` and comes in time.
    pub(super) async fn into_bytes(self, bytes_max: usize, within: Duration) -> Result<Bytes, UpstreamError> {
        let read = tokio::time::timeout(within, bounded_body(self.response, bytes_max)).await;
        read.unwrap_or(Err(UpstreamError::Timeout))
    }
}

/// The whole body, when it is within `bytes_max`.
pub(super) async fn bounded_body(mut response: reqwest::Response, bytes_max: usize) -> Result<Bytes, UpstreamError> {
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(UpstreamError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Err(UpstreamError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

impl Upstream {
    /// Asks, within the upstream's timeout for all attempts together.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Reply, UpstreamError> {
        let begun = clock::monotonic();
        let permit = tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(UpstreamError::Busy);
        };
        let left = self.timeout.saturating_sub(begun.elapsed());
        // Boxed: retries, tokens and redirects make a large future.
        let answered = tokio::time::timeout(left, Box::pin(self.attempts(ask))).await;
        let result = answered.unwrap_or_else(|_elapsed| {
            self.metrics.ended("timeout");
            Err(UpstreamError::Timeout)
        });
        self.note(&result);
        result.map(|response| Reply { response, permit })
    }

    async fn attempts(&self, ask: &Ask) -> Result<reqwest::Response, UpstreamError> {
        let mut attempt = 0;
        loop {
            match self.attempt(ask).await {
                Err(error) if attempt < self.retries_max && error.is_worth_a_retry() => {
                    attempt += 1;
                    self.metrics.retries.inc();
                    tracing::debug!(%error, upstream = self.id, attempt, "an upstream is asked again");
                    tokio::time::sleep(pause(attempt, self.random())).await;
                }
                result => return result,
            }
        }
    }

    /// Asks, and when the upstream wants credentials gets some and asks again, once.
    async fn attempt(&self, ask: &Ask) -> Result<reqwest::Response, UpstreamError> {
        let url = Url::parse(&format!("{}{}", self.base, ask.path));
        let url = url.map_err(|_not_a_url| UpstreamError::Unusable("the rule makes no URL"))?;
        let (name, mut authorization) = match &ask.auth {
            Auth::Repository(name) => (Some(name.as_str()), self.tokens.held(name).await),
            Auth::Own => (None, self.tokens.held("").await),
            Auth::Client(given) => (None, given.clone()),
        };
        let client = self.clients.named();
        let asked = self.send(client, &url, ask, authorization.as_ref()).await;
        let mut response = match asked {
            Err(Refusal { challenge: Some(challenge), .. }) if !matches!(ask.auth, Auth::Client(_)) => {
                authorization = Some(self.authorization(name, &challenge, authorization.as_ref()).await?);
                self.send(client, &url, ask, authorization.as_ref()).await?
            }
            asked => asked?,
        };
        if ask.follow {
            response = self.followed(response, ask, authorization.as_ref()).await?;
        }
        Ok(response)
    }

    /// Follows redirects. Credentials go no further than the upstream itself.
    async fn followed(
        &self,
        mut response: reqwest::Response,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, UpstreamError> {
        let origin = response.url().origin();
        for _ in 0..REDIRECTS_MAX {
            let Some(target) = redirect_target(&response)? else {
                return Ok(response);
            };
            let client = self.guard.client_for(&target, &self.clients)?;
            let authorization = authorization.filter(|_| target.origin() == origin);
            let is_led_away = target.origin() != origin;
            response = match self.send(&client, &target, ask, authorization).await {
                // A storage's refusal says nothing about the client.
                Err(Refusal { error: UpstreamError::Denied(_), .. }) if is_led_away => {
                    return Err(UpstreamError::Unusable("the storage that it leads to refused"));
                }
                sent => sent?,
            };
        }
        match redirect_target(&response)? {
            None => Ok(response),
            Some(_) => Err(UpstreamError::Unusable("it redirects without end")),
        }
    }

    async fn send(
        &self,
        client: &reqwest::Client,
        url: &Url,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, Refusal> {
        let mut request = client.request(ask.method.clone(), url.clone()).headers(ask.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let begun = clock::monotonic();
        let result = request.send().await.map_err(|error| Refusal::from(UpstreamError::from(error)));
        let result = result.and_then(|response| {
            self.note_budget(response.headers());
            classified(response)
        });
        self.count(begun, &result);
        result
    }

    fn count(&self, begun: Instant, result: &Result<reqwest::Response, Refusal>) {
        self.metrics.duration.observe(begun.elapsed().as_secs_f64());
        self.metrics.ended(match result {
            Ok(response) if response.status().is_client_error() => "client_error",
            Ok(_) => "ok",
            Err(refusal) => refusal.error.word(),
        });
    }
}

/// No answer to pass on, and what would make it one.
struct Refusal {
    error: UpstreamError,
    challenge: Option<Challenge>,
}

impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        Self { error, challenge: None }
    }
}

impl From<Refusal> for UpstreamError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// An answer that can be passed on, or why not.
fn classified(response: reqwest::Response) -> Result<reqwest::Response, Refusal> {
    let status = response.status();
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Err(UpstreamError::RateLimited { retry_after: retry_after.map(String::from) }.into())
        }
        StatusCode::UNAUTHORIZED => {
            Err(Refusal { error: UpstreamError::Denied(status), challenge: Challenge::of(response.headers()) })
        }
        StatusCode::FORBIDDEN => Err(UpstreamError::Denied(status).into()),
        status if status.is_server_error() => Err(UpstreamError::Status(status).into()),
        _ => Ok(response),
    }
}

/// Where a redirect leads.
pub(super) fn redirect_target(response: &reqwest::Response) -> Result<Option<Url>, UpstreamError> {
    let status = response.status();
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let target = location.and_then(|location| response.url().join(location).ok());
    let target = target.filter(|target| matches!(target.scheme(), "http" | "https") && target.has_host());
    target.map(Some).ok_or(UpstreamError::Unusable("it redirects to no URL"))
}
