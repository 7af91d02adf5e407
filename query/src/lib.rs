#![doc = include_str!("../README.md")]

mod engine;
mod io;
mod table;

pub use engine::{Engine, EngineConfig, Fault, QueryError, QueryResult, SQL_BYTES_MAX, Snapshot, events_schema};
pub use io::LakeError;
