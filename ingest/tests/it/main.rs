//! The crate from outside.

mod drain;
mod forward;
mod gateway_files;
mod gateway_oci;
mod gateway_threads;
mod import;
mod metrics;
mod privacy;
mod process;
mod registry;
mod reload;
mod spool;
mod spool_model;
mod support;
