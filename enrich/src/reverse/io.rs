//! Asking, and remembering what was answered.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use moka::sync::Cache;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use thiserror::Error;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::RawAccess;

use super::domain::customer_domain;
use super::pace::Pace;
use crate::attribute::{asks_for_a_name, is_providers};
use crate::event::Event;
use crate::geo::Database;
use crate::io::clock;
use crate::overrides::{OverridesFile, Subject};

/// Addresses that are remembered, at some 150 bytes each: 15 MB.
const ANSWERS_MAX: u64 = 100_000;
/// How long an answer holds, whatever its own time to live: networks change hands by the month.
const ANSWER_TTL: Duration = Duration::from_hours(6);
/// How long a name server that did not answer is believed to have nothing to say about an address.
const FAILURE_TTL: Duration = Duration::from_mins(5);
/// Questions under way at once.
const UNDER_WAY_MAX: usize = 64;
/// The longest wait for one answer of one server, which is asked twice.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// An address may have several names; so many are looked at.
const NAMES_MAX: usize = 4;

/// Whom to ask and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseOptions {
    /// Name servers; none: those of the system.
    pub servers: Vec<SocketAddr>,
    /// The most addresses asked for in a second.
    pub per_second: u32,
    /// The longest that records wait for answers.
    pub wait_max: Duration,
}

/// Why nobody can be asked.
#[derive(Debug, Error)]
pub enum ReverseError {
    /// The system names no servers, or wrongly.
    #[error("read the system's name servers; `enrich.reverse_dns_servers` can name others")]
    System(#[source] NetError),
    /// The resolver cannot be made.
    #[error("make the resolver for reverse DNS")]
    Resolver(#[source] NetError),
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// `confirmed`, `nobody` (no name, a pool's, or one that does not lead back), `failed`, `late` (no answer in time, or not asked).
    pub outcome: &'static str,
}

/// Counts of addresses.
#[derive(Debug, Clone, Default)]
pub struct ReverseMetrics {
    lookups: Family<OutcomeLabels, Counter>,
}

impl ReverseMetrics {
    fn count(&self, outcome: &'static str, addresses: usize) {
        self.lookups.get_or_create(&OutcomeLabels { outcome }).inc_by(u64::try_from(addresses).unwrap_or(u64::MAX));
    }

    /// Registers them as `whopulls_enrich_reverse_dns_…`.
    pub fn register(&self, registry: &mut Registry) {
        for outcome in ["confirmed", "nobody", "failed", "late"] {
            self.count(outcome, 0);
        }
        let registry = registry.sub_registry_with_prefix("whopulls_enrich");
        registry.register("reverse_dns", "Addresses whose name was asked for, by outcome", self.lookups.clone());
    }
}

/// The names of addresses that nothing else is known of.
pub struct ReverseNames {
    database: Arc<Database>,
    overrides: Arc<OverridesFile>,
    resolver: TokioResolver,
    wait_max: Duration,
    pace: Mutex<Pace>,
    answers: Cache<IpAddr, Option<Arc<str>>>,
    failures: Cache<IpAddr, ()>,
    metrics: ReverseMetrics,
}

impl std::fmt::Debug for ReverseNames {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReverseNames").field("wait_max", &self.wait_max).finish_non_exhaustive()
    }
}

impl ReverseNames {
    /// Asks nothing yet. The database says which addresses are worth a question, the overrides which may not be asked about.
    ///
    /// # Errors
    /// When there is nobody to ask.
    pub fn new(
        database: Arc<Database>,
        overrides: Arc<OverridesFile>,
        options: &ReverseOptions,
    ) -> Result<Self, ReverseError> {
        Ok(Self {
            database,
            overrides,
            resolver: resolver(&options.servers)?,
            wait_max: options.wait_max,
            pace: Mutex::new(Pace::new(options.per_second)),
            answers: Cache::builder().max_capacity(ANSWERS_MAX).time_to_live(ANSWER_TTL).build(),
            failures: Cache::builder().max_capacity(ANSWERS_MAX).time_to_live(FAILURE_TTL).build(),
            metrics: ReverseMetrics::default(),
        })
    }

    /// What is counted.
    pub const fn metrics(&self) -> &ReverseMetrics {
        &self.metrics
    }

    /// The domain of whoever uses the address, as far as it was learned.
    pub fn domain(&self, address: IpAddr) -> Option<Arc<str>> {
        self.answers.get(&address.to_canonical()).flatten()
    }

    /// Asks for the names of those clients that nothing else is known of, and returns when all are answered or the time is over. A client that asked not to be
    /// tracked is not asked about, nor one that says itself who it is.
    pub async fn learn(&self, records: &[&RawAccess]) {
        let may_ask = |raw: &&&RawAccess| raw.claim.is_none() && !Event::is_untracked(raw);
        self.ask(records.iter().filter(may_ask).filter_map(|raw| raw.client_ip)).await;
    }

    /// The same for addresses.
    pub async fn ask(&self, addresses: impl Iterator<Item = IpAddr>) {
        let mut addresses: BTreeSet<IpAddr> = addresses.map(|address| address.to_canonical()).collect();
        addresses.retain(|&address| self.is_wanted(address));
        if addresses.is_empty() {
            return;
        }
        let wanted = addresses.len();
        let wait_us = i64::try_from(self.wait_max.as_micros()).unwrap_or(i64::MAX);
        let until = UnixMicros(clock::now().0.saturating_add(wait_us));
        let mut asked = futures::stream::iter(addresses)
            .map(|address| self.ask_one(address, until))
            .buffer_unordered(UNDER_WAY_MAX);
        let mut answered = 0;
        let all = async {
            while let Some(in_time) = asked.next().await {
                answered += usize::from(in_time);
            }
        };
        // What is not answered in time is asked again when the address comes again.
        drop(tokio::time::timeout(self.wait_max, all).await);
        self.metrics.count("late", wanted - answered);
    }

    fn is_wanted(&self, address: IpAddr) -> bool {
        !self.answers.contains_key(&address)
            && !self.failures.contains_key(&address)
            && !self.overrides.current().opts_out(Subject::Address(address))
            && asks_for_a_name(&self.database.snapshot().lookup(address))
    }

    /// Whether it was answered; a failure is an answer too.
    async fn ask_one(&self, address: IpAddr, until: UnixMicros) -> bool {
        let turn = self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(clock::now(), until);
        let Some(wait) = turn else { return false };
        tokio::time::sleep(wait).await;
        // The reason of a failure holds the address, so it is counted and not logged.
        if let Ok(domain) = self.confirmed(address).await {
            self.metrics.count(if domain.is_some() { "confirmed" } else { "nobody" }, 1);
            self.answers.insert(address, domain);
        } else {
            self.metrics.count("failed", 1);
            self.failures.insert(address, ());
        }
        true
    }

    /// The domain of the first name that is a user's and leads back to the address: whoever runs the reverse zone can write any name into it.
    async fn confirmed(&self, address: IpAddr) -> Result<Option<Arc<str>>, NetError> {
        let Some(names) = answered(self.resolver.reverse_lookup(Name::from(address)).await)? else { return Ok(None) };
        for answer in names.answers().iter().take(NAMES_MAX) {
            let RData::PTR(name) = &answer.data else { continue };
            let domain = customer_domain(&name.0.to_ascii(), address);
            let Some(domain) = domain.filter(|domain| !is_providers(domain)) else { continue };
            let mut name = name.0.clone();
            name.set_fqdn(true);
            let back = match address {
                IpAddr::V4(_) => self.resolver.ipv4_lookup(name).await,
                IpAddr::V6(_) => self.resolver.ipv6_lookup(name).await,
            };
            let leads_back = answered(back)?
                .is_some_and(|found| found.answers().iter().any(|answer| answer.data.ip_addr() == Some(address)));
            if leads_back {
                return Ok(Some(domain.into()));
            }
        }
        Ok(None)
    }
}

/// That there is no such name is an answer.
fn answered<T>(found: Result<T, NetError>) -> Result<Option<T>, NetError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_no_records_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, ReverseError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(ReverseError::System)?
    } else {
        let servers = servers.iter().map(|server| {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = ANSWER_WAIT;
    options.attempts = 2;
    options.use_hosts_file = ResolveHosts::Never;
    // Answers are remembered here, by address.
    options.cache_size = 0;
    builder.build().map_err(ReverseError::Resolver)
}
