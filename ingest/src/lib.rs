#![doc = include_str!("../README.md")]

pub mod forward;
pub mod gateway;
pub mod import;
mod io;
pub mod metrics;
mod role;
pub mod spool;

pub use io::{Admin, AdminError};
pub use role::{GatewayRole, run_gateway, spool_options};
