//! The gateway's sockets: its listener, its upstreams, its records.

mod ask;
mod connection;
mod document;
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
mod pass;
mod pixel;
mod recorder;
mod respond;
mod server;
mod store;
mod store_files;
mod telemetry;
mod token;
mod upstream;
mod upstream_error;

pub use server::{Gateway, GatewayError};
