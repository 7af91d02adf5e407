//! The crate from outside.

mod gateway_files;
mod import;
mod spool;
mod spool_model;
mod support;
