//! The integration tests of this crate, in one binary.

mod lake;
mod support;
mod worker;
