//! What answers: everything that a reload of the configuration replaces.

use std::sync::Arc;

use whopulls_schemas::config::{Config, GatewayConfig};

use super::super::routes::Routes;
use super::server::GatewayError;
use super::store::Store;
use super::upstream::Upstreams;
use crate::metrics::Metrics;

/// Rules, upstreams and the facts of the configuration that a request asks for. Made whole, then swapped in: a request sees one of them
/// from its beginning to its end.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) config: GatewayConfig,
    pub(super) routes: Routes,
    pub(super) upstreams: Upstreams,
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
        let routes = Routes::compile(&all.routes, &all.upstreams).map_err(GatewayError::Routes)?;
        let upstreams = Upstreams::new(config, &all.upstreams, metrics)?;
        Ok(Self { config: config.clone(), routes, upstreams, store })
    }
}
