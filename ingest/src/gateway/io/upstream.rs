//! Upstreams: each with its clients, its bound on requests, its credentials, its tokens and its health.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use whopulls_schemas::config::{GatewayConfig, SecretSource, UpstreamConfig};

use super::super::health::Health;
use super::super::retry::Budget;
use super::super::upstream_answer::Challenge;
use super::guard::{Clients, Guard};
use super::server::GatewayError;
use super::token::Tokens;
use super::upstream_error::UpstreamError;
use crate::io::clock;
use crate::metrics::{Metrics, UpstreamSeries};

/// A budget that is low is said at most this often.
const SAY_EVERY_US: i64 = 60_000_000;

/// All upstreams, by id.
#[derive(Debug)]
pub(super) struct Upstreams {
    by_id: HashMap<String, Arc<Upstream>>,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    config: UpstreamConfig,
    pub(super) id: String,
    /// Without a slash at its end.
    pub(super) base: String,
    pub(super) timeout: Duration,
    pub(super) retries_max: usize,
    pub(super) permits: Arc<Semaphore>,
    pub(super) clients: Clients,
    pub(super) guard: Arc<Guard>,
    /// `Basic …`
    pub(super) credentials: Option<HeaderValue>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) metrics: UpstreamSeries,
    health: Arc<Mutex<Health>>,
    low_said: AtomicI64,
    /// What it wanted to see when a client last logged in.
    pub(super) wanted: Mutex<Option<(Option<Challenge>, Instant)>>,
    retries: AtomicUsize,
    random: RandomState,
}

impl Upstreams {
    pub(super) fn new(
        gateway: &GatewayConfig,
        upstreams: &[UpstreamConfig],
        metrics: &Metrics,
    ) -> Result<Self, GatewayError> {
        let guard = Guard::new(gateway.upstream_networks.clone(), metrics.upstream.forbidden.clone());
        Self::made(gateway, upstreams, metrics, guard, &HashMap::new())
    }

    /// The upstreams of a new configuration. Connections, and of each upstream its tokens, its requests under way and its health, are
    /// taken over where the settings that they depend on are the same.
    pub(super) fn reconfigured(
        &self,
        gateway: &GatewayConfig,
        upstreams: &[UpstreamConfig],
        metrics: &Metrics,
    ) -> Result<Self, GatewayError> {
        let forbidden = metrics.upstream.forbidden.clone();
        let guard = match self.by_id.values().next() {
            Some(upstream) => upstream.guard.next(gateway.upstream_networks.clone(), forbidden),
            None => Guard::new(gateway.upstream_networks.clone(), forbidden),
        };
        Self::made(gateway, upstreams, metrics, guard, &self.by_id)
    }

    fn made(
        gateway: &GatewayConfig,
        upstreams: &[UpstreamConfig],
        metrics: &Metrics,
        mut guard: Guard,
        before: &HashMap<String, Arc<Upstream>>,
    ) -> Result<Self, GatewayError> {
        let timeout =
            |upstream: &UpstreamConfig| Duration::from_secs(upstream.timeout_s.unwrap_or(gateway.upstream_timeout_s));
        let clients = upstreams.iter().map(|upstream| guard.name(upstream, timeout(upstream)));
        let clients: Vec<Clients> = clients.collect::<Result<_, _>>()?;
        let guard = Arc::new(guard);
        let mut by_id = HashMap::new();
        for (upstream, clients) in upstreams.iter().zip(clients) {
            let credentials = credentials(upstream)?;
            let same_place = before.get(&upstream.id).filter(|known| known.config.url == upstream.url);
            let same_credentials = same_place.filter(|known| known.credentials == credentials);
            let same_bound = same_place.filter(|known| known.config.requests_max == upstream.requests_max);
            let tokens = || Arc::new(Tokens::new(metrics.tokens.clone()));
            let made = Upstream {
                config: upstream.clone(),
                id: upstream.id.clone(),
                base: upstream.url.as_str().trim_end_matches('/').to_owned(),
                timeout: timeout(upstream),
                retries_max: upstream.retries_max,
                permits: same_bound.map_or_else(
                    || Arc::new(Semaphore::new(upstream.requests_max)),
                    |known| Arc::clone(&known.permits),
                ),
                clients,
                guard: Arc::clone(&guard),
                credentials,
                tokens: same_credentials.map_or_else(tokens, |known| Arc::clone(&known.tokens)),
                metrics: metrics.upstream.of(&upstream.id),
                health: same_place.map_or_else(Arc::default, |known| Arc::clone(&known.health)),
                low_said: AtomicI64::new(same_place.map_or(i64::MIN, |known| known.low_said.load(Ordering::Relaxed))),
                wanted: Mutex::default(),
                retries: AtomicUsize::new(0),
                random: RandomState::new(),
            };
            by_id.insert(upstream.id.clone(), Arc::new(made));
        }
        Ok(Self { by_id })
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Upstream>> {
        self.by_id.get(id)
    }
}

impl Upstream {
    /// Who has another way takes it at once.
    pub(super) fn is_backing_off(&self) -> bool {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).is_backing_off(clock::monotonic())
    }

    pub(super) fn note<T>(&self, result: &Result<T, UpstreamError>) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) | Err(UpstreamError::Denied(_)) => health.handle_answer(),
            Err(error) if error.is_sickness() => health.handle_failure(clock::monotonic()),
            Err(_) => {}
        }
    }

    /// Takes over what the upstream says of its budget, and says when that is low.
    pub(super) fn note_budget(&self, headers: &HeaderMap) {
        let Some(budget) = Budget::of(headers) else {
            return;
        };
        self.metrics.set_remaining(budget.remaining);
        if !budget.is_low() {
            return;
        }
        let (now, said) = (clock::now().0, self.low_said.load(Ordering::Relaxed));
        let due = said == i64::MIN || now.saturating_sub(said) >= SAY_EVERY_US;
        if due && self.low_said.compare_exchange(said, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(
                upstream = self.id,
                remaining = budget.remaining,
                limit = budget.limit,
                "the upstream will soon refuse requests: less than a tenth of its rate limit is left"
            );
        }
    }

    /// A number that nobody foresees, for jitter.
    pub(super) fn random(&self) -> u64 {
        self.random.hash_one(self.retries.fetch_add(1, Ordering::Relaxed))
    }
}

/// The configured credentials as HTTP Basic has them.
pub(super) fn credentials(upstream: &UpstreamConfig) -> Result<Option<HeaderValue>, GatewayError> {
    let (Some(user), Some(password)) = (&upstream.username, &upstream.password) else {
        return Ok(None);
    };
    let value = match password {
        SecretSource::Given(secret) => basic(user, secret.reveal()),
        SecretSource::File(path) => {
            let failed = |source| GatewayError::UpstreamFile { path: path.clone(), source };
            let text = std::fs::read_to_string(path).map_err(failed)?;
            basic(user, text.trim_end_matches(['\r', '\n']))
        }
    };
    Ok(Some(value))
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    // Base64 is always a header value.
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
