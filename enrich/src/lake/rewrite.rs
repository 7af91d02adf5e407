//! Changing the past: the files of a day in which a row changes are written anew and take the old ones' place in one commit.
//!
//! What changes is decided from a row alone, so a day that is done finds nothing to change, and a rewrite that was killed anywhere ends the
//! same when it is run again. Files that a worker adds meanwhile stay. A commit is made only if every file that it removes is still live:
//! deltalake itself does not notice when another writer removed it as a mere compaction (`dataChange = false`), so this is compared here,
//! against the very snapshot that the commit is built on, and deltalake's own retries are off.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{Action, Remove};
use deltalake::protocol::DeltaOperation;
use futures::TryStreamExt as _;
use object_store::path::Path;
use parquet::errors::ParquetError;
use thiserror::Error;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::{SORT_ORDER, column};

use super::change::{ColumnError, RowChange, changed};
use super::read::Rows;
use super::tally::Tally;
use super::{CommitError, DataFile, Lake, LakeError};
use crate::event::{EncodeError, encode_sorted};

/// Rows that are sorted and written at once. Bound of a rewrite's memory, with [`CHUNK_BYTES_MAX`]: a chunk, its sorted copy and its encoding,
/// beside one row group of the file that is read.
const CHUNK_ROWS_MAX: usize = 262_144;

/// Bytes of a chunk in memory. Three of them are 192 MiB.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// Times that a day is read anew because a file of it was gone when its commit was made.
const DAY_ROUNDS_MAX: u32 = 10;

/// Times that a commit is tried against a table that others write to; each costs a listing of the log.
const COMMIT_ROUNDS_MAX: u32 = 100;

/// A live file of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// The partition value.
    pub date: String,
    /// Relative to the table.
    pub path: Path,
    /// Its size.
    pub byte_count: u64,
}

/// How rows are changed.
pub struct Rules<'a> {
    /// The columns that `decide` reads. [`Tally`] reads `action`, `org_id` and `network_kind`, so these are among them.
    pub columns: &'a [&'static str],
    /// One change for each row. The same row always gets the same one.
    pub decide: &'a mut dyn FnMut(&RecordBatch) -> Result<Vec<RowChange>, ColumnError>,
    /// Told of each file that was looked at, once a round.
    pub on_file: &'a mut dyn FnMut(&LiveFile),
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rules").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// What became of a day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayChange {
    /// What changed.
    pub tally: Tally,
    /// The files that a row changed in, which were removed.
    pub files_removed: Vec<LiveFile>,
    /// The version that holds the change; `None` when nothing changed.
    pub version: Option<u64>,
}

/// A rewrite that failed. What was committed stands; running it again goes on behind that.
#[derive(Debug, Error)]
pub enum RewriteError {
    /// The table.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A file cannot be read.
    #[error("read data file {path}")]
    Read {
        /// Relative to the table.
        path: String,
        /// What was wrong.
        #[source]
        source: ParquetError,
    },
    /// A file has not the table's columns.
    #[error("change data file {path}")]
    Column {
        /// Relative to the table.
        path: String,
        /// What was wrong.
        #[source]
        source: ColumnError,
    },
    /// Changed rows cannot be sorted.
    #[error("sort the rows of {date}; report this")]
    Sort {
        /// The day.
        date: String,
        /// What was wrong.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// Changed rows cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Another writer removed the day's files, again and again.
    #[error("rewrite {date}: another writer replaced its files {rounds} times; run it again when that is over")]
    Contended {
        /// The day.
        date: String,
        /// How often it was read.
        rounds: u32,
    },
}

impl Lake {
    /// Reads the newest version of the table and gives its live files by day.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn live_days(&mut self) -> Result<BTreeMap<String, Vec<LiveFile>>, LakeError> {
        self.refresh().await?;
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        let mut days: BTreeMap<String, Vec<LiveFile>> = BTreeMap::new();
        for view in state.log_data() {
            let date = view.partition_values_map().remove(column::DATE).flatten().unwrap_or_default();
            let byte_count = u64::try_from(view.size()).unwrap_or_default();
            let file = LiveFile { date: date.clone(), path: view.object_store_path(), byte_count };
            days.entry(date).or_default().push(file);
        }
        Ok(days)
    }

    /// What [`Self::rewrite_day`] would change in a file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn examine(&self, file: &LiveFile, rules: &mut Rules<'_>) -> Result<Tally, RewriteError> {
        let mut tally = Tally::default();
        let mut batches = self.batches(file, Some(rules.columns)).await?;
        while let Some(batch) = batches.try_next().await.map_err(|source| unreadable(file, source))? {
            let counted = (rules.decide)(&batch).and_then(|changes| tally.add(&batch, &changes));
            counted.map_err(|source| unusable(file, source))?;
        }
        (rules.on_file)(file);
        Ok(tally)
    }

    /// Changes a day. Only files in which a row changes are read as a whole and written anew.
    ///
    /// # Errors
    /// See [`RewriteError`]. A day is changed as a whole or not at all.
    pub async fn rewrite_day(
        &mut self,
        date: &str,
        rules: &mut Rules<'_>,
        now: UnixMicros,
    ) -> Result<DayChange, RewriteError> {
        for _ in 0..DAY_ROUNDS_MAX {
            let files = self.live_days().await?.remove(date).unwrap_or_default();
            let mut change = DayChange::default();
            for file in files {
                let tally = self.examine(&file, rules).await?;
                if !tally.transitions.is_empty() {
                    change.files_removed.push(file);
                }
                change.tally.merge(&tally);
            }
            if change.files_removed.is_empty() {
                return Ok(change);
            }
            let mut added = Vec::new();
            for file in &change.files_removed {
                added.extend(self.write_anew(file, rules).await?);
            }
            if let Some(version) = self.replace(&change.files_removed, &added, now).await? {
                return Ok(DayChange { version: Some(version), ..change });
            }
            self.delete_orphans(&added).await?;
        }
        Err(RewriteError::Contended { date: date.to_owned(), rounds: DAY_ROUNDS_MAX })
    }

    /// The file's rows, changed and sorted, in files of at most a chunk each.
    async fn write_anew(&self, file: &LiveFile, rules: &mut Rules<'_>) -> Result<Vec<DataFile>, RewriteError> {
        let mut written = Vec::new();
        let (mut chunk, mut rows, mut bytes) = (Vec::new(), 0, 0);
        let mut batches = self.batches(file, None).await?;
        while let Some(batch) = batches.try_next().await.map_err(|source| unreadable(file, source))? {
            let batch = (rules.decide)(&batch).and_then(|changes| changed(&batch, &changes));
            let batch = batch.map_err(|source| unusable(file, source))?;
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            chunk.push(batch);
            if rows >= CHUNK_ROWS_MAX || bytes >= CHUNK_BYTES_MAX {
                written.extend(self.write_chunk(&file.date, &std::mem::take(&mut chunk)).await?);
                (rows, bytes) = (0, 0);
            }
        }
        written.extend(self.write_chunk(&file.date, &chunk).await?);
        Ok(written)
    }

    async fn write_chunk(&self, date: &str, chunk: &[RecordBatch]) -> Result<Vec<DataFile>, RewriteError> {
        let sorted = sorted(chunk).map_err(|source| RewriteError::Sort { date: date.to_owned(), source })?;
        let Some(sorted) = sorted else { return Ok(Vec::new()) };
        Ok(self.write_files(&[encode_sorted(date, &sorted)?]).await?)
    }

    /// Takes files out and puts others in, both or neither. `None`: a file that was to be taken out is gone already.
    ///
    /// # Errors
    /// When it is not known whether it happened, or others were faster too often.
    pub async fn replace(
        &mut self,
        removed: &[LiveFile],
        added: &[DataFile],
        now: UnixMicros,
    ) -> Result<Option<u64>, CommitError> {
        for _ in 0..COMMIT_ROUNDS_MAX {
            self.refresh().await?;
            if self.holds(added)? {
                return Ok(Some(self.version()));
            }
            let Some(taken_out) = self.removes(removed)? else { return Ok(None) };
            let actions = super::commit::adds(added, now).into_iter().chain(taken_out.into_iter().map(Action::Remove));
            let properties = CommitProperties::default().with_max_retries(0);
            let operation = DeltaOperation::Update { predicate: None };
            if let Some(version) = self.try_commit(actions.collect(), operation, properties).await? {
                return Ok(Some(version));
            }
        }
        Err(CommitError::Contended { table: self.url().to_owned(), attempts: COMMIT_ROUNDS_MAX })
    }

    /// `None` when one of the files is not live.
    fn removes(&self, files: &[LiveFile]) -> Result<Option<Vec<Remove>>, LakeError> {
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        let wanted: HashSet<&Path> = files.iter().map(|file| &file.path).collect();
        let live = state.log_data().into_iter().filter(|view| wanted.contains(&view.object_store_path()));
        let removes: Vec<Remove> = live.map(|view| view.remove_action(true)).collect();
        Ok((removes.len() == wanted.len()).then_some(removes))
    }

    async fn batches(&self, file: &LiveFile, columns: Option<&[&'static str]>) -> Result<Rows, RewriteError> {
        self.rows(&file.path, file.byte_count, columns).await.map_err(|source| unreadable(file, source))
    }
}

/// As the worker sorts a file; `None` for no rows.
fn sorted(chunk: &[RecordBatch]) -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
    let Some(schema) = chunk.first().map(RecordBatch::schema) else { return Ok(None) };
    let batch = concat_batches(&schema, chunk)?;
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let options = Some(SortOptions { descending: false, nulls_first: true });
    let keys = SORT_ORDER.iter().filter_map(|name| batch.column_by_name(name));
    let keys: Vec<SortColumn> = keys.map(|values| SortColumn { values: Arc::clone(values), options }).collect();
    let order = lexsort_to_indices(&keys, None)?;
    take_record_batch(&batch, &order).map(Some)
}

pub(super) fn unreadable(file: &LiveFile, source: ParquetError) -> RewriteError {
    RewriteError::Read { path: file.path.to_string(), source }
}

pub(super) fn unusable(file: &LiveFile, source: ColumnError) -> RewriteError {
    RewriteError::Column { path: file.path.to_string(), source }
}
