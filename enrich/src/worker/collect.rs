//! Which records make a batch, which were sent twice, and when a batch is due. Pure: time is an argument, rows are anything.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use whopulls_schemas::{RejectReason, Rejected, UnixMicros};

use super::source::{DEAD_LETTER_BYTES_MAX, DeadLetter, Offset, Partition};
use crate::lake::Step;

/// Nodes remembered for one partition; beyond it those without news are forgotten and asked of the table again.
pub const NODES_PER_PARTITION_MAX: usize = 4096;

/// When a batch is written. Whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushLimits {
    /// Rows. With about 1.5 kB a row in memory, 50,000 are 75 MB.
    pub rows_max: usize,
    /// Bytes of the records as they were read.
    pub bytes_max: usize,
    /// Time since the first record of the batch.
    pub age_max: Duration,
}

impl Default for FlushLimits {
    fn default() -> Self {
        Self { rows_max: 50_000, bytes_max: 64 * 1024 * 1024, age_max: Duration::from_secs(5) }
    }
}

/// One record after decoding.
#[derive(Debug, Clone)]
pub struct Incoming<R> {
    /// Where it was read.
    pub partition: Partition,
    /// Where it was read.
    pub offset: Offset,
    /// Its size as read.
    pub byte_count: usize,
    /// The row, or why there is none.
    pub content: Content<R>,
}

impl<R> Incoming<R> {
    /// The row, where there is one.
    pub const fn row(&self) -> Option<&R> {
        match &self.content {
            Content::Row { row, .. } => Some(row),
            Content::Refused(..) => None,
        }
    }

    /// The same record with what is made of its row.
    pub fn map<T>(self, make: impl FnOnce(R) -> T) -> Incoming<T> {
        let Self { partition, offset, byte_count, content } = self;
        let content = match content {
            Content::Row { node, seq, row } => Content::Row { node, seq, row: make(row) },
            Content::Refused(rejected, payload) => Content::Refused(rejected, payload),
        };
        Incoming { partition, offset, byte_count, content }
    }
}

/// What decoding gave.
#[derive(Debug, Clone)]
pub enum Content<R> {
    /// A row, with the position that its maker gave it.
    Row {
        /// The spool that made it.
        node: String,
        /// Its position there.
        seq: u64,
        /// The row.
        row: R,
    },
    /// A refusal, with the bytes.
    Refused(Rejected, Bytes),
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the batch.
    Kept,
    /// Its node sent it before; it is in the table or in the batch already.
    Resent,
    /// It is among the dead letters of the batch.
    Refused,
    /// It is not of this assignment, or before the position: it does not count.
    Ignored,
}

/// Rows and the progress that goes with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// What was refused.
    pub letters: Vec<DeadLetter>,
    /// The progress, for the partitions that moved.
    pub steps: BTreeMap<Partition, Step>,
    /// Records that were sent before and are not in it.
    pub resent_count: u64,
    /// How many were refused for what.
    pub refused: BTreeMap<RejectReason, u64>,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<R> {
    /// Write and commit this batch, then say [`Collector::handle_committed`] or [`Collector::handle_refused`].
    Flush(Batch<R>),
    /// Everything asked for is committed.
    Stop,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    base: Option<Offset>,
    next: Option<Offset>,
    seqs: HashMap<String, NodeProgress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct NodeProgress {
    last: Option<u64>,
    /// Moved by the batch that is being collected.
    moved: bool,
}

/// Collects records into batches.
#[derive(Debug)]
pub struct Collector<R> {
    topic: String,
    limits: FlushLimits,
    partitions: BTreeMap<Partition, Progress>,
    rows: Vec<R>,
    letters: Vec<DeadLetter>,
    resent_count: u64,
    refused: BTreeMap<RejectReason, u64>,
    byte_count: usize,
    opened_at: Option<UnixMicros>,
    draining: bool,
}

impl<R> Collector<R> {
    /// Records that wait for the next commit.
    pub fn waiting(&self) -> usize {
        self.rows.len() + self.letters.len()
    }

    /// Collects from `topic`.
    pub fn new(topic: &str, limits: FlushLimits) -> Self {
        Self {
            topic: topic.to_owned(),
            limits,
            partitions: BTreeMap::new(),
            rows: Vec::new(),
            letters: Vec::new(),
            resent_count: 0,
            refused: BTreeMap::new(),
            byte_count: 0,
            opened_at: None,
            draining: false,
        }
    }

    /// The partitions owned, with what the table said of each. What was collected and not committed is thrown away: it will
    /// be read again, by whoever owns it.
    pub fn handle_assigned(&mut self, positions: &BTreeMap<Partition, Option<Offset>>) {
        self.handle_refused();
        // What is read again may not have been the end.
        self.draining = false;
        let progress = |base: Option<Offset>| Progress { base, next: base, seqs: HashMap::new() };
        self.partitions = positions.iter().map(|(&partition, &base)| (partition, progress(base))).collect();
    }

    /// The batch was refused, or the partitions are gone: nothing is owned until the next assignment.
    pub fn handle_refused(&mut self) {
        self.partitions.clear();
        drop(self.take_batch());
    }

    /// The partitions owned.
    pub fn partitions(&self) -> Vec<Partition> {
        self.partitions.keys().copied().collect()
    }

    /// Whether the table must be asked for the node's last `seq` before a record of it is handled.
    pub fn needs_seq(&self, partition: Partition, node: &str) -> bool {
        self.partitions.get(&partition).is_some_and(|progress| !progress.seqs.contains_key(node))
    }

    /// What the table said; `None` when it knows nothing of the node.
    pub fn handle_seq(&mut self, partition: Partition, node: &str, last: Option<u64>) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            if progress.seqs.len() >= NODES_PER_PARTITION_MAX {
                progress.seqs.retain(|_, node| node.moved);
            }
            progress.seqs.insert(node.to_owned(), NodeProgress { last, moved: false });
        }
    }

    /// Takes one record.
    pub fn handle_record(&mut self, now: UnixMicros, incoming: Incoming<R>) -> Verdict {
        let Some(progress) = self.partitions.get_mut(&incoming.partition) else {
            return Verdict::Ignored;
        };
        if progress.next.is_some_and(|next| incoming.offset < next) {
            return Verdict::Ignored;
        }
        progress.next = Some(incoming.offset + 1);
        self.opened_at.get_or_insert(now);
        self.byte_count += incoming.byte_count;
        match incoming.content {
            Content::Row { node, seq, row } => {
                let moved = NodeProgress { last: Some(seq), moved: true };
                match progress.seqs.get_mut(&*node) {
                    Some(known) if known.last.is_some_and(|last| seq <= last) => {
                        self.resent_count += 1;
                        return Verdict::Resent;
                    }
                    Some(known) => *known = moved,
                    None => drop(progress.seqs.insert(node, moved)),
                }
                self.rows.push(row);
                Verdict::Kept
            }
            Content::Refused(rejected, payload) => {
                *self.refused.entry(rejected.reason).or_default() += 1;
                self.letters.push(DeadLetter {
                    topic: self.topic.clone(),
                    partition: incoming.partition,
                    offset: incoming.offset,
                    reason: rejected.to_string(),
                    payload: payload.slice(..payload.len().min(DEAD_LETTER_BYTES_MAX)),
                });
                Verdict::Refused
            }
        }
    }

    /// No more records will come: what is collected is due now.
    pub fn handle_drain(&mut self) {
        self.draining = true;
    }

    /// What is due.
    pub fn poll_action(&mut self, now: UnixMicros) -> Option<Action<R>> {
        let pending = self.opened_at.is_some();
        if pending && (self.draining || self.is_full() || self.wait(now) == Some(Duration::ZERO)) {
            return Some(Action::Flush(self.take_batch()));
        }
        self.draining.then_some(Action::Stop)
    }

    /// Time until a batch is due by age; `None` when nothing is collected.
    pub fn wait(&self, now: UnixMicros) -> Option<Duration> {
        let opened_at = self.opened_at?;
        let age = Duration::from_micros(u64::try_from(now.0.saturating_sub(opened_at.0)).unwrap_or_default());
        Some(self.limits.age_max.saturating_sub(age))
    }

    /// The batch that [`Action::Flush`] gave is in the table.
    pub fn handle_committed(&mut self) {
        for progress in self.partitions.values_mut() {
            progress.base = progress.next;
            for node in progress.seqs.values_mut() {
                node.moved = false;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.waiting() >= self.limits.rows_max || self.byte_count >= self.limits.bytes_max
    }

    fn take_batch(&mut self) -> Batch<R> {
        let steps = self.partitions.iter().filter_map(|(&partition, progress)| Some((partition, progress.step()?)));
        let steps = steps.collect();
        self.byte_count = 0;
        self.opened_at = None;
        Batch {
            rows: std::mem::take(&mut self.rows),
            letters: std::mem::take(&mut self.letters),
            steps,
            resent_count: std::mem::take(&mut self.resent_count),
            refused: std::mem::take(&mut self.refused),
        }
    }
}

impl Progress {
    fn step(&self) -> Option<Step> {
        let next = self.next.filter(|_| self.next != self.base)?;
        let moved = self.seqs.iter().filter(|(_, node)| node.moved);
        let seqs = moved.filter_map(|(name, node)| Some((name.clone(), node.last?))).collect();
        Some(Step { base: self.base, next, seqs })
    }
}
