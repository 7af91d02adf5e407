//! The gateway: answers a download from its rules and keeps one record of it.
//!
//! Manifests are small and decide everything: they are proxied. Blobs are large and immutable: the upstream's redirect to its storage is
//! handed to the client. Files are redirected by template. The record is appended to the spool before the response head is sent; a
//! spool that fails costs nothing, one that hangs at most [`RECORD_WAIT`] and then [`RECORD_WAIT_BEHIND`], and never a download.

mod accept;
mod access;
mod cache_policy;
mod certificates;
mod claim;
mod client_address;
pub mod connection_metrics;
mod destination;
mod digest;
mod document;
mod expansion;
mod health;
mod hosts;
pub mod index;
mod io;
mod lru;
mod notice;
mod oci_path;
mod oci_route;
mod opt_out;
mod outgoing;
mod own_page;
mod own_token;
mod path_pattern;
mod pattern;
mod plain;
mod privacy_page;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod proxy_header;
mod realm;
mod registry_error;
mod reload;
mod renewal;
mod request_shape;
mod retry;
mod routes;
mod rule;
mod signature;
mod stored;
mod telemetry;
mod upstream_answer;

use std::time::Duration;

pub use certificates::CertificateFault;
pub(crate) use io::LiveSwitch;
pub use io::{
    AcmeError, CertificateError, CertificateErrors, CertificateReloader, Gateway, GatewayError, TlsError, check_files,
};
pub use pattern::PatternError;
pub use proxy_header::{PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderFault};
pub(crate) use reload::keep_started;
pub use routes::{RouteError, RouteErrors, check_routes};

pub(crate) use access::{host_of, range_start, without_query};
pub(crate) use oci_path::{OciPath, is_digest};
pub(crate) use pattern::{Pattern, value_of};

/// How long an answer waits for its record to be written. A disk under load may take some hundred milliseconds, and an answer that did not
/// wait would be lost when the process is killed then.
pub const RECORD_WAIT: Duration = Duration::from_secs(1);

/// How long an answer waits while the last record was not written in time: a disk that hangs does not hold every download for a second.
pub const RECORD_WAIT_BEHIND: Duration = Duration::from_millis(50);
