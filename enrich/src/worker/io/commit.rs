//! A batch on its way into the table: dead letters, files, commit, in this order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::RawAccess;

use super::{Flow, Worker, WorkerError};
use crate::event::{Enriched, Event, encode_files};
use crate::io::clock;
use crate::lake::{CommitError, CommitRequest, DataFile, Stale, Step};
use crate::worker::collect::Batch;
use crate::worker::metrics::{PartitionLabels, RejectedLabels};
use crate::worker::source::{DeadLetter, Partition, Source, SourceError};

/// What became of a batch.
enum Outcome {
    Committed,
    Stale(Stale),
    GaveUp,
}

impl<S: Source, E: Fn(&RawAccess) -> Arc<Enriched> + Send + Sync> Worker<'_, S, E> {
    pub(super) async fn flush(&mut self, batch: Batch<(Box<RawAccess>, Arc<Enriched>)>) -> Result<Flow, WorkerError> {
        let started = clock::now();
        let Batch { rows, letters, steps, resent_count, refused } = batch;
        let (row_count, oldest) = (rows.len() as u64, rows.iter().map(|(raw, _)| raw.ts).min());
        if self.keep_letters(letters).await? == Flow::GiveUp {
            return Ok(Flow::GiveUp);
        }
        let Some(rows) = self.count_rows(rows, &steps).await else {
            return Ok(Flow::GiveUp);
        };
        let organizations = organizations(&rows, &self.summary.organizations);
        let Some(files) = self.write(rows).await? else {
            return Ok(Flow::GiveUp);
        };
        match self.commit(&steps, &files).await {
            Outcome::GaveUp => return Ok(Flow::GiveUp),
            Outcome::Stale(stale) => return self.refused(stale).await,
            Outcome::Committed => {}
        }
        self.collector.handle_committed();
        self.summary.organizations.extend(organizations);
        self.count(&steps, row_count, resent_count);
        for (reason, count) in refused {
            self.summary.rejected += count;
            self.metrics.rejected.get_or_create(&RejectedLabels { reason: reason.as_str().to_owned() }).inc_by(count);
        }
        let now = clock::now();
        self.metrics.commit_seconds.observe(seconds(started, now));
        if let Some(oldest) = oldest {
            self.metrics.freshness_seconds.observe(seconds(oldest, now));
        }
        tracing::debug!(topic = self.topic, row_count, files = files.len(), version = self.lake.version(), "committed");
        let next = steps.iter().map(|(&partition, step)| (partition, step.next)).collect();
        if let Err(error) = self.source.committed(&next).await {
            // The table says where to resume; the source's own note is for monitors and for dropping what is old.
            tracing::warn!(%error, topic = self.topic, "the source could not note what was committed; the next commit does");
        }
        Ok(Flow::GoOn)
    }

    async fn keep_letters(&mut self, letters: Vec<DeadLetter>) -> Result<Flow, WorkerError> {
        while !letters.is_empty() {
            match self.source.dead_letter(letters.clone()).await {
                Ok(()) => break,
                Err(error @ SourceError::Unavailable { .. }) => {
                    if self.retry.pause("keep the dead letters", &error).await == Flow::GiveUp {
                        return Ok(Flow::GiveUp);
                    }
                }
                Err(error @ SourceError::Fatal { .. }) => return Err(error.into()),
            }
        }
        Ok(Flow::GoOn)
    }

    /// `None`: gave up.
    async fn write(&mut self, rows: Vec<Event>) -> Result<Option<Vec<DataFile>>, WorkerError> {
        let encoding = tokio::task::spawn_blocking(move || encode_files(rows));
        let encoded = encoding.await.map_err(WorkerError::EncodeThread)??;
        loop {
            match self.lake.write_files(&encoded).await {
                Ok(files) => return Ok(Some(files)),
                Err(error) => {
                    if self.retry.pause("write the data files", &error).await == Flow::GiveUp {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn commit(&mut self, steps: &BTreeMap<Partition, Step>, files: &[DataFile]) -> Outcome {
        let mut may_have_happened = false;
        loop {
            let request = CommitRequest { topic: &self.topic, steps, files, now: clock::now() };
            match self.lake.commit(request).await {
                Ok(_) => return Outcome::Committed,
                Err(CommitError::Stale(stale)) => {
                    if !may_have_happened {
                        self.delete_orphans(files).await;
                    }
                    return Outcome::Stale(stale);
                }
                Err(error) => {
                    may_have_happened |= matches!(error, CommitError::Uncertain { .. });
                    if self.retry.pause("commit to the lake", &error).await == Flow::GiveUp {
                        return Outcome::GaveUp;
                    }
                }
            }
        }
    }

    /// Files that a commit may name after all are left to the upkeep of the table.
    async fn delete_orphans(&self, files: &[DataFile]) {
        if let Err(error) = self.lake.delete_orphans(files).await {
            tracing::warn!(%error, "files of a refused commit are left; they cost space only");
        }
    }

    /// Another worker moved the partition: throw the batch away and read on where the table is.
    async fn refused(&mut self, stale: Stale) -> Result<Flow, WorkerError> {
        self.metrics.commits_refused.inc();
        self.summary.commits_refused += 1;
        let commits_refused = self.summary.commits_refused;
        tracing::warn!(%stale, commits_refused, "commit refused; nothing was written");
        let partitions = self.collector.partitions();
        self.resume(&partitions).await
    }

    fn count(&mut self, steps: &BTreeMap<Partition, Step>, row_count: u64, resent_count: u64) {
        self.retry.succeeded();
        self.metrics.events.inc_by(row_count);
        self.metrics.resent.inc_by(resent_count);
        self.metrics.commits.inc();
        self.summary.events += row_count;
        self.summary.resent += resent_count;
        self.summary.commits += 1;
        for (&partition, step) in steps {
            self.metrics.position.get_or_create(&PartitionLabels { partition }).set(step.next);
            self.summary.positions.insert(partition, step.next);
        }
    }
}

/// Those of the rows that are not known yet.
fn organizations(rows: &[Event], known: &BTreeSet<Box<str>>) -> BTreeSet<Box<str>> {
    let ids = rows.iter().filter_map(|event| event.enriched.org.as_ref()).map(|organization| organization.id.as_str());
    ids.filter(|id| !known.contains(*id)).map(Box::from).collect()
}

fn seconds(from: UnixMicros, to: UnixMicros) -> f64 {
    let micros = u64::try_from(to.0.saturating_sub(from.0)).unwrap_or_default();
    Duration::from_micros(micros).as_secs_f64()
}
