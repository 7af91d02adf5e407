//! A lake in a folder of its own, and records to put into it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use deltalake::DeltaTable;
use deltalake::DeltaTableBuilder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use uuid::Uuid;
use whopulls_enrich::event::{Enriched, Event, action, encode_files};
use whopulls_enrich::fold::{Counted, Request};
use whopulls_enrich::lake::{EncodedFile, Lake};
use whopulls_enrich::worker::source::{
    DeadLetter, Offset, Partition, Payload, Source, SourceError, SourceEvent, SourceRecord,
};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Kind, RawAccess};

/// 2026-11-24T00:00:00Z.
pub(crate) const DAY: i64 = 1_795_478_400_000_000;

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn location(&self) -> String {
        self.0.path().join("events").to_str().expect("a UTF-8 path").to_owned()
    }

    pub(crate) async fn lake(&self) -> Lake {
        Lake::open_or_create(&self.location(), &BTreeMap::new()).await.expect("a lake")
    }

    pub(crate) async fn table(&self) -> DeltaTable {
        let url = url::Url::from_directory_path(self.0.path().join("events")).expect("an absolute path");
        DeltaTableBuilder::from_url(url).expect("a URL").load().await.expect("a table")
    }

    /// The ids of all rows that a reader sees, sorted.
    pub(crate) async fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for batch in self.batches().await {
            let column = batch.column_by_name("id").expect("column id").as_any().downcast_ref::<StringArray>();
            ids.extend(column.expect("text").iter().flatten().map(str::to_owned));
        }
        ids.sort();
        ids
    }

    pub(crate) async fn seqs(&self) -> Vec<i64> {
        let mut seqs = Vec::new();
        for batch in self.batches().await {
            let column = batch.column_by_name("seq").expect("column seq").as_any().downcast_ref::<Int64Array>();
            seqs.extend(column.expect("numbers").iter().flatten());
        }
        seqs.sort_unstable();
        seqs
    }

    pub(crate) async fn batches(&self) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        for uri in self.table().await.get_file_uris().expect("a loaded table") {
            let file = std::fs::File::open(uri).expect("a live file");
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader");
            batches.extend(reader.map(|batch| batch.expect("a batch")));
        }
        batches
    }

    /// Parquet files in the table's folder, live or not.
    pub(crate) fn parquet_files(&self) -> usize {
        let days = std::fs::read_dir(self.0.path().join("events")).expect("the table's folder");
        let days = days.map(|day| day.expect("an entry").path());
        let days = days.filter(|day| day.file_name().is_some_and(|name| name.to_string_lossy().starts_with("date=")));
        days.map(|day| std::fs::read_dir(day).expect("a day's folder").count()).sum()
    }
}

pub(crate) fn record(node: &str, seq: u64) -> RawAccess {
    let ts = UnixMicros(DAY + i64::try_from(seq).expect("a small number") * 1000);
    let id = Uuid::from_u128(u128::from(seq) | (u128::from(node.len() as u64) << 100));
    let mut raw = RawAccess::new(id, ts, Kind::File, "GET", "/app.tar.gz", 302);
    node.clone_into(&mut raw.node);
    raw.seq = seq;
    raw.package = Some(format!("package-{}", seq % 7));
    raw.vars.insert("seq".to_owned(), seq.to_string());
    raw
}

/// Files of records as they are by themselves.
pub(crate) fn encoded_of(records: &[RawAccess], enrich: impl Fn(&RawAccess) -> Enriched) -> Vec<EncodedFile> {
    let event = |raw: &RawAccess| {
        let enriched = enrich(raw);
        let counted = Counted::alone(&Request::of(raw, &enriched, action(raw)));
        Event { counted, enriched: Arc::new(enriched), raw: Box::new(raw.clone()) }
    };
    encode_files(records.iter().map(event).collect()).expect("files")
}

pub(crate) fn event(node: &str, seq: u64) -> Event {
    let raw = record(node, seq);
    let enriched = Enriched::default();
    let counted = Counted::alone(&Request::of(&raw, &enriched, action(&raw)));
    Event { counted, enriched: Arc::new(enriched), raw: Box::new(raw) }
}

pub(crate) fn encoded(events: &[Event]) -> Vec<EncodedFile> {
    encode_files(events.to_vec()).expect("schema and code agree")
}

/// A source in memory: one partition list, read in slabs, with everything that a real one can do.
pub(crate) struct Memory {
    pub(crate) partitions: BTreeMap<Partition, Vec<Bytes>>,
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) committed: BTreeMap<Partition, Offset>,
    pub(crate) script: VecDeque<SourceEvent>,
    pub(crate) slab: usize,
    /// It has no more than this; else it waits for more.
    pub(crate) ends: bool,
    next: BTreeMap<Partition, Offset>,
    assigned: bool,
}

impl Memory {
    pub(crate) fn new(partitions: BTreeMap<Partition, Vec<Bytes>>) -> Self {
        Self {
            partitions,
            letters: Vec::new(),
            committed: BTreeMap::new(),
            script: VecDeque::new(),
            slab: 10,
            ends: true,
            next: BTreeMap::new(),
            assigned: false,
        }
    }

    pub(crate) fn of_records(partition: Partition, records: impl IntoIterator<Item = RawAccess>) -> Self {
        let payloads = records.into_iter().map(|raw| Bytes::from(raw.encode())).collect();
        Self::new(BTreeMap::from([(partition, payloads)]))
    }
}

pub(crate) fn offset(index: usize) -> Offset {
    Offset::try_from(index).expect("a small number")
}

impl Source for Memory {
    fn topic(&self) -> &'static str {
        "memory"
    }

    async fn next(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(SourceEvent::Assigned(self.partitions.keys().copied().collect()));
        }
        if let Some(event) = self.script.pop_front() {
            return Ok(event);
        }
        for (&partition, next) in &mut self.next {
            let all = &self.partitions[&partition];
            let from = usize::try_from(*next).expect("a position");
            let records: Vec<_> = (from..all.len().min(from + self.slab))
                .map(|index| SourceRecord {
                    partition,
                    offset: offset(index),
                    payload: Payload::Encoded(all[index].clone()),
                })
                .collect();
            if !records.is_empty() {
                *next += offset(records.len());
                return Ok(SourceEvent::Records(records));
            }
        }
        if self.ends {
            return Ok(SourceEvent::Ended);
        }
        tokio::time::sleep(wait.min(Duration::from_millis(5))).await;
        Ok(SourceEvent::Idle)
    }

    async fn seek(&mut self, positions: &BTreeMap<Partition, Option<Offset>>) -> Result<(), SourceError> {
        self.next = positions.iter().map(|(&partition, position)| (partition, position.unwrap_or(0))).collect();
        Ok(())
    }

    async fn committed(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<(), SourceError> {
        self.committed.extend(positions);
        Ok(())
    }

    async fn dead_letter(&mut self, letters: Vec<DeadLetter>) -> Result<(), SourceError> {
        self.letters.extend(letters);
        Ok(())
    }
}
