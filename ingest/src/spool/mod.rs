//! The spool: a segment log on the local disk, between a request and whoever reads it.
//!
//! A record is bytes with a sequence number (`seq`) that rises and is never used twice. Appends of many callers are gathered by one
//! writer thread into a frame with a checksum and written with one `write(2)`; an append resolves after it, so killing the process
//! loses nothing that was acknowledged. A sync every [`SpoolOptions::fsync_every`] bounds what a power cut can take.
//!
//! Every opening starts a new epoch in the upper 32 bits of `seq`: a record that a power cut took from the disk, but that a reader had
//! passed on before, never shares its number with a later one.
//!
//! ```text
//! <dir>/node                 who this spool is: a UUID made once
//! <dir>/lock                 held while the spool is open, names the process
//! <dir>/segments/<seq>.log   a header, then frames
//! <dir>/cursors/<reader>     the next sequence number that the reader wants
//! ```

mod batch;
mod cursor;
mod error;
mod frame;
mod io;
mod options;
mod retention;
mod segment;

use bytes::Bytes;

pub use batch::Batch;
pub use error::{AppendError, ReadError, SpoolError};
pub use frame::FrameError;
pub use io::{Appended, Appending, Reader, Spool};
pub use options::{RECORD_BYTES_MAX, SpoolOptions, WhenFull};

/// One record as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position in the spool: rises, with gaps where the spool was opened anew.
    pub seq: u64,
    /// What was appended.
    pub payload: Bytes,
}

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Segments on disk, the new one with them.
    pub segments: usize,
    /// Bytes cut from the last segment because they were no whole frame.
    pub torn_bytes: u64,
    /// The first sequence number of this opening.
    pub first_seq: u64,
}

/// How far behind a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Records that it has not committed.
    pub records: u64,
    /// Bytes that hold them; within the segment that it stands in this is in proportion to the records.
    pub bytes: u64,
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolStats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: usize,
    /// When the oldest segment was last written to, in milliseconds since the epoch.
    pub oldest_ms: u64,
    /// Records dropped before a reader had passed them, since opening.
    pub lost_records: u64,
    /// Groups that the disk refused, since opening.
    pub write_failures: u64,
    /// Syncs that failed, since opening.
    pub sync_failures: u64,
}
