//! The gateway: answers a download from its rules and keeps one record of it.
//!
//! Manifests are small and decide everything: they are proxied. Blobs are large and immutable: the upstream's redirect to its storage is
//! handed to the client. Files are redirected by template. The record is appended to the spool before the response head is sent; a
//! spool that fails or is slow costs at most [`RECORD_WAIT`] and never a download.

mod access;
mod client_address;
mod io;
mod oci_path;
mod pattern;
mod registry_error;
mod routes;
mod upstream_answer;

use std::time::Duration;

pub use io::{Gateway, GatewayError};
pub use pattern::PatternError;
pub use routes::{RouteError, RouteErrors, check_routes};

pub(crate) use pattern::{Pattern, value_of};

/// How long an answer waits for its record to be written.
pub const RECORD_WAIT: Duration = Duration::from_millis(50);
