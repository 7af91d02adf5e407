//! Where the worker reads from: Kafka (`crate::io::kafka`) or the spool of this machine (in the `whopulls` binary).
//!
//! The lake, not the source, says where to resume: the worker reads the positions from the table and seeks.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use whopulls_schemas::raw::RawAccess;

/// A partition of the source; a spool has one, number 0.
pub type Partition = i32;

/// A position in a partition. As a *next* offset it names the first record that is not yet in the lake.
pub type Offset = i64;

/// One record as the source holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRecord {
    /// The partition it was read from.
    pub partition: Partition,
    /// Its position there.
    pub offset: Offset,
    /// What it says.
    pub payload: Payload,
}

/// One stamped raw record (`whopulls_schemas::raw`).
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Its bytes, which may be anything.
    Encoded(Bytes),
    /// The record: the source is in this process.
    Decoded(Box<RawAccess>),
}

impl Payload {
    /// What it takes in memory.
    pub fn byte_count(&self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Decoded(raw) => raw.byte_count(),
        }
    }
}

/// What a source has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// Records, in offset order within each partition. Never empty.
    Records(Vec<SourceRecord>),
    /// All the partitions that this worker owns from now on (the whole set, not what was added). The source gives no
    /// record until [`Source::seek`] was called. A source without groups says this once, first.
    Assigned(Vec<Partition>),
    /// Partitions that this worker no longer owns; no record of theirs follows.
    Revoked(Vec<Partition>),
    /// Nothing came within the wait.
    Idle,
    /// Nothing will come any more: the source is a log with an end. Said again to whoever asks again.
    Ended,
}

/// A record that could not become an event, on its way to the dead-letter store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it was read: topic, partition and offset together are its identity, so that a repeat is recognisable.
    pub topic: String,
    /// See `topic`.
    pub partition: Partition,
    /// See `topic`.
    pub offset: Offset,
    /// Why it was refused, for people.
    pub reason: String,
    /// The bytes as they were read, cut at [`DEAD_LETTER_BYTES_MAX`].
    pub payload: Bytes,
}

/// Bytes of a refused record that are kept: Kafka's default message bound is 1 MiB, and key and headers need room.
pub const DEAD_LETTER_BYTES_MAX: usize = 512 * 1024;

/// What went wrong at a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Worth another try: the broker does not answer, the disk is busy.
    #[error("read {subject}: the source does not answer; trying again")]
    Unavailable {
        /// The topic, partition or file.
        subject: String,
        /// What the library said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Trying again cannot help: a person has to act.
    #[error("read {subject}: {hint}")]
    Fatal {
        /// The topic, partition or file.
        subject: String,
        /// What to do about it.
        hint: String,
    },
}

/// A log of raw records, in partitions, that can be read from any position that it still holds.
pub trait Source: Send {
    /// The name that positions are kept under in the table: `whopulls/<topic>/<partition>`. Two sources with the
    /// same topic and partition are the same log, so a spool's name holds its node id (`spool-<node>`).
    fn topic(&self) -> &str;

    /// The next event, or `Idle` after at most `wait`. At most a few thousand records at once. Cancel-safe: dropping
    /// the future loses nothing.
    fn next(&mut self, wait: Duration) -> impl Future<Output = Result<SourceEvent, SourceError>> + Send;

    /// Reads on from these positions, for every partition assigned; `None` is the start of the log. What was read
    /// before and not handed out is thrown away. A position that retention has passed is an ERROR in the log with
    /// the number of records lost, and reading goes on at the start of the log; a position beyond the end is
    /// `Fatal` (it is another log under the same name).
    fn seek(
        &mut self,
        positions: &BTreeMap<Partition, Option<Offset>>,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Says that everything before these next offsets is durable in the lake: Kafka commits them for lag monitors, the
    /// spool moves its durable cursor and may drop segments. Failing here loses nothing.
    fn committed(
        &mut self,
        positions: &BTreeMap<Partition, Offset>,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Keeps refused records. Durable when it returns `Ok`: the worker moves its position past them after that. The
    /// same letter may come again after a crash.
    fn dead_letter(&mut self, letters: Vec<DeadLetter>) -> impl Future<Output = Result<(), SourceError>> + Send;
}
