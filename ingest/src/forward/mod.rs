//! The forwarder: from the spool to Kafka, in order, the cursor only over what is acknowledged.
//!
//! The producer is idempotent, waits for all replicas and stops at the first gap. When a delivery fails it is thrown away, and another
//! one sends again from the cursor: a suffix may be sent twice, and never in another order. Whoever reads drops a record whose `seq` is
//! not above the last one of its `node` in the partition.

mod backoff;
mod io;
mod key;

pub use io::{ForwardError, Forwarder};

/// The forwarder's name among the readers of the spool.
pub const FORWARD_READER: &str = "kafka";
