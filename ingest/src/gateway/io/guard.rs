//! Clients for upstreams, and for where upstreams lead. A name is looked up once: what was checked is what is connected to.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};
use whopulls_schemas::config::UpstreamConfig;

use super::super::destination::is_allowed;
use super::authorities;
use super::server::GatewayError;
use super::upstream_error::UpstreamError;

/// Connections kept open to each host.
const IDLE_MAX: usize = 64;
/// A host that does not take the connection by then is tried again; the whole is bounded by the upstream's timeout.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// A name has no address that a request may go to.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has no public address")
    }
}

impl std::error::Error for NotPublic {}

/// Looks names up and leaves out the addresses that a request may not go to.
#[derive(Debug)]
struct PublicOnly {
    networks: Vec<IpNet>,
    forbidden: Counter,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let (networks, forbidden) = (self.networks.clone(), self.forbidden.clone());
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found.into_iter().filter(|found| is_allowed(found.ip(), &networks)).collect();
            if allowed.is_empty() {
                forbidden.inc();
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The clients of upstreams with the same settings.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// For what the configuration names.
    named: reqwest::Client,
    /// For where an upstream leads.
    led: reqwest::Client,
}

/// All clients, and which hosts the configuration names.
#[derive(Debug)]
pub(super) struct Guard {
    networks: Vec<IpNet>,
    forbidden: Counter,
    /// By host and port.
    named: HashMap<(String, u16), reqwest::Client>,
    made: HashMap<Settings, Clients>,
    /// Those of the configuration before this one, and with them their connections.
    before: HashMap<Settings, Clients>,
}

/// What clients are made from: the certificates to trust besides the system's, as they stand in the file, and the timeout.
type Settings = (Option<Vec<u8>>, Duration);

impl Guard {
    pub(super) fn new(networks: Vec<IpNet>, forbidden: Counter) -> Self {
        Self { networks, forbidden, named: HashMap::new(), made: HashMap::new(), before: HashMap::new() }
    }

    /// One that names nothing yet and has this one's clients at hand, as far as they look names up in the same way.
    pub(super) fn next(&self, networks: Vec<IpNet>, forbidden: Counter) -> Self {
        let before = if networks == self.networks { self.made.clone() } else { HashMap::new() };
        Self { before, ..Self::new(networks, forbidden) }
    }

    /// The clients for an upstream; its host is named from now on.
    pub(super) fn name(&mut self, upstream: &UpstreamConfig, timeout: Duration) -> Result<Clients, GatewayError> {
        let key = (upstream.ca_file.as_deref().map(read).transpose()?, timeout);
        let known = self.made.get(&key).or_else(|| self.before.get(&key)).cloned();
        let clients = match known {
            Some(clients) => clients,
            None => self.make(key.0.as_deref(), timeout)?,
        };
        self.made.insert(key, clients.clone());
        if let Some(place) = place(&upstream.url) {
            self.named.entry(place).or_insert_with(|| clients.named.clone());
        }
        Ok(clients)
    }

    fn make(&self, ca: Option<&[u8]>, timeout: Duration) -> Result<Clients, GatewayError> {
        let public = PublicOnly { networks: self.networks.clone(), forbidden: self.forbidden.clone() };
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(GatewayError::Client);
        let named = build(builder(ca, timeout))?;
        Ok(Clients { named, led: build(builder(ca, timeout).dns_resolver(Arc::new(public)))? })
    }

    /// The client for `url`, to which an upstream of `clients` led.
    pub(super) fn client_for(&self, url: &Url, clients: &Clients) -> Result<reqwest::Client, UpstreamError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UpstreamError::Unusable("it leads to something that is not http"));
        }
        if let Some(named) = place(url).and_then(|place| self.named.get(&place)) {
            return Ok(named.clone());
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(UpstreamError::Unusable("it leads to a URL without a host")),
        };
        if address.is_some_and(|address| !is_allowed(address, &self.networks)) {
            self.forbidden.inc();
            return Err(UpstreamError::Forbidden);
        }
        Ok(clients.led.clone())
    }
}

impl Clients {
    pub(super) fn named(&self) -> &reqwest::Client {
        &self.named
    }
}

fn place(url: &Url) -> Option<(String, u16)> {
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

fn read(path: &Path) -> Result<Vec<u8>, GatewayError> {
    authorities::read(path).map_err(|source| GatewayError::UpstreamFile { path: path.to_owned(), source })
}

fn builder(pem: Option<&[u8]>, timeout: Duration) -> reqwest::ClientBuilder {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("whopulls/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
        .read_timeout(timeout)
        .pool_max_idle_per_host(IDLE_MAX);
    if let Some(pem) = pem {
        // It was read before: what is wrong with it was said then.
        for certificate in authorities::authorities(pem).unwrap_or_default() {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder
}
