//! What can go wrong at the table.

use deltalake::DeltaTableError;
use thiserror::Error;

use crate::worker::source::{Offset, Partition};

/// The table cannot be opened, read or written.
#[derive(Debug, Error)]
pub enum LakeError {
    /// Not a folder and not a URL that an object store answers to.
    #[error("open lake `{location}`: {hint}")]
    Location {
        /// As configured.
        location: String,
        /// What to do.
        hint: String,
    },
    /// The object store cannot be set up.
    #[error("open the object store of `{location}`: check the URL and the storage options")]
    Store {
        /// As configured.
        location: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// There is no table there.
    #[error("there is no table at {table} yet; the worker makes it with its first commit")]
    NoTable {
        /// Its URL.
        table: String,
    },
    /// The table is not there and cannot be made.
    #[error("create table at {table}")]
    Create {
        /// Its URL.
        table: String,
        /// What went wrong.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// The table cannot be read.
    #[error("read table at {table}")]
    Read {
        /// Its URL.
        table: String,
        /// What went wrong.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// The folder holds a table with other columns.
    #[error("open table at {table}: column `{column}` {problem}; use an empty folder, or the version that wrote it")]
    Schema {
        /// Its URL.
        table: String,
        /// The column.
        column: String,
        /// What differs.
        problem: String,
    },
    /// The files in the table's folder cannot be read.
    #[error("list the files of the table at {table}")]
    List {
        /// Its URL.
        table: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// A data file cannot be written.
    #[error("write data file {path}")]
    Put {
        /// Relative to the table.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// A data file cannot be removed.
    #[error("delete data file {path}")]
    Delete {
        /// Relative to the table.
        path: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
}

/// The table moved since the batch was begun: another worker has the partition, or had it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "partition {partition} of {topic}: the batch starts at {expected:?} and the table is at {found:?}; it is read again \
     from there"
)]
pub struct Stale {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Partition,
    /// What the batch started from.
    pub expected: Option<Offset>,
    /// What the table says.
    pub found: Option<Offset>,
}

/// A commit that did not happen, or is not known to have happened.
#[derive(Debug, Error)]
pub enum CommitError {
    /// It did not happen, and trying again cannot help. The files were removed.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// Other writers were faster, too often. It did not happen; trying again may help.
    #[error("commit to {table}: other writers won {attempts} times")]
    Contended {
        /// The table's URL.
        table: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// It may have happened. Trying again with the same files is safe, and tells.
    #[error("commit to {table}")]
    Uncertain {
        /// The table's URL.
        table: String,
        /// What went wrong.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// The table cannot be read. It did not happen; trying again may help.
    #[error(transparent)]
    Lake(#[from] LakeError),
}
