//! The table `docker_pulls`: rows of Docker's reports, added once, corrected where a later report says otherwise.
//!
//! An import adds what is new or other than what is known, in one commit, under the condition that the table is as it was read. Nothing is
//! removed: of rows that speak of the same, the one of the latest import holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::types::Date32Type;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::kernels::cast_utils::Parser as _;
use futures::TryStreamExt as _;
use parquet::errors::ParquetError;
use thiserror::Error;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::docker::{
    COUNT_COLUMNS, DockerPulls, LINE, REVISION, SOURCE, TEXT_COLUMNS, docker_location, docker_schema,
};
use whopulls_schemas::event::column;

use super::change::{ColumnError, at, long, text};
use super::create::{self, DOCKER_PULLS};
use super::{CommitError, CommitRequest, EncodedFile, Lake, LakeError, LiveFile, Step, open_store};
use crate::event::{EncodeError, date_text, encode_sorted};

/// The table counts its imports under this name.
const TOPIC: &str = "docker";
const PARTITION: i32 = 0;

/// Times that the table is read anew because another import was faster.
const ROUNDS_MAX: u32 = 10;

/// What became of a report's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// Rows that speak of what no row did.
    pub new: u64,
    /// Rows with other counts than before.
    pub corrected: u64,
    /// Rows that are there already.
    pub known: u64,
}

/// Rows cannot be added.
#[derive(Debug, Error)]
pub enum AddError {
    /// The table.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A file of the table cannot be read.
    #[error("read data file {path}")]
    Read {
        /// Relative to the table.
        path: String,
        /// What was wrong.
        #[source]
        source: ParquetError,
    },
    /// A file of the table has other columns.
    #[error("read data file {path}")]
    Column {
        /// Relative to the table.
        path: String,
        /// What was wrong.
        #[source]
        source: ColumnError,
    },
    /// The rows cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Other imports were faster, again and again.
    #[error("add the report: other imports were faster {ROUNDS_MAX} times; run it again when they are over")]
    Contended,
}

/// What rows speak of, with what they say and the revision that says it.
type Known = HashMap<DockerPulls, (i64, [Option<i64>; COUNT_COLUMNS.len()])>;

/// The table, open for writing.
#[derive(Debug)]
pub struct DockerTable(Lake);

impl DockerTable {
    /// Opens the table beside the events of this location, making it where there is none.
    ///
    /// # Errors
    /// As for [`Lake::open_or_create`].
    pub async fn open_or_create(events_location: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let opened = open_store(&docker_location(events_location), options)?;
        create::open_or_create(opened, DOCKER_PULLS).await.map(Self)
    }

    /// Adds the rows of a report, which `source` names, with their lines.
    ///
    /// # Errors
    /// See [`AddError`]. All are added or none.
    pub async fn add(&mut self, source: &str, rows: &[(u64, DockerPulls)], now: UnixMicros) -> Result<Added, AddError> {
        for _ in 0..ROUNDS_MAX {
            let base = self.0.positions(TOPIC, &[PARTITION]).await?.remove(&PARTITION).flatten();
            let known = self.known().await?;
            let (mut added, mut days) = (Added::default(), BTreeMap::<i32, Vec<&(u64, DockerPulls)>>::new());
            for row in rows {
                match known.get(&subject(&row.1)) {
                    Some((_, counts)) if *counts == row.1.counts => {
                        added.known += 1;
                        continue;
                    }
                    Some(_) => added.corrected += 1,
                    None => added.new += 1,
                }
                days.entry(row.1.day).or_default().push(row);
            }
            if days.is_empty() {
                return Ok(added);
            }
            let revision = base.unwrap_or_default() + 1;
            let encoded: Result<Vec<_>, _> =
                days.into_iter().map(|(day, rows)| encoded(day, &rows, source, revision)).collect();
            let files = self.0.write_files(&encoded?).await?;
            let step = Step { base, next: revision, seqs: BTreeMap::new() };
            let steps = BTreeMap::from([(PARTITION, step)]);
            match self.0.commit(CommitRequest { topic: TOPIC, steps: &steps, files: &files, now }).await {
                Ok(_) => return Ok(added),
                Err(CommitError::Stale(_)) => self.0.delete_orphans(&files).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(AddError::Contended)
    }

    async fn known(&mut self) -> Result<Known, AddError> {
        let mut known = Known::new();
        for file in self.0.live_days().await?.into_values().flatten() {
            let failed = |source| AddError::Read { path: file.path.to_string(), source };
            let mut batches = self.0.rows(&file.path, file.byte_count, None).await.map_err(failed)?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                let read = read(&file, &batch, &mut known);
                read.map_err(|source| AddError::Column { path: file.path.to_string(), source })?;
            }
        }
        Ok(known)
    }
}

fn subject(row: &DockerPulls) -> DockerPulls {
    DockerPulls { counts: [None; COUNT_COLUMNS.len()], ..row.clone() }
}

fn read(file: &LiveFile, batch: &RecordBatch, known: &mut Known) -> Result<(), ColumnError> {
    let day = Date32Type::parse(&file.date).unwrap_or_default();
    let texts: Vec<StringArray> = TEXT_COLUMNS.iter().map(|name| text(batch, name)).collect::<Result<_, _>>()?;
    let counts: Vec<Int64Array> = COUNT_COLUMNS.iter().map(|name| long(batch, name)).collect::<Result<_, _>>()?;
    let revisions = long(batch, REVISION)?;
    for (row, revision) in revisions.values().iter().enumerate() {
        let mut read = DockerPulls { day, texts: Default::default(), counts: Default::default() };
        for (cell, column) in read.texts.iter_mut().zip(&texts) {
            *cell = at(column, row).map(str::to_owned);
        }
        let mut said = [None; COUNT_COLUMNS.len()];
        for (cell, column) in said.iter_mut().zip(&counts) {
            *cell = column.iter().nth(row).flatten();
        }
        let holds = known.entry(read).or_insert((*revision, said));
        if holds.0 < *revision {
            *holds = (*revision, said);
        }
    }
    Ok(())
}

fn encoded(day: i32, rows: &[&(u64, DockerPulls)], source: &str, revision: i64) -> Result<EncodedFile, EncodeError> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    for index in 0..TEXT_COLUMNS.len() {
        let texts = rows.iter().map(|(_, row)| row.texts.get(index).and_then(Option::as_deref));
        columns.push(Arc::new(texts.collect::<StringArray>()));
    }
    for index in 0..COUNT_COLUMNS.len() {
        let counts = rows.iter().map(|(_, row)| row.counts.get(index).copied().flatten());
        columns.push(Arc::new(counts.collect::<Int64Array>()));
    }
    columns.push(Arc::new(rows.iter().map(|_| Some(source)).collect::<StringArray>()));
    columns.push(Arc::new(rows.iter().map(|(line, _)| i64::try_from(*line).ok()).collect::<Int64Array>()));
    columns.push(Arc::new(rows.iter().map(|_| Some(revision)).collect::<Int64Array>()));
    let schema = docker_schema();
    let stored: Vec<usize> =
        (0..schema.fields().len()).filter(|index| schema.field(*index).name() != column::DATE).collect();
    let failed = |source| EncodeError::Arrow { rows: rows.len(), source };
    let schema = Arc::new(schema.project(&stored).map_err(failed)?);
    debug_assert!(schema.index_of(SOURCE).is_ok() && schema.index_of(LINE).is_ok());
    let batch = RecordBatch::try_new(schema, columns).map_err(failed)?;
    encode_sorted(&date_text(day), &batch)
}
