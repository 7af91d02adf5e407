//! The gateway's sockets: its listener, its upstreams, its records.

mod file;
mod oci;
mod recorder;
mod respond;
mod server;
mod token;
mod upstream;

pub use server::{Gateway, GatewayError};
