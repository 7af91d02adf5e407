//! A log that is being read as the worker's source: one partition, number 0, whose offsets are the lines' numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use whopulls_enrich::worker::source::{
    DeadLetter, Offset, Partition, Payload, Source, SourceError, SourceEvent, SourceRecord,
};
use whopulls_ingest::import::Records;
use whopulls_schemas::raw::RawAccess;

use crate::spool_source::{PARTITION, offset};

/// Batches of records that wait for the worker: with at most 1,000 of about 1 kB each, 48 MB. Lines are read on while columns are encoded.
const WAITING_MAX: usize = 48;

/// The worker's end of an import.
#[derive(Debug)]
pub(crate) struct ImportSource {
    topic: String,
    records: Receiver<Records>,
    assigned: bool,
    /// Records before this offset are in the table.
    from: Offset,
    /// Behind the last one that was handed out.
    next: Offset,
}

impl ImportSource {
    /// The source, and where the log's records are put. When that is dropped, the log has ended.
    pub(crate) fn new(topic: String) -> (Self, Sender<Records>) {
        let (sender, records) = channel(WAITING_MAX);
        (Self { topic, records, assigned: false, from: 0, next: 0 }, sender)
    }
}

impl Source for ImportSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    async fn next(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(SourceEvent::Assigned(vec![PARTITION]));
        }
        let records = match tokio::time::timeout(wait, self.records.recv()).await {
            Ok(Some(records)) => records,
            Ok(None) => return Ok(SourceEvent::Ended),
            Err(_) => return Ok(SourceEvent::Idle),
        };
        let record = |raw: Box<RawAccess>| {
            let offset = offset(raw.seq);
            SourceRecord { partition: PARTITION, offset, payload: Payload::Decoded(raw) }
        };
        let records: Vec<_> = records.into_iter().map(record).filter(|record| record.offset >= self.from).collect();
        let Some(last) = records.last() else { return Ok(SourceEvent::Idle) };
        self.next = last.offset + 1;
        Ok(SourceEvent::Records(records))
    }

    async fn seek(&mut self, positions: &BTreeMap<Partition, Option<Offset>>) -> Result<(), SourceError> {
        let position = positions.get(&PARTITION).copied().flatten().unwrap_or_default();
        if position < self.next {
            // The lines between were read and thrown away with the batch, and they come once.
            return Err(SourceError::Fatal {
                subject: self.topic.clone(),
                hint: "the table was moved on from outside: another import of the same log runs, or ran. Nothing is lost and nothing \
                       is there twice; start this import again when the other has ended"
                    .to_owned(),
            });
        }
        self.from = position;
        Ok(())
    }

    /// The log itself says what comes after the table's position.
    async fn committed(&mut self, _positions: &BTreeMap<Partition, Offset>) -> Result<(), SourceError> {
        Ok(())
    }

    async fn dead_letter(&mut self, letters: Vec<DeadLetter>) -> Result<(), SourceError> {
        // Lines that make no record are kept by whoever reads them; here come records only.
        let subject = self.topic.clone();
        let hint = format!("{} records of it were refused, and none can be; report this", letters.len());
        Err(SourceError::Fatal { subject, hint })
    }
}
