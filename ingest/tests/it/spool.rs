//! The spool's promises one by one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use whopulls_ingest::spool::{AppendError, RECORD_BYTES_MAX, Recovery, Spool, SpoolError, SpoolOptions, WhenFull};

fn options(dir: &tempfile::TempDir) -> SpoolOptions {
    SpoolOptions { segment_bytes: 1 << 12, ..SpoolOptions::new(dir.path().join("spool")) }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(options: &SpoolOptions) -> Spool {
    try_open(options).expect("the spool opens").0
}

/// Another test of this process may be starting a program, which holds every lock of the process until it runs.
fn try_open(options: &SpoolOptions) -> Result<(Spool, Recovery), SpoolError> {
    let mut opened = Spool::open(options.clone());
    for _ in 0..1_000 {
        if !matches!(opened, Err(SpoolError::Locked { .. })) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        opened = Spool::open(options.clone());
    }
    opened
}

fn payload(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn append(spool: &Spool, size: usize, count: usize) -> Result<u64, AppendError> {
    spool.append_batch_blocking(&vec![Bytes::from(vec![b'x'; size]); count])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_of_many_tasks_are_each_there_once() {
    let dir = temporary();
    let spool = open(&options(&dir));
    let mut reader = spool.reader("all").expect("the reader opens");
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for i in 0..200 {
                    seqs.push(spool.append(payload(format!("{task}/{i}"))).await.expect("the append is written"));
                }
                seqs
            })
        })
        .collect();
    let mut expected = std::collections::BTreeMap::new();
    for (task, handle) in tasks.into_iter().enumerate() {
        let seqs = handle.await.expect("the task ends");
        assert!(seqs.is_sorted());
        expected.extend(seqs.into_iter().enumerate().map(|(i, seq)| (seq, payload(format!("{task}/{i}")))));
    }
    let found = reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
    assert_eq!(found.len(), 3200);
    assert!(found.into_iter().map(|r| (r.seq, r.payload)).eq(expected));
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_an_append() {
    let dir = temporary();
    let spool = open(&options(&dir));
    let mut reader = spool.reader("waiting").expect("the reader opens");
    assert!(reader.read(10, 1000).expect("nothing is damaged").is_empty());
    let waiting = tokio::spawn(async move {
        assert!(reader.wait_for_more().await);
        reader.read(10, 1000).expect("nothing is damaged")
    });
    spool.append(payload("news")).await.expect("the append is written");
    let records =
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time").expect("the task ends");
    assert_eq!(records.len(), 1);
}

#[test]
fn the_second_opener_learns_who_has_the_spool() {
    let dir = temporary();
    let _first = open(&options(&dir));
    match Spool::open(options(&dir)) {
        Err(SpoolError::Locked { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
        other => panic!("opened twice: {other:?}"),
    }
}

#[test]
fn the_identity_outlives_the_process_and_a_damaged_one_is_refused() {
    let dir = temporary();
    let node = open(&options(&dir)).node().to_owned();
    assert_eq!(open(&options(&dir)).node(), node);
    fs::write(dir.path().join("spool/node"), "nobody").expect("the file is changed");
    assert!(matches!(try_open(&options(&dir)), Err(SpoolError::Node { .. })));
}

#[test]
fn a_damaged_cursor_is_refused_and_says_what_to_do() {
    let dir = temporary();
    drop(open(&options(&dir)).reader("kafka").expect("the reader opens"));
    let path = dir.path().join("spool/cursors/kafka");
    fs::write(&path, "next 99999999999 crc32c 00000000\n").expect("the file is changed");
    let error = try_open(&options(&dir)).expect_err("the cursor is damaged");
    assert!(error.to_string().contains("delete it"), "{error}");
}

#[test]
fn an_oversized_record_is_refused_alone() {
    let dir = temporary();
    let spool = open(&options(&dir));
    assert!(matches!(append(&spool, RECORD_BYTES_MAX + 1, 1), Err(AppendError::TooLarge { .. })));
    append(&spool, RECORD_BYTES_MAX, 3).expect("the largest records are written");
    let mut reader = spool.reader("all").expect("the reader opens");
    assert_eq!(reader.read(10, usize::MAX).expect("nothing is damaged").len(), 3);
}

#[test]
fn a_reader_has_one_owner() {
    let dir = temporary();
    let spool = open(&options(&dir));
    let first = spool.reader("kafka").expect("the reader opens");
    assert!(matches!(spool.reader("kafka"), Err(SpoolError::ReaderInUse { .. })));
    drop(first);
    spool.reader("kafka").expect("the reader opens again");
    assert!(matches!(spool.reader("../node"), Err(SpoolError::ReaderName { .. })));
}

#[test]
fn a_full_spool_stops_recording_until_a_reader_frees_it() {
    let dir = temporary();
    let spool = open(&SpoolOptions { max_bytes: 16 << 10, ..options(&dir) });
    let mut reader = spool.reader("kafka").expect("the reader opens");
    let mut written = 0;
    let error = loop {
        match append(&spool, 1000, 1) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert_eq!((written, spool.stats().lost_records), (15, 0));
    let records = reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
    assert_eq!(records.len(), written);
    reader.commit(reader.next_seq()).expect("the position is written");
    append(&spool, 1000, 1).expect("there is room again");
}

#[test]
fn a_full_spool_drops_the_oldest_when_told_to_and_counts_it() {
    let dir = temporary();
    let spool = open(&SpoolOptions { max_bytes: 16 << 10, when_full: WhenFull::DropOldest, ..options(&dir) });
    let mut reader = spool.reader("kafka").expect("the reader opens");
    for _ in 0..40 {
        append(&spool, 1000, 1).expect("the append is written");
    }
    let left = reader.read(usize::MAX, usize::MAX).expect("nothing is damaged").len() as u64;
    assert!(left < 40);
    assert_eq!(spool.stats().lost_records + left, 40);
    assert!(spool.stats().bytes <= 16 << 10);
}

#[test]
fn everything_written_is_synced_within_the_interval() {
    let dir = temporary();
    let spool = open(&SpoolOptions { fsync_every: Duration::from_millis(5), ..options(&dir) });
    let last = append(&spool, 100, 3).expect("the append is written");
    let deadline = std::time::Duration::from_secs(10);
    wait_until(deadline, || spool.synced_through() == last + 1);
    let spool_synced_at_once = {
        drop(spool);
        open(&SpoolOptions { fsync_every: Duration::ZERO, ..options(&dir) })
    };
    let last = append(&spool_synced_at_once, 100, 3).expect("the append is written");
    assert_eq!(spool_synced_at_once.synced_through(), last + 1);
}

#[test]
fn opening_does_not_read_sealed_segments() {
    let dir = temporary();
    let spool = open(&SpoolOptions { fsync_every: Duration::ZERO, ..options(&dir) });
    append(&spool, 1000, 1).expect("the append is written");
    for _ in 0..20 {
        append(&spool, 1000, 1).expect("the append is written");
    }
    drop(spool);
    let mut paths = segment_paths(&dir.path().join("spool"));
    assert!(paths.len() > 3);
    let sealed = paths.remove(1);
    let mut bytes = fs::read(&sealed).expect("the segment is there");
    bytes[60] ^= 1;
    fs::write(&sealed, bytes).expect("the segment is changed");
    let spool = open(&options(&dir));
    let mut reader = spool.reader("all").expect("the reader opens");
    assert!(reader.read(usize::MAX, usize::MAX).is_ok_and(|before| !before.is_empty()));
    let error = reader.read(1, usize::MAX).expect_err("the damage is noticed");
    assert!(error.to_string().contains(&sealed.display().to_string()), "{error}");
}

#[test]
fn a_sealed_segment_cut_between_frames_is_damage() {
    let dir = temporary();
    let spool = open(&options(&dir));
    for _ in 0..8 {
        append(&spool, 1000, 1).expect("the append is written");
    }
    let sealed = segment_paths(&dir.path().join("spool")).remove(0);
    drop(spool);
    // The header and one whole frame are left.
    let file = fs::OpenOptions::new().write(true).open(&sealed).expect("the segment opens");
    file.set_len(36 + 24 + 4 + 1000).expect("the segment is cut");
    let spool = open(&options(&dir));
    let mut reader = spool.reader("all").expect("the reader opens");
    assert_eq!(reader.read(usize::MAX, usize::MAX).expect("the first frame is whole").len(), 1);
    reader.read(1, usize::MAX).expect_err("the cut is noticed");
}

/// What a process that is killed leaves behind, before the next sync: three segments of 20 records in all.
fn killed() -> (tempfile::TempDir, SpoolOptions, Vec<std::path::PathBuf>) {
    let dir = temporary();
    let spool = open(&SpoolOptions { fsync_every: Duration::from_hours(1), ..options(&dir) });
    for _ in 0..20 {
        append(&spool, 1000, 1).expect("the append is written");
    }
    let left = temporary();
    let copied = SpoolOptions { fsync_every: Duration::from_hours(1), ..options(&left) };
    fs::create_dir_all(copied.dir.join("segments")).expect("the directory is made");
    for path in segment_paths(&dir.path().join("spool")) {
        fs::copy(&path, copied.dir.join("segments").join(path.file_name().expect("a file")))
            .expect("the segment is copied");
    }
    fs::copy(dir.path().join("spool/node"), copied.dir.join("node")).expect("the identity is copied");
    let paths = segment_paths(&copied.dir);
    (left, copied, paths)
}

#[test]
fn segments_that_were_not_synced_are_whole_after_a_kill() {
    let (_dir, options, paths) = killed();
    assert!(paths.len() > 1, "{paths:?}");
    for opening in 0..2 {
        let (spool, recovery) = try_open(&options).expect("the spool opens");
        assert_eq!(recovery.torn_bytes, 0, "{opening}");
        let mut reader = spool.reader("all").expect("the reader opens");
        assert_eq!(reader.read(usize::MAX, usize::MAX).expect("all is whole").len(), 20);
    }
}

#[test]
fn what_a_power_cut_took_from_a_segment_that_was_not_synced_takes_what_came_later() {
    for cut in [1, 500, 1028] {
        let (_dir, options, paths) = killed();
        let [.., before, last] = paths.as_slice() else { panic!("{paths:?}") };
        let last_bytes = fs::metadata(last).expect("the segment is there").len();
        let bytes = fs::metadata(before).expect("the segment is there").len();
        fs::OpenOptions::new().write(true).open(before).and_then(|file| file.set_len(bytes - cut)).expect("it is cut");
        let last_records = usize::try_from((last_bytes - 36) / 1028).expect("few");
        for opening in 0..2 {
            let (spool, recovery) = try_open(&options).expect("the spool opens");
            let torn = last_bytes + (1028 - cut);
            assert_eq!(recovery.torn_bytes, if opening == 0 { torn } else { 0 }, "{cut}");
            let mut reader = spool.reader("all").expect("the reader opens");
            let read = reader.read(usize::MAX, usize::MAX).expect("what is left is whole");
            assert_eq!(read.len(), 20 - last_records - 1, "{cut}");
            assert!(reader.read(1, usize::MAX).expect("that was all").is_empty());
        }
    }
}

#[test]
fn empty_openings_leave_one_segment() {
    let dir = temporary();
    for _ in 0..5 {
        drop(open(&options(&dir)));
    }
    assert_eq!(segment_paths(&dir.path().join("spool")).len(), 1);
}

fn segment_paths(spool: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(spool.join("segments")).expect("the directory is there");
    let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn wait_until(bound: Duration, mut condition: impl FnMut() -> bool) {
    let turns = bound.as_millis();
    for _ in 0..turns {
        if condition() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("not within {bound:?}");
}
