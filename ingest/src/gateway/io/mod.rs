//! The gateway's sockets: its listener, its upstreams, its records.

mod activity;
mod ask;
mod connection;
mod document;
mod doors;
mod file;
mod flight;
mod guard;
mod handle;
#[cfg(test)]
mod hanging_disk;
mod index;
mod index_cache;
mod key_file;
mod kinds;
mod listen;
mod live;
mod oci;
mod oci_blob;
mod oci_list;
mod oci_manifest;
mod oci_manifest_fetch;
mod oci_realm;
mod own;
mod pass;
mod pixel;
mod plain;
mod prefixed;
mod recorder;
mod redirects;
mod respond;
mod server;
mod stamps;
mod store;
mod store_files;
mod telemetry;
mod tls;
mod token;
mod upstream;
mod upstream_error;
mod ways;

pub(crate) use live::LiveSwitch;
pub use server::{Gateway, GatewayError};
pub use tls::{AcmeError, CertificateError, CertificateErrors, CertificateReloader, TlsError};
