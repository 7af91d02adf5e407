//! What an upstream wants to see: a token for each repository, fetched once however many wait for it, or the configured credentials.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{self, HeaderValue};
use prometheus_client::metrics::counter::Counter;
use url::Url;

use super::super::upstream_answer::{Challenge, TokenAnswer, TokenService};
use super::ask::bounded_body;
use super::upstream::Upstream;
use super::upstream_error::UpstreamError;
use crate::io::clock;

/// Repositories of an upstream whose tokens are kept. About 2 KiB each: 8 MiB.
const TOKENS_MAX: usize = 4096;
/// A token service's answer is a token of at most some KiB.
const TOKEN_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Configured credentials do not expire; they are taken up anew now and then like a token.
const CREDENTIALS_LIVE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<String, Slot>>,
    fetched: Counter,
}

/// Whoever holds the lock fetches; the others wait and use what was fetched.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

#[derive(Debug, Clone)]
struct Held {
    authorization: HeaderValue,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(fetched: Counter) -> Self {
        Self { slots: Mutex::default(), fetched }
    }

    /// The `Authorization` in hand for a repository, unless it is about to expire.
    pub(super) async fn held(&self, name: &str) -> Option<HeaderValue> {
        let slot = Arc::clone(self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(name)?);
        let held = slot.lock().await;
        held.as_ref().filter(|held| clock::monotonic() < held.until).map(|held| held.authorization.clone())
    }

    fn slot(&self, name: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= TOKENS_MAX && !slots.contains_key(name) {
            // Rare and cheap to make up for: every repository fetches one token again.
            slots.clear();
        }
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }
}

impl Upstream {
    /// What meets `challenge` and is not `refused`, which the upstream did not take.
    pub(super) async fn authorization(
        &self,
        name: Option<&str>,
        challenge: &Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, UpstreamError> {
        let slot = self.tokens.slot(name.unwrap_or_default());
        let mut held = slot.lock().await;
        let now = clock::monotonic();
        if let Some(held) = held.as_ref().filter(|held| now < held.until && Some(&held.authorization) != refused) {
            return Ok(held.authorization.clone());
        }
        let (authorization, lives) = match challenge {
            Challenge::Basic => {
                let own = self.credentials.clone().filter(|own| Some(own) != refused);
                (own.ok_or(UpstreamError::Denied(StatusCode::UNAUTHORIZED))?, CREDENTIALS_LIVE)
            }
            Challenge::Bearer(service) => {
                let scopes: Vec<String> = name.map(|name| format!("repository:{name}:pull")).into_iter().collect();
                let answer = self.token_of(service, &scopes, self.credentials.as_ref()).await?;
                let (token, lives_s) = answer.token().ok_or(UpstreamError::Unusable("its token service gave none"))?;
                (bearer(&token)?, Duration::from_secs(lives_s))
            }
        };
        *held = Some(Held { authorization: authorization.clone(), until: now + lives });
        Ok(authorization)
    }

    /// Asks a token service, with `credentials` in its own way.
    pub(super) async fn token_of(
        &self,
        service: &TokenService,
        scopes: &[String],
        credentials: Option<&HeaderValue>,
    ) -> Result<TokenAnswer, UpstreamError> {
        let mut url = Url::parse(&service.realm).map_err(|_no_url| UpstreamError::Unusable("its realm is no URL"))?;
        if url.scheme() != "https" && self.base.starts_with("https:") {
            return Err(UpstreamError::Unusable("its token service is not https"));
        }
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &service.service {
                query.append_pair("service", service);
            }
            for scope in scopes {
                query.append_pair("scope", scope);
            }
        }
        let client = self.guard.client_for(&url, &self.clients)?;
        self.tokens.fetched.inc();
        let mut request = client.get(url);
        if let Some(credentials) = credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Err(UpstreamError::RateLimited { retry_after: None }),
            status if status.is_client_error() => Err(UpstreamError::Denied(status)),
            status if status.is_server_error() => Err(UpstreamError::Status(status)),
            status if !status.is_success() => Err(UpstreamError::Unusable("its token service gives no token")),
            _ => {
                let body = bounded_body(response, TOKEN_ANSWER_BYTES_MAX).await?;
                serde_json::from_slice(&body)
                    .map_err(|_not_json| UpstreamError::Unusable("its token service does not answer in JSON"))
            }
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, UpstreamError> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_not_a_header| UpstreamError::Unusable("its token cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}
