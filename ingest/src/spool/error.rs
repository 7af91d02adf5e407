//! What can go wrong with a spool.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame::FrameError;

/// The spool cannot be opened, or its directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// An operation on a file failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, in the present tense.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has the spool open.
    #[error("the spool {} is in use by process {pid}; stop that process or give this one a directory of its own", dir.display())]
    Locked {
        /// The spool's directory.
        dir: PathBuf,
        /// The process as it named itself, or `unknown`.
        pid: String,
    },
    /// The identity file holds no identity.
    #[error("{} holds no UUID; restore it, or move the whole spool away to begin a new one", path.display())]
    Node {
        /// The identity file.
        path: PathBuf,
    },
    /// A cursor file is damaged.
    #[error("the cursor {} is damaged; delete it to read again from the oldest record (what was read before is sent twice)", path.display())]
    Cursor {
        /// The cursor file.
        path: PathBuf,
    },
    /// A segment cannot be read.
    #[error("the segment {} is damaged at byte {offset}; move it out of the directory to go on without its records", path.display())]
    Segment {
        /// The segment file.
        path: PathBuf,
        /// Where, from the start of the file.
        offset: u64,
    },
    /// A reader's name cannot be a file name.
    #[error("{name:?} cannot name a reader; use at most 64 letters, digits, '-', '_' and '.'")]
    ReaderName {
        /// The name.
        name: String,
    },
    /// The reader is open already.
    #[error("the reader {name:?} is open already; a spool reader has one owner")]
    ReaderInUse {
        /// The name.
        name: String,
    },
}

/// A record was not written. Nothing of it will appear to a reader.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The record is larger than [`super::RECORD_BYTES_MAX`].
    #[error("a record of {bytes} bytes is over the maximum of {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The maximum.
        max: usize,
    },
    /// The writer is behind.
    #[error("{records} records wait for the disk already")]
    QueueFull {
        /// How many wait.
        records: usize,
    },
    /// The byte cap is reached and the oldest segment is unread.
    #[error(
        "the spool is at its cap of {max_bytes} bytes and its oldest records are unread; raise the cap or see why its reader lags"
    )]
    Full {
        /// The cap.
        max_bytes: u64,
    },
    /// The disk refused; the next append tries again.
    #[error("write to the spool segment {}", path.display())]
    Io {
        /// The segment file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The spool is closed.
    #[error("the spool is closed")]
    Closed,
}

/// Records could not be read, or a position could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A segment is damaged: these records are lost to this reader until somebody decides.
    #[error("the segment {} is damaged at byte {offset}; restore the file, or seek the reader past sequence {next_seq}", path.display())]
    Damaged {
        /// The segment file.
        path: PathBuf,
        /// Where the frame begins, from the start of the file.
        offset: u64,
        /// The sequence number that was expected there.
        next_seq: u64,
        /// What is wrong.
        source: FrameError,
    },
    /// An operation on a file failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A position past the end, or before what was committed.
    #[error("the reader {name:?} cannot commit {next_seq}: the spool ends at {end_seq}")]
    Position {
        /// The reader.
        name: String,
        /// The position asked for.
        next_seq: u64,
        /// One past the last record.
        end_seq: u64,
    },
}
