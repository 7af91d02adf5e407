//! The crate from outside.

mod forward;
mod gateway_files;
mod gateway_oci;
mod gateway_threads;
mod import;
mod kind_cache;
mod kind_files;
mod kind_helm;
mod kind_npm;
mod kind_pypi;
mod kind_upstream;
mod oci_cache;
mod oci_modes;
mod oci_real;
mod oci_upstream;
mod origin;
mod process;
mod proxy_protocol;
mod registry;
mod safety;
mod secure;
mod spool;
mod spool_model;
mod support;
mod tls_acme;
mod tls_serve;
