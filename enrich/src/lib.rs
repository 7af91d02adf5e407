#![doc = include_str!("../README.md")]

pub mod attribute;
pub mod client;
pub mod endpoint;
mod enricher;
pub mod event;
pub mod fold;
pub mod geo;
pub mod io;
pub mod lake;
pub mod overrides;
mod parallel;
mod recent;
pub mod reverse;
pub mod worker;

pub use enricher::Enricher;
