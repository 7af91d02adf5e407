//! Why a log cannot be imported.

use std::io;
use std::path::PathBuf;

use super::super::DetectError;
use crate::spool::AppendError;

/// A file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read, or what is packed in it is damaged.
    #[error("read the log {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A stream cannot be copied.
    #[error("copy the log {} into {}", path.display(), folder.display())]
    Copy {
        /// The stream's name.
        path: PathBuf,
        /// Where to.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Which format it has cannot be told.
    #[error("tell the format of {}", path.display())]
    Detect {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DetectError,
    },
    /// The identities of earlier imports cannot be read: without them events would count twice.
    #[error("read the identities of earlier imports, {}", path.display())]
    Ids {
        /// Their file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The records are not taken; those that were before stay, and importing again adds only the rest.
    #[error("pass on the records of {} before line {line}", path.display())]
    Take {
        /// The file.
        path: PathBuf,
        /// The line after the last one of the batch that failed.
        line: u64,
        /// Why.
        source: NotTaken,
    },
}

/// Records were not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The spool refuses them.
    #[error("append them to the spool")]
    Append(#[source] AppendError),
    /// Whoever took them has ended.
    #[error("nobody takes them any more")]
    Closed,
}

/// What ended the reading of a file early.
pub(super) enum Stopped {
    Read(io::Error),
    Take { line: u64, source: NotTaken },
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Stopped {
    pub(super) fn of(self, path: PathBuf) -> ImportError {
        match self {
            Self::Read(source) => ImportError::Read { path, source },
            Self::Take { line, source } => ImportError::Take { path, line, source },
        }
    }
}
