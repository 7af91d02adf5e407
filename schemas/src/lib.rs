#![doc = include_str!("../README.md")]

pub mod config;
pub mod docker;
pub mod event;
pub mod progress;
pub mod raw;
mod rejected;
mod time;

pub use rejected::{RejectReason, Rejected};
pub use time::UnixMicros;
