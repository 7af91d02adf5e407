//! What answers: everything that a reload of the configuration replaces.

use std::sync::Arc;

use arc_swap::ArcSwap;
use whopulls_schemas::config::{Config, GatewayConfig};

use super::super::claim::Organizations;
use super::super::hosts::HostMap;
use super::super::opt_out::OptOut;
use super::super::own_page::OwnPages;
use super::super::privacy_page::PrivacyPage;
use super::super::routes::Routes;
use super::index_cache::Indexes;
use super::oci::OciState;
use super::server::GatewayError;
use super::store::Store;
use super::tls::{CertificateReloader, TlsError};
use super::upstream::Upstreams;
use crate::metrics::Metrics;

/// Rules, upstreams and the facts of the configuration that a request asks for. Made whole, then swapped in: a request sees one of them
/// from its beginning to its end.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) config: GatewayConfig,
    pub(super) routes: Routes,
    pub(super) upstreams: Upstreams,
    pub(super) oci: OciState,
    pub(super) organizations: Organizations,
    pub(super) opt_out: OptOut,
    pub(super) own_pages: OwnPages,
    pub(super) privacy_page: PrivacyPage,
    pub(super) indexes: Indexes,
    /// The one thing that a reload keeps.
    pub(super) store: Arc<Store>,
}

impl Live {
    pub(super) fn new(
        all: &Config,
        config: &GatewayConfig,
        store: Arc<Store>,
        metrics: &Metrics,
    ) -> Result<Self, GatewayError> {
        let upstreams = Upstreams::new(config, &all.upstreams, metrics)?;
        Self::with(all, config, upstreams, store, metrics)
    }

    /// What answers by a new configuration. The cache stays, and of an upstream whatever its settings allow.
    fn next(&self, all: &Config, config: &GatewayConfig, metrics: &Metrics) -> Result<Self, GatewayError> {
        let upstreams = self.upstreams.reconfigured(config, &all.upstreams, metrics)?;
        Self::with(all, config, upstreams, Arc::clone(&self.store), metrics)
    }

    fn with(
        all: &Config,
        config: &GatewayConfig,
        upstreams: Upstreams,
        store: Arc<Store>,
        metrics: &Metrics,
    ) -> Result<Self, GatewayError> {
        let routes = Routes::compile(&all.routes, &all.upstreams).map_err(GatewayError::Routes)?;
        let of_organizations = all.organizations.iter().flat_map(|organization| &organization.hosts);
        let standing: HostMap<()> = of_organizations.chain(&all.privacy.opt_out_hosts).map(|host| (host, ())).collect();
        Ok(Self {
            config: config.clone(),
            routes: routes.also_on(standing),
            upstreams,
            organizations: Organizations::of(&all.organizations),
            opt_out: OptOut::of(&all.privacy),
            own_pages: OwnPages::beside(&all.routes),
            privacy_page: PrivacyPage::of(all, config),
            oci: OciState::new(all, &store, metrics)?,
            // Rewritten documents depend on the rules; the upstream's own are in the cache.
            indexes: Indexes::new(&all.cache, Arc::clone(&store), metrics),
            store,
        })
    }
}

/// Puts another [`Live`] in place of the one that answers.
#[derive(Debug, Clone)]
pub(crate) struct LiveSwitch {
    live: Arc<ArcSwap<Live>>,
    certificates: CertificateReloader,
    metrics: Metrics,
}

impl LiveSwitch {
    pub(super) fn new(live: Arc<ArcSwap<Live>>, certificates: CertificateReloader, metrics: Metrics) -> Self {
        Self { live, certificates, metrics }
    }

    /// Answers by `config` from the next request on, and with its certificates from the next connection on. What is under way ends as it
    /// began. It reads files, so it blocks.
    ///
    /// # Errors
    /// A rule is wrong, or a file that an upstream or TLS needs cannot be used. Then everything goes on as before.
    pub(crate) fn replace(&self, config: &Config) -> Result<(), GatewayError> {
        let gateway = config.gateway.as_ref().ok_or(GatewayError::NoListener)?;
        let next = self.live.load().next(config, gateway, &self.metrics)?;
        self.certificates.reload(&config.tls.certificates).map_err(TlsError::from)?;
        self.live.store(Arc::new(next));
        Ok(())
    }
}
