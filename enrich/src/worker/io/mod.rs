//! The loop around the collector: read, decode, enrich, write, commit, go on.

mod commit;
mod count;
mod retry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::raw::RawAccess;

use super::collect::{Action, Collector, Content, FlushLimits, Incoming};
use super::metrics::WorkerMetrics;
use super::source::{Offset, Partition, Payload, Source, SourceError, SourceEvent, SourceRecord};
use crate::event::{EncodeError, Enriched};
use crate::fold::Fold;
use crate::io::clock;
use crate::lake::{Lake, LakeError};
use crate::reverse::ReverseNames;
use retry::Retry;

/// The longest wait for the source: shutdown and flush are looked at this often even when nothing comes.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// When a batch is written.
    pub flush: FlushLimits,
    /// How long a failing store is still tried after shutdown was asked for. What is not committed is read again later.
    pub shutdown_grace: Duration,
    /// Who is asked for names of addresses before the records are enriched; nobody where the operator does not want it.
    pub names: Option<Arc<ReverseNames>>,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { flush: FlushLimits::default(), shutdown_grace: Duration::from_secs(10), names: None }
    }
}

/// What a worker did. Counts are of committed batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerSummary {
    /// Events in the table.
    pub events: u64,
    /// The organizations of these events.
    pub organizations: BTreeSet<Box<str>>,
    /// Records in the dead letters.
    pub rejected: u64,
    /// Records dropped because their node had sent them before.
    pub resent: u64,
    /// Commits.
    pub commits: u64,
    /// Commits that the table refused.
    pub commits_refused: u64,
    /// The next offset of each partition that was committed.
    pub positions: BTreeMap<Partition, Offset>,
    /// The worker stopped while the store did not answer: what was read and not committed is read again next time.
    pub gave_up: bool,
}

/// Why a worker ended before it was told to.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The source needs a person.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The table needs a person.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A fault of this program.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The thread that encodes died.
    #[error("encode a batch: its thread ended; report this")]
    EncodeThread(#[source] tokio::task::JoinError),
}

/// Reads the source into the table until `shutdown`, or until the source has ended. Each record is in the table once, or among the dead
/// letters, whatever dies.
///
/// # Errors
/// When a person has to act; an outage of the source or the store is waited for and is none.
pub async fn run_worker<S, E>(
    config: WorkerConfig,
    source: &mut S,
    lake: &mut Lake,
    enrich: &E,
    metrics: &WorkerMetrics,
    shutdown: CancellationToken,
) -> Result<WorkerSummary, WorkerError>
where
    S: Source,
    E: Fn(&RawAccess) -> Arc<Enriched> + Send + Sync,
{
    let topic = source.topic().to_owned();
    let collector = Collector::new(&topic, config.flush);
    let retry = Retry::new(shutdown.clone(), config.shutdown_grace, metrics.retries.clone());
    let (summary, names) = (WorkerSummary::default(), config.names);
    let (fold, remembered) = (Fold::default(), BTreeSet::new());
    let worker =
        Worker { topic, source, lake, enrich, names, fold, remembered, metrics, collector, retry, shutdown, summary };
    worker.run().await
}

struct Worker<'a, S, E> {
    topic: String,
    source: &'a mut S,
    lake: &'a mut Lake,
    enrich: &'a E,
    names: Option<Arc<ReverseNames>>,
    /// The counting rule with its memory of what is in the table, and of the batch under way.
    fold: Fold,
    /// Partitions whose last minutes the memory knows.
    remembered: BTreeSet<Partition>,
    metrics: &'a WorkerMetrics,
    collector: Collector<(Box<RawAccess>, Arc<Enriched>)>,
    retry: Retry,
    shutdown: CancellationToken,
    summary: WorkerSummary,
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    /// Shutdown was asked for and the store did not answer within the grace.
    GiveUp,
}

impl<S: Source, E: Fn(&RawAccess) -> Arc<Enriched> + Send + Sync> Worker<'_, S, E> {
    async fn run(mut self) -> Result<WorkerSummary, WorkerError> {
        loop {
            let flow = match self.collector.poll_action(clock::now()) {
                Some(Action::Flush(batch)) => self.flush(batch).await?,
                Some(Action::Stop) => return Ok(self.summary),
                None => self.step().await?,
            };
            self.metrics.waiting.set(i64::try_from(self.collector.waiting()).unwrap_or(i64::MAX));
            if flow == Flow::GiveUp {
                self.summary.gave_up = true;
                return Ok(self.summary);
            }
        }
    }

    async fn step(&mut self) -> Result<Flow, WorkerError> {
        let wait = self.collector.wait(clock::now()).unwrap_or(WAIT_MAX).min(WAIT_MAX);
        let event = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                self.collector.handle_drain();
                return Ok(Flow::GoOn);
            }
            event = self.source.next(wait) => event,
        };
        match event {
            Ok(SourceEvent::Records(records)) => self.take(records).await,
            Ok(SourceEvent::Assigned(partitions)) => self.resume(&partitions).await,
            Ok(SourceEvent::Revoked(partitions)) => {
                tracing::info!(
                    topic = self.topic,
                    ?partitions,
                    "partitions were revoked; what was not committed is left"
                );
                self.collector.handle_refused();
                Ok(Flow::GoOn)
            }
            Ok(SourceEvent::Idle) => {
                self.retry.succeeded();
                Ok(Flow::GoOn)
            }
            Ok(SourceEvent::Ended) => {
                self.collector.handle_drain();
                Ok(Flow::GoOn)
            }
            Err(error @ SourceError::Unavailable { .. }) => Ok(self.retry.pause("read the source", &error).await),
            Err(error @ SourceError::Fatal { .. }) => Err(error.into()),
        }
    }

    /// Asks the table where these partitions stand and reads on from there.
    async fn resume(&mut self, partitions: &[Partition]) -> Result<Flow, WorkerError> {
        let positions = loop {
            match self.lake.positions(&self.topic, partitions).await {
                Ok(positions) => break positions,
                Err(error) => {
                    if self.retry.pause("read the positions", &error).await == Flow::GiveUp {
                        return Ok(Flow::GiveUp);
                    }
                }
            }
        };
        tracing::info!(topic = self.topic, ?positions, "reading on from the table's positions");
        self.forget_counts();
        self.collector.handle_assigned(&positions);
        loop {
            match self.source.seek(&positions).await {
                Ok(()) => break,
                Err(error @ SourceError::Unavailable { .. }) => {
                    if self.retry.pause("seek in the source", &error).await == Flow::GiveUp {
                        return Ok(Flow::GiveUp);
                    }
                }
                Err(error @ SourceError::Fatal { .. }) => return Err(error.into()),
            }
        }
        self.retry.succeeded();
        Ok(Flow::GoOn)
    }

    async fn take(&mut self, records: Vec<SourceRecord>) -> Result<Flow, WorkerError> {
        self.retry.succeeded();
        let decoded: Vec<_> = records.into_iter().map(decode).collect();
        if let Some(names) = &self.names {
            let raws: Vec<&RawAccess> = decoded.iter().filter_map(Incoming::row).map(Box::as_ref).collect();
            names.learn(&raws).await;
        }
        for incoming in decoded {
            let incoming = incoming.map(|raw| {
                let enriched = (self.enrich)(&raw);
                (raw, enriched)
            });
            if let Content::Row { node, .. } = &incoming.content
                && self.collector.needs_seq(incoming.partition, node)
            {
                let node = node.clone();
                let Some(last) = self.last_seq(incoming.partition, &node).await else {
                    return Ok(Flow::GiveUp);
                };
                self.collector.handle_seq(incoming.partition, &node, last);
            }
            self.collector.handle_record(clock::now(), incoming);
        }
        Ok(Flow::GoOn)
    }

    /// `None`: gave up.
    async fn last_seq(&mut self, partition: Partition, node: &str) -> Option<Option<u64>> {
        loop {
            match self.lake.last_seq(&self.topic, partition, node).await {
                Ok(last) => return Some(last),
                Err(error) => {
                    if self.retry.pause("read a node's position", &error).await == Flow::GiveUp {
                        return None;
                    }
                }
            }
        }
    }
}

fn decode(record: SourceRecord) -> Incoming<Box<RawAccess>> {
    let SourceRecord { partition, offset, payload } = record;
    let byte_count = payload.byte_count();
    let row = |row: Box<RawAccess>| Content::Row { node: row.node.clone(), seq: row.seq, row };
    let content = match payload {
        Payload::Decoded(raw) => row(raw),
        Payload::Encoded(bytes) => match RawAccess::decode(&bytes) {
            Ok(raw) => row(Box::new(raw)),
            Err(rejected) => Content::Refused(rejected, bytes),
        },
    };
    Incoming { partition, offset, byte_count, content }
}
