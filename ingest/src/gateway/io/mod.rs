//! The gateway's sockets: its listener, its upstreams, its records.

mod ask;
mod connection;
mod document;
mod file;
mod flight;
mod guard;
mod handle;
mod listen;
mod live;
mod oci;
mod own;
mod recorder;
mod respond;
mod server;
mod store;
mod store_files;
mod token;
mod upstream;
mod upstream_error;

pub(crate) use live::LiveSwitch;
pub use server::{Gateway, GatewayError};
