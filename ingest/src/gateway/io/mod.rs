//! The gateway's sockets: its listener, its upstreams, its records.

mod connection;
mod file;
mod handle;
#[cfg(test)]
mod hanging_disk;
mod listen;
mod live;
mod oci;
mod plain;
mod prefixed;
mod recorder;
mod respond;
mod server;
mod stamps;
mod token;
mod upstream;

pub use server::{Gateway, GatewayError};
