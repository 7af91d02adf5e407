//! Prometheus metrics of the server.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::App;
use super::problem::Problem;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    route: &'static str,
}

pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Timed, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("whopulls_serve");
        let requests = Family::default();
        // From a millisecond to half a minute.
        let seconds =
            Family::<Timed, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16)));
        registry.register("requests", "Requests answered", requests.clone());
        registry.register_with_unit("answer", "Time from request to answer", Unit::Seconds, seconds.clone());
        Self { registry, requests, seconds }
    }
}

impl Metrics {
    pub(super) fn count(&self, route: &'static str, status: StatusCode, took: Duration) {
        self.requests.get_or_create(&Answered { route, status: status.as_u16() }).inc();
        self.seconds.get_or_create(&Timed { route }).observe(took.as_secs_f64());
    }
}

/// The label of a path: a closed set, so that strangers cannot grow it.
pub(super) fn route(path: &str) -> &'static str {
    const ROUTES: [&str; 7] =
        ["/", "/page.css", "/api/v1/organizations", "/api/v1/sql", "/healthz", "/readyz", "/metrics"];
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("other")
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let mut text = String::new();
    encode(&mut text, &app.metrics.registry)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("write the metrics: {error}")))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
