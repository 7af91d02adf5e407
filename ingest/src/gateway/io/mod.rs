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
mod index;
mod index_cache;
mod kinds;
mod listen;
mod live;
mod oci;
mod own;
mod pass;
mod pixel;
mod plain;
mod prefixed;
mod recorder;
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

pub(crate) use live::LiveSwitch;
pub use server::{Gateway, GatewayError};
pub use tls::{AcmeError, CertificateError, CertificateErrors, CertificateReloader, TlsError};
