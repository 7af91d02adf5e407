//! What is counted of connections before and beside their requests.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of `gateway_connections_ended`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabels {
    /// `proxy_header`, `tls_handshake`, `handshake_timeout`, `first_request_timeout`, `malformed`, `idle` or `stalled`.
    pub reason: &'static str,
}

/// Labels of `gateway_certificate_not_after_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabels {
    /// Its file, or `acme`.
    pub file: String,
}

/// The metrics; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    /// Connections since the start.
    pub accepted: Counter,
    /// Connections that the gateway ended, by why.
    pub ended: Family<EndLabels, Counter>,
    /// When a certificate ends, in seconds since the epoch.
    pub not_after: Family<CertificateLabels, Gauge>,
    /// Changed certificates that were refused.
    pub reload_failures: Counter,
    /// Certificates that an authority gave.
    pub acme_orders: Counter,
    /// Orders that failed and are tried again.
    pub acme_failures: Counter,
}

impl ConnectionMetrics {
    /// Names the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections_accepted", "Connections since the start", self.accepted.clone());
        let ended = "Connections that the gateway ended, by why";
        registry.register("connections_ended", ended, self.ended.clone());
        let not_after = "When a certificate ends, in seconds since the epoch";
        registry.register("certificate_not_after_seconds", not_after, self.not_after.clone());
        let failures = "Changed certificates that were refused; the old ones stayed";
        registry.register("certificate_reload_failures", failures, self.reload_failures.clone());
        registry.register("acme_orders", "Certificates that the ACME authority gave", self.acme_orders.clone());
        registry.register("acme_failures", "ACME orders that failed", self.acme_failures.clone());
    }

    /// Counts a connection that the gateway ended.
    pub fn end(&self, reason: &'static str) {
        self.ended.get_or_create(&EndLabels { reason }).inc();
    }

    /// Takes over when a certificate ends.
    pub fn set_not_after(&self, file: String, not_after_s: i64) {
        self.not_after.get_or_create(&CertificateLabels { file }).set(not_after_s);
    }
}
