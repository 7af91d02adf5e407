//! The worker: records of a source in, committed events out, each once.
//!
//! [`collect`] decides, [`run_worker`] reads, writes and commits.

pub mod collect;
mod io;
mod metrics;
pub mod source;

pub use collect::FlushLimits;
pub use io::{WorkerConfig, WorkerError, WorkerSummary, run_worker};
pub use metrics::WorkerMetrics;
