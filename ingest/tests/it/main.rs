//! The crate from outside.

mod drain;
mod forward;
mod gateway_files;
mod gateway_oci;
mod gateway_plain;
mod gateway_threads;
mod import;
mod metrics;
mod privacy;
mod process;
mod proxy_protocol;
mod registry;
mod reload;
mod safety;
mod secure;
mod spool;
mod spool_model;
mod support;
mod tls_acme;
mod tls_serve;
