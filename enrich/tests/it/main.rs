//! The integration tests of this crate, in one binary.

mod kafka;
mod lake;
mod support;
mod worker;
