//! The spool of this machine as the worker's source: one partition, number 0, whose offsets are the spool's sequence numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use whopulls_enrich::worker::source::{
    DeadLetter, Offset, Partition, Payload, Source, SourceError, SourceEvent, SourceRecord,
};
use whopulls_ingest::spool::{ReadError, Reader, Record};
use whopulls_schemas::raw::stamp;

use crate::dead_letters::DeadLetters;

/// The only partition of a spool.
pub(crate) const PARTITION: Partition = 0;

/// Records handed out at once, and their bytes: a few milliseconds of work, and at most 4 MiB held.
const RECORDS_MAX: usize = 4096;
const BYTES_MAX: usize = 4 << 20;

/// A spool's reader, with a place for what is refused.
#[derive(Debug)]
pub(crate) struct SpoolSource {
    reader: Reader,
    topic: String,
    dead_letters: DeadLetters,
    assigned: bool,
    /// Records before this offset are passed over.
    from: Offset,
}

impl SpoolSource {
    /// The spool of a gateway.
    pub(crate) fn of_spool(reader: Reader, topic: String, dead_letters: DeadLetters) -> Self {
        Self { reader, topic, dead_letters, assigned: false, from: 0 }
    }

    fn source_record(&self, record: &Record) -> SourceRecord {
        let payload = Bytes::from(stamp(self.reader.node(), record.seq, &record.payload));
        SourceRecord { partition: PARTITION, offset: offset(record.seq), payload: Payload::Encoded(payload) }
    }
}

impl Source for SpoolSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    async fn next(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(SourceEvent::Assigned(vec![PARTITION]));
        }
        match tokio::time::timeout(wait, self.reader.wait_for_more()).await {
            Ok(true) => {}
            Ok(false) => {
                // Closed: nothing will come, and the worker need not ask often.
                tokio::time::sleep(wait).await;
                return Ok(SourceEvent::Idle);
            }
            Err(_) => return Ok(SourceEvent::Idle),
        }
        let read = self.reader.read(RECORDS_MAX, BYTES_MAX).map_err(source_error)?;
        let records = read.iter().map(|record| self.source_record(record)).filter(|record| record.offset >= self.from);
        let records: Vec<_> = records.collect();
        if records.is_empty() {
            return Ok(SourceEvent::Idle);
        }
        Ok(SourceEvent::Records(records))
    }

    async fn seek(&mut self, positions: &BTreeMap<Partition, Option<Offset>>) -> Result<(), SourceError> {
        self.from = positions.get(&PARTITION).copied().flatten().unwrap_or_default();
        self.reader.seek(seq(self.from));
        Ok(())
    }

    async fn committed(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<(), SourceError> {
        match positions.get(&PARTITION) {
            Some(position) => self.reader.commit(seq(*position)).map_err(source_error),
            None => Ok(()),
        }
    }

    async fn dead_letter(&mut self, letters: Vec<DeadLetter>) -> Result<(), SourceError> {
        self.dead_letters.keep(&letters).map_err(|error| SourceError::Unavailable {
            subject: self.dead_letters.path().display().to_string(),
            source: Box::new(error),
        })
    }
}

/// Damage needs a person; a disk that does not answer is tried again.
fn source_error(error: ReadError) -> SourceError {
    match error {
        ReadError::Damaged { .. } | ReadError::Position { .. } => {
            SourceError::Fatal { subject: "the spool".to_owned(), hint: chain(&error) }
        }
        ReadError::Io { .. } => SourceError::Unavailable { subject: "the spool".to_owned(), source: Box::new(error) },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// Sequence numbers of a spool begin at 2^32 and grow by one a record, those of an import are lines: they do not reach 2^63.
pub(crate) fn offset(seq: u64) -> Offset {
    Offset::try_from(seq).unwrap_or(Offset::MAX)
}

fn seq(offset: Offset) -> u64 {
    u64::try_from(offset).unwrap_or_default()
}
