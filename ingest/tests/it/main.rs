//! The crate from outside.

mod spool;
mod spool_model;
