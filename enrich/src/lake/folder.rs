//! Every Parquet file in the table's folder, whether a version names it or not.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use whopulls_schemas::UnixMicros;

use super::rewrite::{unreadable, unusable};
use super::{Lake, LakeError, LiveFile, RewriteError, Rules};
use crate::lake::change::RowChange;

/// Where the log of the table is.
const LOG: &str = "_delta_log";

/// What begins so is no data of this table: its log, or another table.
const HIDDEN: &str = "_";

/// A data file in the table's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// Relative to the table.
    pub path: Path,
    /// Its size.
    pub byte_count: u64,
    /// When it was written.
    pub written_at: UnixMicros,
    /// What the table says of it.
    pub state: FileState,
}

/// What the newest version of the table says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// It holds rows of the table.
    Live,
    /// It held rows of an earlier version.
    Removed,
    /// The table does not name it: a writer that died left it, or one is about to commit it, or it was removed long ago.
    Unnamed,
}

impl Lake {
    /// Lists the folder after reading the newest version.
    ///
    /// # Errors
    /// When the table or the folder cannot be read.
    pub async fn folder(&mut self) -> Result<Vec<FolderFile>, LakeError> {
        // Listed first: what is committed afterwards is then live or unnamed, never taken for removed.
        let listed = self.store.list(None).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|source| LakeError::List { table: self.url().to_owned(), source })?;
        let days = self.live_days().await?;
        let live: HashSet<&Path> = days.values().flatten().map(|file| &file.path).collect();
        let removed = self.removed().await?;
        let is_data = |path: &Path| {
            path.extension() == Some("parquet")
                && path.parts().next().is_none_or(|first| !first.as_ref().starts_with(HIDDEN))
        };
        let file = |listed: object_store::ObjectMeta| FolderFile {
            state: if live.contains(&listed.location) {
                FileState::Live
            } else if removed.contains(&listed.location) {
                FileState::Removed
            } else {
                FileState::Unnamed
            },
            byte_count: listed.size,
            written_at: UnixMicros(listed.last_modified.timestamp_micros()),
            path: listed.location,
        };
        Ok(listed.into_iter().filter(|listed| is_data(&listed.location)).map(file).collect())
    }

    async fn removed(&self) -> Result<HashSet<Path>, LakeError> {
        let log_store = self.table.log_store();
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        let tombstones = state.all_tombstones(log_store.as_ref()).try_collect::<Vec<_>>().await;
        let tombstones = tombstones.map_err(|source| self.read_error(source))?;
        Ok(tombstones.iter().map(|removed| Path::from(removed.path().as_ref())).collect())
    }

    /// How many rows of a file change by the rules.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn count(&self, file: &FolderFile, rules: &mut Rules<'_>) -> Result<u64, RewriteError> {
        let file = LiveFile { date: String::new(), path: file.path.clone(), byte_count: file.byte_count };
        let rows = self.rows(&file.path, file.byte_count, Some(rules.columns)).await;
        let mut rows = rows.map_err(|source| unreadable(&file, source))?;
        let mut count = 0;
        while let Some(batch) = rows.try_next().await.map_err(|source| unreadable(&file, source))? {
            let changes = (rules.decide)(&batch).map_err(|source| unusable(&file, source))?;
            count += changes.iter().filter(|change| **change != RowChange::Keep).count() as u64;
        }
        Ok(count)
    }

    /// Removes a file from the folder. A version that names it cannot be read any more.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn delete(&self, file: &FolderFile) -> Result<(), LakeError> {
        let deleted = self.store.delete(&file.path).await;
        deleted.map_err(|source| LakeError::Delete { path: file.path.to_string(), source })
    }

    /// Makes the newest version stand on its own and removes the log before it: log entries hold the least and the greatest `org_id` of files.
    /// Versions before it cannot be read any more.
    ///
    /// # Errors
    /// When the store refuses; the table is whole in every case.
    pub async fn forget_log(&mut self) -> Result<(), LakeError> {
        self.refresh().await?;
        let version = self.version();
        let written = deltalake::checkpoints::create_checkpoint(&self.table, None).await;
        written.map_err(|source| self.read_error(source))?;
        let log = Path::from(LOG);
        let listed = self.store.list(Some(&log)).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|source| LakeError::List { table: self.url().to_owned(), source })?;
        let before = |path: &Path| {
            let number = path.filename().and_then(|name| name.split('.').next()?.parse::<u64>().ok());
            number.is_some_and(|number| number < version)
        };
        for entry in listed.iter().filter(|entry| before(&entry.location)) {
            let deleted = self.store.delete(&entry.location).await;
            deleted.map_err(|source| LakeError::Delete { path: entry.location.to_string(), source })?;
        }
        Ok(())
    }

    /// Log entries (JSON) that hold a text between quotes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn log_entries_with(&self, word: &str) -> Result<u64, LakeError> {
        let failed = |source| LakeError::List { table: self.url().to_owned(), source };
        let log = Path::from(LOG);
        let listed = self.store.list(Some(&log)).try_collect::<Vec<_>>().await.map_err(failed)?;
        // Statistics are JSON within JSON: their quotes have a backslash before them.
        let needle = format!("\"{word}\\\"");
        let mut count = 0;
        for entry in listed.iter().filter(|entry| entry.location.extension() == Some("json")) {
            let bytes = self.store.get(&entry.location).await.map_err(failed)?.bytes().await.map_err(failed)?;
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            count += u64::from(found);
        }
        Ok(count)
    }
}
