//! What a database is, told without answering from it.

use std::path::Path;

use super::io;
use super::snapshot::{Layer, OpenError};

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its part of [`super::Snapshot::version`].
    pub version: String,
    /// Its kind, in its maker's words.
    pub database_type: String,
    /// When it was built, in seconds since 1970, as its maker says.
    pub build_epoch_s: u64,
    /// Its size, decompressed.
    pub byte_count: u64,
}

impl DatabaseInfo {
    /// A file, opened and checked as one in use is.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is damaged.
    pub fn of_file(path: &Path) -> Result<Self, OpenError> {
        Self::of_bytes(&path.display().to_string(), io::read(path)?.0)
    }

    /// Bytes that are to become a file in use, checked as that is. `origin` names them in the error.
    ///
    /// # Errors
    ///
    /// When they are damaged, or no database.
    pub fn of_bytes(origin: &str, bytes: Vec<u8>) -> Result<Self, OpenError> {
        Layer::checked(origin, bytes).map(|layer| layer.info())
    }

    /// The default that ships inside the program.
    ///
    /// # Errors
    ///
    /// When the program file is damaged.
    pub fn of_default() -> Result<Self, OpenError> {
        Layer::embedded().map(|layer| layer.info())
    }
}
