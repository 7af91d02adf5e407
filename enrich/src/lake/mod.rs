//! The Delta table `events`: opening it, what it says about progress, and the conditional commit.
//!
//! One commit holds the new files and the progress of the source (`txn` actions, names in
//! [`whopulls_schemas::progress`]). It is made only if the table still says, for every partition in it, the offset that the
//! batch started from. `docs/decisions/0002-table-format.md` has the reasons.

pub mod change;
mod commit;
mod create;
mod docker;
mod error;
mod folder;
mod forget;
mod history;
mod read;
mod recount;
mod rewrite;
mod store;
mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use deltalake::DeltaTable;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use whopulls_schemas::progress::{node_app_id, partition_app_id};

pub use commit::{CommitRequest, Committed};
pub use docker::{AddError, Added, DockerTable};
pub use error::{CommitError, LakeError, Stale};
pub use folder::{FileState, FolderFile};
pub use forget::{FORGET_COLUMNS, Forgotten};
pub use recount::{Recount, RecountError};
pub use rewrite::{DayChange, LiveFile, RewriteError, Rules};
pub use store::{OpenedStore, open_store, table_url};
pub use tally::{Counts, Holder, Tally, Transition};

use crate::worker::source::{Offset, Partition};

/// Commits between two checkpoints of the log: opening reads at most so many log entries.
pub const CHECKPOINT_INTERVAL: u32 = 50;

/// How far a batch moves one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The table's value that the batch started from; `None` when the table knew nothing of the partition.
    pub base: Option<Offset>,
    /// The offset of the first record that is not in the batch.
    pub next: Offset,
    /// The last `seq` taken from each node that occurs in the batch.
    pub seqs: BTreeMap<String, u64>,
}

/// A Parquet file in memory, on its way to the table.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The partition value: a UTC day as `2026-11-24`.
    pub date: String,
    /// A name that no other file has, without folder.
    pub name: String,
    /// The file.
    pub bytes: Bytes,
    /// Delta's statistics of the file, as JSON.
    pub stats: String,
}

/// A Parquet file that is durable in the table's folder; no reader sees it before a commit names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// The partition value.
    pub date: String,
    /// Relative to the table.
    pub path: String,
    /// Its size.
    pub byte_count: u64,
    /// Delta's statistics of the file, as JSON.
    pub stats: String,
}

/// The table `events`, open for writing.
pub struct Lake {
    table: DeltaTable,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("url", &self.url()).field("version", &self.version()).finish()
    }
}

impl Lake {
    /// Opens the table at a folder or a URL of an object store (`s3://`, `gs://`, `az://`, …), creating it when there is none.
    ///
    /// `options` are those of the object store (`aws_region`, `aws_endpoint`, …).
    ///
    /// # Errors
    /// When the location is not one, the store does not answer, or the table there has other columns.
    pub async fn open_or_create(location: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        Self::open_or_create_in(open_store(location, options)?).await
    }

    /// Opens the table that is there, and makes none.
    ///
    /// # Errors
    /// When there is none, the store does not answer, or the table there has other columns.
    pub async fn open(location: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        create::open(open_store(location, options)?, create::EVENTS).await
    }

    /// As [`Self::open_or_create`], on a store that is open already.
    ///
    /// # Errors
    /// When the store does not answer, or the table there has other columns.
    pub async fn open_or_create_in(opened: OpenedStore) -> Result<Self, LakeError> {
        create::open_or_create(opened, create::EVENTS).await
    }

    /// Where the table is.
    pub fn url(&self) -> &str {
        self.table.table_url().as_str()
    }

    /// The version of the table that was last read or written here.
    pub fn version(&self) -> u64 {
        self.table.version().unwrap_or_default()
    }

    /// Reads the newest version of the table, and from it the next offset of each partition; `None` when the table knows
    /// nothing of it.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn positions(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Option<Offset>>, LakeError> {
        self.refresh().await?;
        let mut positions = BTreeMap::new();
        for &partition in partitions {
            positions.insert(partition, self.transaction(&partition_app_id(topic, partition)).await?);
        }
        Ok(positions)
    }

    /// The last `seq` of a node in a partition, in the version that [`Self::positions`] read. A newer version could only
    /// say more if another worker moved the partition, and then this worker's commit is refused.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn last_seq(&self, topic: &str, partition: Partition, node: &str) -> Result<Option<u64>, LakeError> {
        let version = self.transaction(&node_app_id(topic, partition, node)).await?;
        Ok(version.and_then(|seq| u64::try_from(seq).ok()))
    }

    /// Puts the files into the table's folder. They are durable when this returns, and no reader sees them.
    ///
    /// # Errors
    /// When the store refuses. Doing it again is safe.
    pub async fn write_files(&self, files: &[EncodedFile]) -> Result<Vec<DataFile>, LakeError> {
        let mut written = Vec::with_capacity(files.len());
        for file in files {
            let path = format!("date={}/{}", file.date, file.name);
            let put = self.store.put(&Path::from(path.as_str()), file.bytes.clone().into()).await;
            put.map_err(|source| LakeError::Put { path: path.clone(), source })?;
            let byte_count = file.bytes.len() as u64;
            written.push(DataFile { date: file.date.clone(), path, byte_count, stats: file.stats.clone() });
        }
        Ok(written)
    }

    /// Removes files that no commit names.
    ///
    /// # Errors
    /// When the store refuses; such files cost space only.
    pub async fn delete_orphans(&self, files: &[DataFile]) -> Result<(), LakeError> {
        for file in files {
            let deleted = self.store.delete(&Path::from(file.path.as_str())).await;
            deleted.map_err(|source| LakeError::Delete { path: file.path.clone(), source })?;
        }
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), LakeError> {
        self.table.update_state().await.map_err(|source| self.read_error(source))
    }

    async fn transaction(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        let log_store = self.table.log_store();
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        state.transaction_version(log_store.as_ref(), app_id).await.map_err(|source| self.read_error(source))
    }

    fn read_error(&self, source: deltalake::DeltaTableError) -> LakeError {
        LakeError::Read { table: self.url().to_owned(), source: Box::new(source) }
    }
}
