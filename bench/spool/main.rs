//! The spool beside a plain file: `cargo bench -p whopulls-ingest --bench spool [-- DIR]`.
//!
//! Both write groups of 1,000 records of 400 bytes and call fdatasync after each, in turn (A B A B), five rounds after one to warm up.
//! Then: what 64 tasks that append one record at a time reach, and how long a spool of 50 GB takes to open.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use whopulls_ingest::spool::{Spool, SpoolOptions};

const RECORD_BYTES: usize = 400;
const GROUP_RECORDS: usize = 1000;
const GROUPS: usize = 400;
const ROUNDS: usize = 5;
const TASKS: usize = 64;
const APPENDS_OF_A_TASK: usize = 5000;
/// 3,052 segments of 16 MiB.
const LARGE_BYTES: u64 = 50 << 30;

fn main() {
    let chosen = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let parent = chosen.map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(parent).expect("a temporary directory");
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let plain = plain(&dir.path().join("plain"));
        let spool = spool(&dir.path().join("spool"));
        if round > 0 {
            println!(
                "round {round}: plain {plain:.0} records/s, spool {spool:.0} records/s, ratio {:.3}",
                spool / plain
            );
            ratios.push(spool / plain);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let (low, middle, high) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    println!("spool / plain: median {middle:.3}, from {low:.3} to {high:.3}");
    println!("{TASKS} tasks, one record each at a time: {:.0} records/s", tasks(&dir.path().join("tasks")));
    let opened = open_large(&dir.path().join("large"));
    println!(
        "open at {} GiB with a full last segment, median of five: {:.1} ms",
        LARGE_BYTES >> 30,
        opened.as_secs_f64() * 1000.0
    );
}

fn rate(records: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(records).expect("a small number")) / elapsed.as_secs_f64()
}

fn plain(path: &Path) -> f64 {
    let record = vec![b'x'; RECORD_BYTES];
    let mut file = File::create(path).expect("the file is made");
    let mut group = Vec::with_capacity(GROUP_RECORDS * RECORD_BYTES);
    let begun = Instant::now();
    for _ in 0..GROUPS {
        group.clear();
        for _ in 0..GROUP_RECORDS {
            group.extend_from_slice(&record);
        }
        file.write_all(&group).expect("the file is written");
        file.sync_data().expect("the file is synced");
    }
    let rate = rate(GROUPS * GROUP_RECORDS, begun.elapsed());
    fs::remove_file(path).expect("the file is removed");
    rate
}

fn spool(dir: &Path) -> f64 {
    let record = Bytes::from(vec![b'x'; RECORD_BYTES]);
    let options = SpoolOptions { fsync_every: Duration::ZERO, segment_bytes: 64 << 20, ..SpoolOptions::new(dir) };
    let (spool, _) = Spool::open(options).expect("the spool opens");
    let begun = Instant::now();
    for _ in 0..GROUPS {
        spool.append_batch_blocking(&vec![record.clone(); GROUP_RECORDS]).expect("the group is written");
    }
    let rate = rate(GROUPS * GROUP_RECORDS, begun.elapsed());
    drop(spool);
    fs::remove_dir_all(dir).expect("the spool is removed");
    rate
}

fn tasks(dir: &Path) -> f64 {
    let (spool, _) = Spool::open(SpoolOptions::new(dir)).expect("the spool opens");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let begun = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let spool = spool.clone();
                tokio::spawn(async move {
                    let record = Bytes::from(vec![b'x'; RECORD_BYTES]);
                    for _ in 0..APPENDS_OF_A_TASK {
                        spool.append(record.clone()).await.expect("the record is written");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("the task ends");
        }
    });
    rate(TASKS * APPENDS_OF_A_TASK, begun.elapsed())
}

/// Sealed segments are not read at open, so sparse files stand for them; the last one is real and full.
fn open_large(dir: &Path) -> Duration {
    let options = SpoolOptions { max_bytes: 2 * LARGE_BYTES, ..SpoolOptions::new(dir) };
    let (spool, _) = Spool::open(options.clone()).expect("the spool opens");
    let record = Bytes::from(vec![b'x'; RECORD_BYTES]);
    let full = usize::try_from(options.segment_bytes).expect("a small number") / (RECORD_BYTES + 4) - GROUP_RECORDS;
    for _ in 0..full / GROUP_RECORDS {
        spool.append_batch_blocking(&vec![record.clone(); GROUP_RECORDS]).expect("the group is written");
    }
    drop(spool);
    for index in 0..LARGE_BYTES / options.segment_bytes {
        let path = dir.join("segments").join(format!("{:020}.log", 1 + index * 40_000));
        File::create(path).and_then(|f| f.set_len(options.segment_bytes)).expect("a sparse segment");
    }
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| open_once(&options)).collect();
    times.sort();
    times[ROUNDS / 2]
}

fn open_once(options: &SpoolOptions) -> Duration {
    // Making the files is not what is measured, nor is syncing them.
    assert!(std::process::Command::new("sync").status().expect("sync starts").success());
    let begun = Instant::now();
    let (spool, recovery) = Spool::open(options.clone()).expect("the spool opens");
    let elapsed = begun.elapsed();
    drop(spool);
    // The next round finds the full segment last again.
    let made = options.dir.join("segments").join(format!("{:020}.log", recovery.first_seq));
    fs::remove_file(made).expect("the new segment is removed");
    elapsed
}
