//! Anonymous tokens of upstream registries: one per upstream and repository, fetched once however many wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::upstream_answer::{Challenge, TokenAnswer};
use super::upstream::{UpstreamError, bounded_body};
use crate::io::clock;

/// Repositories whose tokens are kept. About 2 KiB each: 20 MiB.
const TOKENS_MAX: usize = 10_000;
/// A token service's answer is a token of at most some KiB.
const TOKEN_ANSWER_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<(String, String), Slot>>,
}

/// Whoever holds the lock fetches; the others wait and use what was fetched.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

#[derive(Debug, Clone)]
struct Token {
    value: String,
    until: Instant,
}

impl Tokens {
    /// The token in hand for a repository, unless it is about to expire.
    pub(super) async fn held(&self, upstream: &str, name: &str) -> Option<String> {
        let slot = Arc::clone(self.lock().get(&(upstream.to_owned(), name.to_owned()))?);
        let token = slot.lock().await;
        token.as_ref().filter(|t| clock::monotonic() < t.until).map(|t| t.value.clone())
    }

    /// A token that is not `refused`, the one that the upstream did not take.
    pub(super) async fn fresh(
        &self,
        client: &reqwest::Client,
        (upstream, name): (&str, &str),
        challenge: &Challenge,
        refused: Option<&str>,
        timeout: Duration,
    ) -> Result<String, UpstreamError> {
        let slot = self.slot(upstream, name);
        let mut held = slot.lock().await;
        let now = clock::monotonic();
        if let Some(token) = held.as_ref().filter(|t| now < t.until && Some(t.value.as_str()) != refused) {
            return Ok(token.value.clone());
        }
        let fetched = tokio::time::timeout(timeout, fetch(client, name, challenge)).await;
        let (value, lives_s) = fetched.map_err(|_elapsed| UpstreamError::Timeout)??;
        *held = Some(Token { value: value.clone(), until: now + Duration::from_secs(lives_s) });
        Ok(value)
    }

    fn slot(&self, upstream: &str, name: &str) -> Slot {
        let mut slots = self.lock();
        let key = (upstream.to_owned(), name.to_owned());
        if slots.len() >= TOKENS_MAX && !slots.contains_key(&key) {
            // Rare and cheap to make up for: every repository fetches one token again.
            slots.clear();
        }
        Arc::clone(slots.entry(key).or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(client: &reqwest::Client, name: &str, challenge: &Challenge) -> Result<(String, u64), UpstreamError> {
    let mut url = url::Url::parse(&challenge.realm)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or(UpstreamError::Unusable)?;
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &challenge.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &format!("repository:{name}:pull"));
    }
    let response = client.get(url).send().await?;
    let status = response.status();
    if status.is_client_error() {
        return Err(UpstreamError::Denied(status));
    }
    if !status.is_success() {
        return Err(UpstreamError::Unusable);
    }
    let body = bounded_body(response, TOKEN_ANSWER_BYTES_MAX).await?;
    let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_not_json| UpstreamError::Unusable)?;
    answer.token().ok_or(UpstreamError::Unusable)
}
