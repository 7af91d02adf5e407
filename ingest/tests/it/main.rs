//! The crate from outside.

mod forward;
mod gateway_files;
mod gateway_oci;
mod gateway_plain;
mod gateway_threads;
mod import;
mod process;
mod proxy_protocol;
mod registry;
mod safety;
mod secure;
mod soak;
mod spool;
mod spool_model;
mod support;
mod tls_acme;
mod tls_serve;
