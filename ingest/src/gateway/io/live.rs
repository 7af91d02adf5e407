//! What answers: everything that a reload of the configuration replaces.

use std::time::Duration;

use whopulls_schemas::config::{Config, GatewayConfig};

use super::super::routes::Routes;
use super::server::GatewayError;
use super::upstream::Upstreams;
use crate::metrics::Metrics;

/// Rules, upstreams and the facts of the configuration that a request asks for. Made whole, then swapped in: a request sees one of them
/// from its beginning to its end.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) config: GatewayConfig,
    pub(super) routes: Routes,
    pub(super) upstreams: Upstreams,
}

impl Live {
    pub(super) fn new(all: &Config, config: &GatewayConfig, metrics: &Metrics) -> Result<Self, GatewayError> {
        let routes = Routes::compile(&all.routes, &all.upstreams).map_err(GatewayError::Routes)?;
        let timeout = Duration::from_secs(config.upstream_timeout_s);
        let upstreams = Upstreams::new(timeout, metrics.clone()).map_err(GatewayError::Client)?;
        Ok(Self { config: config.clone(), routes, upstreams })
    }
}
