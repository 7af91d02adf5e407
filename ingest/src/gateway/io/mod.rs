//! The gateway's sockets: its listener, its upstreams, its records.

mod activity;
mod connection;
mod doors;
mod file;
mod handle;
mod listen;
mod live;
mod oci;
mod plain;
mod prefixed;
mod recorder;
mod respond;
mod server;
mod stamps;
mod tls;
mod token;
mod upstream;

pub use server::{Gateway, GatewayError};
pub use tls::{AcmeError, CertificateError, CertificateErrors, CertificateReloader, TlsError};
