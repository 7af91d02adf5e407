//! The integration tests of this crate, in one binary.

mod collect;
mod count;
mod durable;
mod enricher;
mod kafka;
mod lake;
mod lost_answer;
mod rewrite;
mod sessions;
mod support;
mod worker;
