//! The contracts, tested from outside.

mod config;
mod contract;
mod decode;
mod geo;
mod overrides;
