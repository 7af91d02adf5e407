//! The integration tests of this crate, in one binary.

mod collect;
mod durable;
mod enricher;
mod kafka;
mod lake;
mod support;
mod worker;
