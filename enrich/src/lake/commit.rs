//! The conditional commit.
//!
//! deltalake refuses a commit when one that won since the snapshot was read touched the same application ids; comparing the
//! table's value with the offset that the batch started from, against that very snapshot, is done here. A commit whose
//! answer was lost looks like a conflict with oneself, so before a batch is called stale the table is asked whether it
//! already holds the batch's files.

use std::collections::{BTreeMap, HashMap, HashSet};

use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::column;
use whopulls_schemas::progress::{node_app_id, partition_app_id};

use super::{CommitError, DataFile, Lake, Stale, Step};
use crate::worker::source::Partition;

/// Rounds of "read the newest version, compare, commit" before the caller has to wait. Only commits of other kinds
/// (compaction, erasure) that touch what this one read cost a round.
const ROUNDS_MAX: u32 = 10;

/// What one commit says.
#[derive(Debug, Clone, Copy)]
pub struct CommitRequest<'a> {
    /// The name of the source.
    pub topic: &'a str,
    /// The progress, by partition.
    pub steps: &'a BTreeMap<Partition, Step>,
    /// The files; none when a batch held only refused or resent records.
    pub files: &'a [DataFile],
    /// The time that the log entry names.
    pub now: UnixMicros,
}

/// A commit that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version of the table that holds it.
    pub version: u64,
}

impl Lake {
    /// Adds the files and moves the positions, both or neither, if the table still is where the batch started.
    ///
    /// # Errors
    /// [`CommitError::Stale`] when it is not: nothing was added and the batch must be read again. After any other error the
    /// same call may be made again; a batch that the table already holds is not added twice.
    pub async fn commit(&mut self, request: CommitRequest<'_>) -> Result<Committed, CommitError> {
        for _ in 0..ROUNDS_MAX {
            self.refresh().await?;
            if let Some(stale) = self.compare(request).await? {
                return if self.holds(request.files)? {
                    Ok(Committed { version: self.version() })
                } else {
                    Err(stale.into())
                };
            }
            let operation = DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![column::DATE.to_owned()]),
                predicate: None,
            };
            let properties = CommitProperties::default().with_application_transactions(transactions(request));
            if let Some(version) = self.try_commit(adds(request.files, request.now), operation, properties).await? {
                return Ok(Committed { version });
            }
        }
        Err(CommitError::Contended { table: self.url().to_owned(), attempts: ROUNDS_MAX })
    }

    async fn compare(&self, request: CommitRequest<'_>) -> Result<Option<Stale>, CommitError> {
        for (&partition, step) in request.steps {
            let found = self.transaction(&partition_app_id(request.topic, partition)).await?;
            if found != step.base {
                let topic = request.topic.to_owned();
                return Ok(Some(Stale { topic, partition, expected: step.base, found }));
            }
        }
        Ok(None)
    }

    /// Whether the table already names all of these files, which it can only do if an earlier try went through.
    pub(super) fn holds(&self, files: &[DataFile]) -> Result<bool, CommitError> {
        if files.is_empty() {
            return Ok(false);
        }
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        let mut wanted: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        for live in state.log_data() {
            wanted.remove(live.object_store_path().as_ref());
        }
        Ok(wanted.is_empty())
    }

    /// One round, built on the snapshot that was just compared. `None`: another writer won, look again.
    pub(super) async fn try_commit(
        &mut self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        properties: CommitProperties,
    ) -> Result<Option<u64>, CommitError> {
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        let commit = CommitBuilder::from(properties).with_actions(actions).build(
            Some(state.snapshot()),
            self.table.log_store(),
            operation,
        );
        let prepared = commit.into_prepared_commit_future().await.map_err(|source| self.uncertain(source))?;
        let landed = match prepared.await {
            Ok(landed) => landed,
            Err(source) if is_conflict(&source) => return Ok(None),
            Err(source) => return Err(self.uncertain(source)),
        };
        let version = landed.version;
        // Checkpoint and clean-up. The commit stands whatever becomes of them.
        if let Err(error) = landed.await {
            tracing::warn!(%error, version, "checkpoint of the lake table failed; the next one tries again");
        }
        Ok(Some(version))
    }

    fn uncertain(&self, source: DeltaTableError) -> CommitError {
        CommitError::Uncertain { table: self.url().to_owned(), source: Box::new(source) }
    }
}

fn is_conflict(error: &DeltaTableError) -> bool {
    if let DeltaTableError::Transaction { source } = error {
        return matches!(source, TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_));
    }
    matches!(error, DeltaTableError::VersionAlreadyExists(_))
}

fn transactions(request: CommitRequest<'_>) -> Vec<Transaction> {
    let updated_ms = Some(request.now.0 / 1000);
    let mut transactions = Vec::new();
    for (&partition, step) in request.steps {
        let app_id = partition_app_id(request.topic, partition);
        transactions.push(Transaction::new_with_last_update(app_id, step.next, updated_ms));
        for (node, &seq) in &step.seqs {
            let app_id = node_app_id(request.topic, partition, node);
            // Decoding refuses a seq beyond i64.
            let seq = i64::try_from(seq).unwrap_or(i64::MAX);
            transactions.push(Transaction::new_with_last_update(app_id, seq, updated_ms));
        }
    }
    transactions
}

pub(super) fn adds(files: &[DataFile], now: UnixMicros) -> Vec<Action> {
    let add = |file: &DataFile| {
        Action::Add(Add {
            path: file.path.clone(),
            partition_values: HashMap::from([(column::DATE.to_owned(), Some(file.date.clone()))]),
            size: i64::try_from(file.byte_count).unwrap_or(i64::MAX),
            modification_time: now.0 / 1000,
            data_change: true,
            stats: Some(file.stats.clone()),
            ..Add::default()
        })
    };
    files.iter().map(add).collect()
}
