//! The table: the conditional commit, two writers, and what a reader sees.

use std::collections::BTreeMap;

use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use whopulls_enrich::lake::{CommitError, CommitRequest, DataFile, Lake, Step};
use whopulls_enrich::worker::source::{Offset, Partition};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::{column, event_schema};

use crate::support::{DAY, Folder, encoded, event};

fn step(base: Option<Offset>, next: Offset, seqs: &[(&str, u64)]) -> Step {
    Step { base, next, seqs: seqs.iter().map(|&(node, seq)| (node.to_owned(), seq)).collect() }
}

async fn write(lake: &Lake, node: &str, seqs: std::ops::Range<u64>) -> Vec<DataFile> {
    let events: Vec<_> = seqs.map(|seq| event(node, seq)).collect();
    lake.write_files(&encoded(&events)).await.expect("files are written")
}

async fn commit(lake: &mut Lake, partition: Partition, step: Step, files: &[DataFile]) -> Result<u64, CommitError> {
    let steps = BTreeMap::from([(partition, step)]);
    let request = CommitRequest { topic: "access.raw", steps: &steps, files, now: UnixMicros(DAY) };
    lake.commit(request).await.map(|committed| committed.version)
}

#[tokio::test]
async fn an_empty_folder_becomes_a_table_that_opens_again() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    assert_eq!(lake.positions("access.raw", &[0]).await.expect("positions"), BTreeMap::from([(0, None)]));
    let mut again = folder.lake().await;
    assert_eq!(again.version(), 0);
    assert_eq!(again.last_seq("access.raw", 0, "n").await.expect("a seq"), None);
    assert!(again.positions("access.raw", &[]).await.expect("positions").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_an_empty_folder_at_once_make_one_table() {
    let folder = std::sync::Arc::new(Folder::new());
    let opening = (0..8).map(|_| {
        let folder = std::sync::Arc::clone(&folder);
        tokio::spawn(async move { folder.lake().await.version() })
    });
    for opened in opening.collect::<Vec<_>>() {
        assert_eq!(opened.await.expect("no panic"), 0);
    }
    assert_eq!(folder.table().await.version(), Some(0), "the table was created once");
}

#[tokio::test]
async fn rows_and_positions_arrive_in_one_commit() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let files = write(&lake, "n1", 1..11).await;
    commit(&mut lake, 0, step(None, 10, &[("n1", 10)]), &files).await.expect("the first commit");
    let mut other = folder.lake().await;
    assert_eq!(
        other.positions("access.raw", &[0, 1]).await.expect("positions"),
        BTreeMap::from([(0, Some(10)), (1, None)])
    );
    assert_eq!(other.last_seq("access.raw", 0, "n1").await.expect("a seq"), Some(10));
    assert_eq!(other.last_seq("access.raw", 1, "n1").await.expect("a seq"), None);
    assert_eq!(folder.seqs().await, (1..11).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_batch_that_starts_where_the_table_is_not_is_stale() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let files = write(&lake, "n1", 1..11).await;
    commit(&mut lake, 0, step(None, 10, &[("n1", 10)]), &files).await.expect("the first commit");
    for base in [None, Some(5), Some(11)] {
        let files = write(&lake, "n1", 11..13).await;
        let refused = commit(&mut lake, 0, step(base, 12, &[("n1", 12)]), &files).await;
        assert!(matches!(refused, Err(CommitError::Stale(_))), "{base:?}: {refused:?}");
        lake.delete_orphans(&files).await.expect("orphans go");
    }
    assert_eq!(folder.seqs().await, (1..11).collect::<Vec<i64>>());
    assert_eq!(folder.parquet_files(), 1);
}

#[tokio::test]
async fn an_old_handle_cannot_commit_what_another_committed_since() {
    let folder = Folder::new();
    let (mut first, mut second) = (folder.lake().await, folder.lake().await);
    first.positions("access.raw", &[0]).await.expect("positions");
    second.positions("access.raw", &[0]).await.expect("positions");
    let files = write(&first, "n1", 1..3).await;
    commit(&mut first, 0, step(None, 2, &[("n1", 2)]), &files).await.expect("the first wins");
    let late = write(&second, "n1", 1..3).await;
    let refused = commit(&mut second, 0, step(None, 2, &[("n1", 2)]), &late).await;
    assert!(matches!(&refused, Err(CommitError::Stale(stale)) if stale.found == Some(2)), "{refused:?}");
    assert_eq!(folder.seqs().await, [1, 2]);
}

#[tokio::test]
async fn the_same_batch_again_is_answered_as_committed_and_adds_nothing() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let files = write(&lake, "n1", 1..3).await;
    let version = commit(&mut lake, 0, step(None, 2, &[("n1", 2)]), &files).await.expect("the first time");
    // As after an answer that was lost: the caller cannot know and asks again.
    let again = commit(&mut lake, 0, step(None, 2, &[("n1", 2)]), &files).await.expect("the second time");
    assert_eq!((again, folder.seqs().await), (version, vec![1, 2]));
}

#[tokio::test]
async fn files_without_a_commit_are_seen_by_nobody() {
    let folder = Folder::new();
    let lake = folder.lake().await;
    write(&lake, "n1", 1..100).await;
    drop(lake);
    assert_eq!(folder.parquet_files(), 1);
    assert!(folder.ids().await.is_empty());
    assert_eq!(
        folder.lake().await.positions("access.raw", &[0]).await.expect("positions"),
        BTreeMap::from([(0, None)])
    );
}

/// Many writers on one partition: every round one of them wins, and the rows are those of the winners.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_of_one_partition_add_each_row_once() {
    let folder = std::sync::Arc::new(Folder::new());
    folder.lake().await;
    let racers = (0..4).map(|_| {
        let folder = std::sync::Arc::clone(&folder);
        tokio::spawn(async move {
            let mut lake = folder.lake().await;
            let (mut won, mut refused) = (0_u32, 0_u32);
            loop {
                let at = lake.positions("access.raw", &[0]).await.expect("positions")[&0];
                let from = at.unwrap_or(0);
                if from >= 60 {
                    return (won, refused);
                }
                let first = u64::try_from(from).expect("a position") + 1;
                let files = write(&lake, "n1", first..first + 3).await;
                match commit(&mut lake, 0, step(at, from + 3, &[("n1", first + 2)]), &files).await {
                    Ok(_) => won += 1,
                    Err(CommitError::Stale(_)) => {
                        refused += 1;
                        lake.delete_orphans(&files).await.expect("orphans go");
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        })
    });
    let mut won_in_all = 0;
    for racer in racers.collect::<Vec<_>>() {
        won_in_all += racer.await.expect("no panic").0;
    }
    assert_eq!(won_in_all, 20);
    assert_eq!(folder.seqs().await, (1..61).collect::<Vec<i64>>());
    assert_eq!(folder.parquet_files(), 20);
}

/// Writers of different partitions do not refuse each other: deltalake's own retry moves them to the next version.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_different_partitions_all_get_through() {
    let folder = std::sync::Arc::new(Folder::new());
    folder.lake().await;
    let writers = (0..4_i32).map(|partition| {
        let folder = std::sync::Arc::clone(&folder);
        tokio::spawn(async move {
            let mut lake = folder.lake().await;
            let node = "n".repeat(usize::try_from(partition).expect("a small number") + 1);
            let mut base = None;
            for round in 0..15_i64 {
                let first = u64::try_from(round).expect("a small number") * 2 + 1;
                let files = write(&lake, &node, first..first + 2).await;
                let next = (round + 1) * 2;
                commit(&mut lake, partition, step(base, next, &[(&node, first + 1)]), &files)
                    .await
                    .expect("gets through");
                base = Some(next);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let ids = folder.ids().await;
    assert_eq!(ids.len(), 4 * 30);
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "no row twice");
}

/// The checkpoint is written in between, and both positions and rows survive it.
#[tokio::test]
async fn positions_survive_a_checkpoint_of_the_log() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let mut base = None;
    for next in 1..=55_i64 {
        let seq = u64::try_from(next).expect("a position");
        let files = write(&lake, "n1", seq..seq + 1).await;
        commit(&mut lake, 0, step(base, next, &[("n1", seq)]), &files).await.expect("a commit");
        base = Some(next);
    }
    let log = std::fs::read_dir(std::path::Path::new(&folder.location()).join("_delta_log")).expect("the log");
    let names: Vec<_> = log.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.ends_with(".checkpoint.parquet")), "{names:?}");
    let mut again = folder.lake().await;
    assert_eq!(again.positions("access.raw", &[0]).await.expect("positions"), BTreeMap::from([(0, Some(55))]));
    assert_eq!(again.last_seq("access.raw", 0, "n1").await.expect("a seq"), Some(55));
    assert_eq!(folder.seqs().await, (1..56).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_file_is_sorted_and_its_partition_column_is_in_the_log_only() {
    let folder = Folder::new();
    let mut lake = folder.lake().await;
    let files = write(&lake, "n1", 1..50).await;
    assert!(files[0].path.starts_with("date=2026-11-24/part-"), "{}", files[0].path);
    commit(&mut lake, 0, step(None, 49, &[]), &files).await.expect("a commit");
    let batches = folder.batches().await;
    let packages = batches[0].column_by_name("package").expect("package");
    let packages = packages.as_any().downcast_ref::<arrow::array::StringArray>().expect("text");
    let packages: Vec<_> = packages.iter().collect();
    assert!(packages.is_sorted());
    assert!(batches[0].column_by_name("date").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_before_a_column_gets_it_once() {
    let folder = std::sync::Arc::new(Folder::new());
    let new = [column::CHILDREN, column::RANGE_START];
    let kept = |field: &&arrow::datatypes::FieldRef| !new.contains(&field.name().as_str());
    let fields: Vec<_> = event_schema().fields().iter().filter(kept).cloned().collect();
    let schema: StructType = (&arrow::datatypes::Schema::new(fields)).try_into_kernel().expect("a schema");
    std::fs::create_dir_all(folder.location()).expect("a folder");
    let url = url::Url::from_directory_path(folder.location()).expect("an absolute path");
    let table = deltalake::DeltaTableBuilder::from_url(url).expect("a URL").build().expect("a table");
    let create = table.create().with_columns(schema.fields().cloned()).with_partition_columns([column::DATE]);
    assert_eq!(create.await.expect("the table is created").version(), Some(0));
    let opening = (0..4).map(|_| {
        let folder = std::sync::Arc::clone(&folder);
        tokio::spawn(async move { folder.lake().await.version() })
    });
    for opened in opening.collect::<Vec<_>>() {
        assert_eq!(opened.await.expect("no panic"), 1);
    }
    let mut lake = folder.lake().await;
    let files = write(&lake, "n1", 1..11).await;
    commit(&mut lake, 0, step(None, 10, &[("n1", 10)]), &files).await.expect("a commit");
    assert_eq!(folder.seqs().await.len(), 10);
    let columns = folder.table().await.snapshot().expect("a snapshot").snapshot().arrow_schema();
    assert!(new.iter().all(|name| columns.field_with_name(name).is_ok()), "{columns:?}");
}
