//! The loop on a source in memory and a table on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use whopulls_enrich::event::Enriched;
use whopulls_enrich::lake::{CommitRequest, Lake, Step};
use whopulls_enrich::worker::source::{Payload, SourceEvent};
use whopulls_enrich::worker::{FlushLimits, WorkerConfig, WorkerMetrics, WorkerSummary, run_worker};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::RawAccess;

use crate::support::{DAY, Folder, Memory, encoded, event, offset, record};

fn config(rows_max: usize) -> WorkerConfig {
    let flush = FlushLimits { rows_max, age_max: Duration::from_hours(1), ..FlushLimits::default() };
    WorkerConfig { flush, ..WorkerConfig::default() }
}

async fn run(source: &mut Memory, lake: &mut Lake, rows_max: usize) -> WorkerSummary {
    let metrics = WorkerMetrics::default();
    let config = config(rows_max);
    let enrich = |_: &RawAccess| Arc::new(Enriched::default());
    run_worker(config, source, lake, &enrich, &metrics, CancellationToken::new())
        .await
        .expect("the worker ends by itself")
}

fn numbers(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

#[tokio::test]
async fn every_record_is_a_row_once() {
    let folder = Folder::new();
    let mut source = Memory::of_records(0, (1..101).map(|seq| record("n1", seq)));
    let summary = run(&mut source, &mut folder.lake().await, 30).await;
    assert_eq!((summary.events, summary.rejected, summary.resent), (100, 0, 0));
    assert_eq!(summary.positions, BTreeMap::from([(0, 100)]));
    assert_eq!(source.committed, BTreeMap::from([(0, 100)]));
    assert_eq!(folder.seqs().await, numbers(1..101));
}

#[tokio::test]
async fn a_second_run_over_the_same_log_adds_nothing() {
    let folder = Folder::new();
    for expected in [50, 0] {
        let mut source = Memory::of_records(0, (1..51).map(|seq| record("n1", seq)));
        let summary = run(&mut source, &mut folder.lake().await, 20).await;
        assert_eq!(summary.events, expected);
    }
    assert_eq!(folder.seqs().await, numbers(1..51));
}

#[tokio::test]
async fn what_a_forwarder_sent_twice_is_dropped_also_across_a_restart() {
    let folder = Folder::new();
    let sent = [1, 2, 3, 2, 3, 4, 1, 5].map(|seq| record("n1", seq));
    let mut source = Memory::of_records(0, sent);
    let first = run(&mut source, &mut folder.lake().await, 3).await;
    assert_eq!((first.events, first.resent), (5, 3));
    source.partitions.entry(0).or_default().extend([5, 4, 6].map(|seq| Bytes::from(record("n1", seq).encode())));
    let mut source = Memory::new(source.partitions);
    let second = run(&mut source, &mut folder.lake().await, 3).await;
    assert_eq!((second.events, second.resent), (1, 2));
    assert_eq!(folder.seqs().await, numbers(1..7));
}

#[tokio::test]
async fn nodes_do_not_hide_each_other() {
    let folder = Folder::new();
    let mut source = Memory::of_records(0, [record("a", 5), record("bb", 1), record("a", 6), record("bb", 2)]);
    assert_eq!(run(&mut source, &mut folder.lake().await, 100).await.events, 4);
}

#[tokio::test]
async fn bad_records_are_dead_letters_and_the_rest_goes_on() {
    let folder = Folder::new();
    let mut wrong_schema = record("n1", 9);
    wrong_schema.schema = 99;
    let payloads = vec![
        Bytes::from(record("n1", 1).encode()),
        Bytes::from_static(b"{ not json"),
        Bytes::from(vec![b'x'; 1_200_000]),
        Bytes::from(wrong_schema.encode()),
        Bytes::from(record("n1", 2).encode()),
    ];
    let mut source = Memory::new(BTreeMap::from([(0, payloads)]));
    let summary = run(&mut source, &mut folder.lake().await, 100).await;
    assert_eq!((summary.events, summary.rejected), (2, 3));
    assert_eq!(source.letters.iter().map(|letter| letter.offset).collect::<Vec<_>>(), [1, 2, 3]);
    let reasons: Vec<_> = source.letters.iter().filter_map(|letter| letter.reason.split(':').next()).collect();
    assert_eq!(reasons, ["not_json", "oversized", "unsupported_schema"]);
    assert!(source.letters.iter().all(|letter| letter.payload.len() <= 512 * 1024));
}

/// Another worker takes the partition while this one holds a batch: refused, thrown away, read again from the table's position.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_overtaken_is_refused_and_nothing_is_twice() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let mut rival = folder.lake().await;
    let mut source = Memory::of_records(0, (1..21).map(|seq| record("n1", seq)));
    let metrics = WorkerMetrics::default();
    let overtaken = std::sync::atomic::AtomicBool::new(false);
    let handle = tokio::runtime::Handle::current();
    let rival = std::sync::Mutex::new(&mut rival);
    // The first record that is enriched gives the rival its moment: this worker has read its position, and holds rows.
    let enrich = |_: &RawAccess| {
        if !overtaken.swap(true, std::sync::atomic::Ordering::SeqCst) {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut lake = rival.lock().expect("no panic");
                    handle.block_on(commit_first_eight(&mut lake));
                });
            });
        }
        Arc::new(Enriched::default())
    };
    let shutdown = CancellationToken::new();
    let summary = run_worker(config(100), &mut source, &mut lake, &enrich, &metrics, shutdown).await;
    let summary = summary.expect("the worker ends by itself");
    assert_eq!((summary.events, summary.commits_refused), (12, 1));
    assert_eq!(metrics.commits_refused.get(), 1);
    assert_eq!(folder.seqs().await, numbers(1..21));
    assert_eq!(folder.parquet_files(), 2, "the refused batch left no file");
}

async fn commit_first_eight(lake: &mut Lake) {
    let events: Vec<_> = (1..9).map(|seq| event("n1", seq)).collect();
    let files = lake.write_files(&encoded(&events)).await.expect("files are written");
    let step = Step { base: None, next: 8, seqs: BTreeMap::from([("n1".to_owned(), 8)]) };
    let steps = BTreeMap::from([(0, step)]);
    let request = CommitRequest { topic: "memory", steps: &steps, files: &files, now: UnixMicros(DAY) };
    lake.commit(request).await.expect("the rival wins");
}

#[tokio::test]
async fn a_rebalance_throws_the_uncommitted_batch_away_and_reads_it_again() {
    let folder = Folder::new();
    let mut source = Memory::of_records(0, (1..31).map(|seq| record("n1", seq)));
    source.slab = 4;
    let records = |range: std::ops::Range<usize>, source: &Memory| {
        let record = |index: usize| whopulls_enrich::worker::source::SourceRecord {
            partition: 0,
            offset: offset(index),
            payload: Payload::Encoded(source.partitions[&0][index].clone()),
        };
        SourceEvent::Records(range.map(record).collect())
    };
    let script = [records(0..7, &source), SourceEvent::Revoked(vec![0]), SourceEvent::Assigned(vec![0])];
    source.script.extend(script);
    let summary = run(&mut source, &mut folder.lake().await, 10).await;
    assert_eq!((summary.events, summary.resent), (30, 0));
    assert_eq!(folder.seqs().await, numbers(1..31));
}

#[tokio::test]
async fn a_graceful_stop_commits_what_was_read() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let mut source = Memory::of_records(0, (1..6).map(|seq| record("n1", seq)));
    let shutdown = CancellationToken::new();
    let seen = std::sync::atomic::AtomicU32::new(0);
    let stop = shutdown.clone();
    let enrich = |_: &RawAccess| {
        if seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 4 {
            stop.cancel();
        }
        Arc::new(Enriched::default())
    };
    source.ends = false;
    let config = config(1000);
    let metrics = WorkerMetrics::default();
    let summary =
        run_worker(config, &mut source, &mut lake, &enrich, &metrics, shutdown).await.expect("a graceful stop");
    assert_eq!(summary.events, 5);
    assert_eq!(folder.seqs().await, numbers(1..6));
}

/// The table's folder is away for a while, as an object store that does not answer: nothing is lost and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_store_is_waited_for() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let mut source = Memory::of_records(0, (1..41).map(|seq| record("n1", seq)));
    let (table, aside) = (folder.location(), format!("{}.aside", folder.location()));
    let away = std::sync::Once::new();
    let enrich = |_: &RawAccess| {
        away.call_once(|| {
            std::fs::rename(&table, &aside).expect("the table goes away");
            std::fs::write(&table, b"not a folder").expect("a file in its place");
        });
        Arc::new(Enriched::default())
    };
    let metrics = WorkerMetrics::default();
    let retries = metrics.retries.clone();
    let comes_back = async {
        while retries.get() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::remove_file(&table).expect("the file goes");
        std::fs::rename(&aside, &table).expect("the table comes back");
    };
    let config = config(15);
    let worker = run_worker(config, &mut source, &mut lake, &enrich, &metrics, CancellationToken::new());
    let (summary, ()) = tokio::join!(worker, comes_back);
    assert_eq!(summary.expect("the worker ends by itself").events, 40);
    assert_eq!(folder.seqs().await, numbers(1..41));
}

#[tokio::test]
async fn a_stop_during_an_outage_gives_up_and_the_next_start_reads_again() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let mut source = Memory::of_records(0, (1..11).map(|seq| record("n1", seq)));
    let (table, aside) = (folder.location(), format!("{}.aside", folder.location()));
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let away = std::sync::Once::new();
    let enrich = |_: &RawAccess| {
        away.call_once(|| {
            std::fs::rename(&table, &aside).expect("the table goes away");
            std::fs::write(&table, b"not a folder").expect("a file in its place");
            stop.cancel();
        });
        Arc::new(Enriched::default())
    };
    let mut config = config(5);
    config.shutdown_grace = Duration::from_millis(300);
    let metrics = WorkerMetrics::default();
    let summary = run_worker(config, &mut source, &mut lake, &enrich, &metrics, shutdown).await.expect("no error");
    assert!(summary.gave_up);
    assert_eq!(summary.events, 0);
    std::fs::remove_file(&table).expect("the file goes");
    std::fs::rename(&aside, &table).expect("the table comes back");
    let mut again = Memory::new(source.partitions);
    assert_eq!(run(&mut again, &mut folder.lake().await, 5).await.events, 10);
    assert_eq!(folder.seqs().await, numbers(1..11));
}
