//! Changing the past of a table that others write to.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use whopulls_enrich::event::{Enriched, Event};
use whopulls_enrich::geo::Database;
use whopulls_enrich::lake::change::{ColumnError, RowChange};
use whopulls_enrich::lake::{CommitRequest, DayChange, FORGET_COLUMNS, Forgotten, Lake, Rules};
use whopulls_enrich::overrides::{Overrides, READ_COLUMNS, Reenricher, Scope};
use whopulls_schemas::UnixMicros;

use crate::support::{DAY, Folder, encoded, event};

const DATE: &str = "2026-11-24";

static DATABASE: LazyLock<Database> = LazyLock::new(|| Database::open(&[]).expect("the embedded database"));

async fn add(lake: &mut Lake, events: &[Event]) {
    let files = lake.write_files(&encoded(events)).await.expect("files are written");
    let steps = BTreeMap::new();
    let request = CommitRequest { topic: "access.raw", steps: &steps, files: &files, now: UnixMicros(DAY) };
    lake.commit(request).await.expect("a commit");
}

/// Rows of one client: of the network 8.8.8.0/24, with what an older database said of it.
fn old_event(seq: u64) -> Event {
    let enriched = Enriched {
        endpoint_id: Some(7),
        client_net: Some("8.8.8.0/24".to_owned()),
        ip_version: Some(4),
        asn: Some(64_500),
        as_name: Some("Old Name".to_owned()),
        network_kind: Some("unknown".to_owned()),
        enriched_with: Some("old".to_owned()),
        ..Enriched::default()
    };
    Event { enriched: Arc::new(enriched), ..event("n1", seq) }
}

async fn rewrite(
    lake: &mut Lake,
    decide: &mut dyn FnMut(&RecordBatch) -> Result<Vec<RowChange>, ColumnError>,
) -> DayChange {
    let columns: Vec<&'static str> = READ_COLUMNS.into_iter().chain(FORGET_COLUMNS).collect();
    let mut rules = Rules { columns: &columns, decide, on_file: &mut |_| {} };
    lake.rewrite_day(DATE, &mut rules, UnixMicros(DAY)).await.expect("a rewrite")
}

async fn reenrich(lake: &mut Lake, overrides: &str, scope: Scope) -> DayChange {
    let overrides = Overrides::parse("overrides.toml", overrides).expect("right");
    let mut judge = Reenricher::new(DATABASE.snapshot(), Arc::new(overrides), scope);
    rewrite(lake, &mut |batch| judge.decide(batch)).await
}

fn forget(batch: &RecordBatch) -> Result<Vec<RowChange>, ColumnError> {
    Forgotten::Endpoint(7).decide(batch, &RowChange::Anonymize)
}

async fn values(folder: &Folder, name: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for batch in folder.batches().await {
        let column =
            arrow::compute::cast(batch.column_by_name(name).expect("a column"), &arrow::datatypes::DataType::Utf8);
        values.extend(column.expect("text").as_string::<i32>().iter().map(|value| value.map(str::to_owned)));
    }
    values
}

#[tokio::test]
async fn only_files_in_which_a_row_changes_are_written_anew_and_the_rest_of_a_row_stays() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    add(&mut lake, &(1..4).map(old_event).collect::<Vec<_>>()).await;
    add(&mut lake, &(4..9).map(|seq| event("n1", seq)).collect::<Vec<_>>()).await;
    let change = rewrite(&mut lake, &mut forget).await;
    assert_eq!((change.tally.total().events, change.tally.rows_read, change.files_removed.len()), (3, 8, 1));
    assert_eq!(folder.seqs().await, (1..9).collect::<Vec<i64>>());
    for column in ["endpoint_id", "client_net", "asn", "network_kind"] {
        assert!(values(&folder, column).await.iter().all(Option::is_none), "{column}");
    }
    assert!(values(&folder, "package").await.iter().all(Option::is_some));
    let again = rewrite(&mut lake, &mut forget).await;
    assert_eq!((again.version, again.tally.total().events), (None, 0), "what is done is not done again");
}

#[tokio::test]
async fn rows_that_a_worker_adds_meanwhile_stay_and_two_rewriters_do_each_row_once() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    add(&mut lake, &(1..4).map(old_event).collect::<Vec<_>>()).await;
    let stale = lake.live_days().await.expect("days").remove(DATE).expect("the day");
    add(&mut folder.lake().await, &(4..6).map(|seq| event("n1", seq)).collect::<Vec<_>>()).await;
    // Another rewriter is faster: what this one read is gone, and what it would add must not come beside it.
    rewrite(&mut folder.lake().await, &mut forget).await;
    let files = lake.write_files(&encoded(&[old_event(1), old_event(2), old_event(3)])).await.expect("files");
    let replaced = lake.replace(&stale, &files, UnixMicros(DAY)).await.expect("an answer");
    assert_eq!((replaced, folder.seqs().await), (None, (1..6).collect::<Vec<i64>>()));
    // A worker's rows come between reading and committing.
    let read = lake.live_days().await.expect("days").remove(DATE).expect("the day");
    let files =
        lake.write_files(&encoded(&(1..6).map(|seq| event("n1", seq)).collect::<Vec<_>>())).await.expect("files");
    add(&mut folder.lake().await, &(6..8).map(|seq| event("n1", seq)).collect::<Vec<_>>()).await;
    let version = lake.replace(&read, &files, UnixMicros(DAY)).await.expect("a commit");
    assert!(version.is_some());
    assert_eq!(folder.seqs().await, (1..8).collect::<Vec<i64>>());
    // Its answer is lost and it is asked for again.
    assert_eq!(lake.replace(&read, &files, UnixMicros(DAY)).await.expect("an answer"), version);
}

/// Eight workers add while a rewriter goes over the day again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_and_a_rewriter_do_not_lose_each_others_rows() {
    let folder = Arc::new(Folder::new());
    folder.lake().await;
    let workers = (0..4_u64).map(|worker| {
        let folder = Arc::clone(&folder);
        tokio::spawn(async move {
            let mut lake = folder.lake().await;
            for round in 0..10 {
                add(&mut lake, &[old_event(worker * 10 + round + 1)]).await;
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut lake = folder.lake().await;
    while !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        rewrite(&mut lake, &mut forget).await;
    }
    for worker in workers {
        worker.await.expect("no panic");
    }
    rewrite(&mut lake, &mut forget).await;
    assert_eq!(folder.seqs().await, (1..41).collect::<Vec<i64>>());
    assert!(values(&folder, "endpoint_id").await.iter().all(Option::is_none));
}

#[tokio::test]
async fn an_updated_database_changes_the_past_only_when_it_is_asked_to() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    add(&mut lake, &[old_event(1)]).await;
    assert_eq!(reenrich(&mut lake, "", Scope::Overridden).await.version, None);
    reenrich(&mut lake, "", Scope::All).await;
    assert_eq!(values(&folder, "asn").await, [Some("15169".to_owned())]);
    assert_ne!(values(&folder, "as_name").await, [Some("Old Name".to_owned())]);
    assert_ne!(values(&folder, "enriched_with").await, [Some("old".to_owned())]);
    assert_eq!(reenrich(&mut lake, "", Scope::All).await.version, None);
}

#[tokio::test]
async fn a_system_of_the_past_stays_the_one_that_announced_the_network_then() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    add(&mut lake, &[old_event(1)]).await;
    let acme = "[[organization]]\nid = 'acme.example'\nname = 'Acme'\nkind = 'business'\n";
    let change =
        reenrich(&mut lake, &format!("{acme}[[network]]\nasn = 15169\nkind = 'vpn'\n"), Scope::Overridden).await;
    assert_eq!(change.version, None, "it was not AS15169 then");
    let by_system = format!("{acme}[[network]]\nasn = 64500\norganization = 'acme.example'\n");
    reenrich(&mut lake, &by_system, Scope::Overridden).await;
    assert_eq!(values(&folder, "org_id").await, [Some("acme.example".to_owned())]);
    assert_eq!(values(&folder, "as_name").await, [Some("Old Name".to_owned())]);
    reenrich(&mut lake, "", Scope::Overridden).await;
    assert_eq!((values(&folder, "org_id").await, values(&folder, "org_evidence").await.len()), (vec![None], 1));
}

#[tokio::test]
async fn a_file_of_more_rows_than_a_chunk_becomes_sorted_files_and_loses_none() {
    const ROWS: u64 = 270_000;
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    add(&mut lake, &(1..=ROWS).map(old_event).collect::<Vec<_>>()).await;
    rewrite(&mut lake, &mut forget).await;
    assert_eq!(folder.seqs().await.len() as u64, ROWS);
    let files = lake.live_days().await.expect("days").remove(DATE).expect("the day");
    assert!(files.len() > 1, "{files:?}");
    let (mut before, mut unsorted) = (None, 0);
    for batch in folder.batches().await {
        let packages = batch.column_by_name("package").expect("package").as_string::<i32>().clone();
        let moments = batch.column_by_name("ts").expect("ts").as_primitive::<TimestampMicrosecondType>().clone();
        for row in 0..batch.num_rows() {
            let key = (packages.value(row).to_owned(), moments.value(row));
            unsorted += u64::from(before.as_ref().is_some_and(|before| *before > key));
            before = Some(key);
        }
    }
    assert!(unsorted < files.len() as u64, "only where the next file begins: {unsorted}");
}

#[tokio::test]
async fn a_worker_goes_on_when_the_log_that_it_read_is_removed() {
    let folder = Folder::new();
    let (mut worker, mut other) = (folder.lake().await, folder.lake().await);
    add(&mut worker, &[old_event(1)]).await;
    for seq in 2..6 {
        add(&mut other, &[old_event(seq)]).await;
    }
    other.forget_log().await.expect("the log is removed");
    add(&mut worker, &[old_event(6)]).await;
    add(&mut other, &[old_event(7)]).await;
    rewrite(&mut worker, &mut forget).await;
    assert_eq!(folder.seqs().await, (1..8).collect::<Vec<i64>>());
    assert_eq!(worker.positions("access.raw", &[0]).await.expect("positions"), BTreeMap::from([(0, None)]));
}
