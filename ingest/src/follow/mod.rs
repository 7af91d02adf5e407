//! A log that somebody else's server writes, line by line as it grows, into the spool: for people who keep their own proxy.
//!
//! A line's identity is its file and its place in it (`node`, `seq`), so what is passed on twice after a crash is dropped by whoever reads
//! the records, and the cursor needs to be neither exact nor early: it only must not be ahead of what the spool has on the disk.

mod cursor;
mod io;
mod lines;
mod metrics;
mod step;

pub use io::{FollowError, FollowOptions, follow};
pub use metrics::FollowMetrics;
