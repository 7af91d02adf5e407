//! The counting rule through the worker and the table: restarts anywhere change no answer, and history is counted by the same rule.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch, StringArray};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use whopulls_enrich::event::{Enriched, action};
use whopulls_enrich::fold::{Fold, Request};
use whopulls_enrich::io::clock;
use whopulls_enrich::lake::{CommitRequest, Lake, Step};
use whopulls_enrich::worker::{FlushLimits, WorkerConfig, WorkerMetrics, run_worker};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Child, Kind, RawAccess};

use crate::support::{DAY, Folder, Memory, encoded_of};

/// Sessions of three clients, with pauses around the window, over midnight.
fn stream() -> Vec<RawAccess> {
    let session = [
        ("HEAD", "manifests", "1.0"),
        ("GET", "manifests", "sha256:aa"),
        ("GET", "manifests", "sha256:bb"),
        ("GET", "blobs", "sha256:c0"),
        ("GET", "blobs", "sha256:1a"),
        ("GET", "manifests", "1.0"),
        ("GET", "blobs", "sha256:1a"),
    ];
    let pauses_s = [1, 3, 200, 1, 599, 2, 1, 601, 30, 1, 1, 420, 5];
    let mut now_s = -2000;
    (0..140_usize)
        .map(|number| {
            now_s += pauses_s[number % pauses_s.len()];
            let (method, what, reference) = session[(number * 5 + number / 7) % session.len()];
            let path = format!("/v2/acme/app/{what}/{reference}");
            let id = Uuid::from_u128(number as u128 + 1);
            let mut raw = RawAccess::new(id, UnixMicros(DAY + now_s * 1_000_000), Kind::Oci, method, &path, 200);
            (raw.node, raw.seq) = ("n1".to_owned(), number as u64 + 1);
            raw.client_ip = Some([198, 51, 100, u8::try_from(number % 3).expect("small")].into());
            raw.repository = Some("acme/app".to_owned());
            raw.reference = Some(reference.to_owned());
            if what == "manifests" && reference != "sha256:bb" {
                raw.digest = Some("sha256:aa".to_owned());
                let platform = Some("linux/amd64".to_owned());
                raw.children = vec![Child { digest: "sha256:bb".to_owned(), platform }];
            }
            raw
        })
        .collect()
}

fn enrich(raw: &RawAccess) -> Enriched {
    let last = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => i64::from(v4.octets()[3]),
        std::net::IpAddr::V6(_) => -1,
    };
    let endpoint_id = raw.client_ip.map(last);
    Enriched { endpoint_id, client: Some("docker".to_owned()), ..Enriched::default() }
}

/// Action, pull, platform and tag of each event.
type Answers = BTreeMap<String, [Option<String>; 4]>;

fn expected() -> Answers {
    let mut fold = Fold::default();
    let answer = |raw: &RawAccess| {
        let counted = fold.count(&Request::of(raw, &enrich(raw), action(raw)));
        let pull = counted.pull_id.map(|id| id.to_string());
        (raw.id.to_string(), [Some(counted.action.as_str().to_owned()), pull, counted.platform, counted.tag])
    };
    stream().iter().map(answer).collect()
}

async fn found(folder: &Folder) -> Answers {
    let mut answers = Answers::new();
    for batch in folder.batches().await {
        let text = |name: &str| texts(&batch, name);
        let (ids, actions, pulls) = (text("id"), text("action"), text("pull_id"));
        let (platforms, versions) = (text("platform"), text("version"));
        for row in 0..batch.num_rows() {
            let at = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let id = at(&ids).expect("an id");
            assert_eq!(answers.insert(id, [at(&actions), at(&pulls), at(&platforms), at(&versions)]), None);
        }
    }
    answers
}

fn texts(batch: &RecordBatch, name: &str) -> StringArray {
    let column = batch.column_by_name(name).expect("the column");
    column.as_any().downcast_ref::<StringArray>().expect("text").clone()
}

async fn run(lake: &mut Lake, records: usize, rows_max: usize) {
    let mut source = Memory::of_records(0, stream().into_iter().take(records));
    let flush = FlushLimits { rows_max, age_max: Duration::from_hours(1), ..FlushLimits::default() };
    let config = WorkerConfig { flush, ..WorkerConfig::default() };
    let metrics = WorkerMetrics::default();
    run_worker(config, &mut source, lake, &|raw: &RawAccess| Arc::new(enrich(raw)), &metrics, CancellationToken::new())
        .await
        .expect("it ends by itself");
}

#[tokio::test]
async fn a_worker_that_is_started_anew_at_any_record_counts_as_if_it_were_not() {
    let expected = expected();
    let actions: HashMap<&str, usize> = expected.values().fold(HashMap::new(), |mut counts, answer| {
        *counts.entry(answer[0].as_deref().unwrap_or_default()).or_default() += 1;
        counts
    });
    for action in ["pull", "pull_part", "retry", "blob", "version_check"] {
        assert!(actions.get(action).is_some_and(|count| *count > 3), "the stream has some of all: {actions:?}");
    }
    for step in [1, 7, 140] {
        let folder = Folder::new();
        let mut end = 0;
        while end < stream().len() {
            end = (end + step).min(stream().len());
            run(&mut folder.lake().await, end, 5).await;
        }
        assert_eq!(found(&folder).await, expected, "started anew every {step} records");
    }
}

#[tokio::test]
async fn history_is_counted_by_the_same_rule_and_a_second_time_changes_nothing() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    // As a program wrote it that looked at one request at a time, in files of any order.
    for (number, part) in stream().chunks(50).enumerate() {
        let files = lake.write_files(&encoded_of(part, enrich)).await.expect("files");
        let (base, next) = (number.checked_sub(1).map(offset), offset(number));
        let steps = [(0, Step { base, next, ..Step::default() })].into();
        let request = CommitRequest { topic: "access.raw", steps: &steps, files: &files, now: clock::now() };
        lake.commit(request).await.expect("a commit");
    }
    let before = found(&folder).await;
    assert_ne!(before, expected());
    let mut on_file = |_: &_| {};
    for date in ["2026-11-23", "2026-11-24"] {
        let recount = lake.recount(date).await.expect("counted");
        assert!(recount.changes.values().sum::<u64>() > 0, "{recount:?}");
        lake.apply_recount(date, &recount, &mut on_file, clock::now()).await.expect("written");
    }
    assert_eq!(found(&folder).await, expected());
    for date in ["2026-11-23", "2026-11-24"] {
        let again = lake.recount(date).await.expect("counted");
        assert_eq!(again.changes, BTreeMap::new(), "{date}");
    }
}

fn offset(number: usize) -> i64 {
    i64::try_from(number).expect("small") + 1
}
