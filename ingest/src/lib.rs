#![doc = include_str!("../README.md")]

mod file_watch;
pub mod follow;
pub mod forward;
pub mod gateway;
pub mod import;
mod io;
pub mod metrics;
mod role;
pub mod spool;

pub use io::{Admin, AdminError, ConfigSource};
pub use role::{GatewayRole, run_gateway, spool_options};
