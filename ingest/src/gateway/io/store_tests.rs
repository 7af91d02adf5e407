use std::fs;
use std::path::PathBuf;

use whopulls_schemas::UnixMicros;

use super::*;

const ITEM_BYTES_MAX: u64 = 1 << 20;

fn open(dir: &Path, bytes_max: u64) -> Store {
    Store::open(Some(dir), bytes_max, ITEM_BYTES_MAX, CacheMetrics::default()).expect("the cache opens")
}

fn thing(bytes: usize) -> Stored {
    let headers = vec![("content-type".to_owned(), "a/b".to_owned())];
    Stored { headers, body: Bytes::from(vec![7; bytes]), stored: UnixMicros(1) }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(dir).expect("the folder is there").map(|shard| shard.expect("an entry").path());
    let files = |shard| fs::read_dir(shard).expect("a folder").map(|file| file.expect("an entry").path());
    let mut files: Vec<PathBuf> = shards.flat_map(files).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_is_kept_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(dir.path(), 1 << 20);
    store.put("a", thing(10));
    store.put("b", thing(20));
    store.remove("b");
    drop(store);
    let store = open(dir.path(), 1 << 20);
    assert_eq!(store.get("a").await.as_deref(), Some(&thing(10)));
    assert_eq!(store.get("b").await, None);
    assert_eq!(files(dir.path()).len(), 1);
}

#[tokio::test]
async fn the_longest_unused_makes_room() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    drop(open(dir.path(), 40 << 10));
    let store = open(dir.path(), 40 << 10);
    for at in 0..20 {
        store.put(&format!("k{at}"), thing(8 << 10));
        assert!(store.get("k0").await.is_some() || at > 3, "what is used stays");
    }
    let metrics = store.metrics.clone();
    drop(store);
    let bytes: u64 = files(dir.path()).iter().map(|file| file.metadata().expect("a file").len()).sum();
    assert!(bytes <= 40 << 10, "{bytes}");
    assert_eq!(metrics.bytes(), i64::try_from(bytes).expect("a small number"));
    assert!(open(dir.path(), 40 << 10).get("k19").await.is_some());
}

#[tokio::test]
async fn a_damaged_file_is_removed_and_counted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(dir.path(), 1 << 20);
    store.put("a", thing(100));
    drop(store);
    let file = files(dir.path()).pop().expect("one file");
    let mut bytes = fs::read(&file).expect("it can be read");
    bytes[80] ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    let store = open(dir.path(), 1 << 20);
    assert_eq!(store.get("a").await, None);
    assert_eq!(store.metrics.damaged.get(), 1);
    drop(store);
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn foreign_and_unfinished_files_are_removed_and_counted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let shard = dir.path().join("ab");
    fs::create_dir(&shard).expect("a folder");
    fs::write(shard.join(format!("ab{}.new", "0".repeat(62))), b"half").expect("it can be written");
    fs::write(shard.join("note.txt"), b"mine").expect("it can be written");
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("a folder");
    fs::write(other.join("note.txt"), b"mine").expect("it can be written");
    let store = open(dir.path(), 1 << 20);
    assert_eq!(store.metrics.damaged.get(), 2);
    assert_eq!(files(dir.path()), [other.join("note.txt")], "what is not where the cache writes is left alone");
}

#[tokio::test]
async fn what_is_too_large_is_not_kept_and_the_old_is_gone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(dir.path(), 8 << 20);
    store.put("a", thing(10));
    store.put("a", thing(2 << 20));
    assert_eq!(store.get("a").await, None);
    assert_eq!(store.metrics.too_large.get(), 1);
}

#[tokio::test]
async fn without_a_folder_it_is_kept_in_memory() {
    let store = Store::open(None, 1 << 20, ITEM_BYTES_MAX, CacheMetrics::default()).expect("the cache opens");
    store.put("a", thing(10));
    assert_eq!(store.get("a").await.as_deref(), Some(&thing(10)));
    store.remove("a");
    assert_eq!(store.get("a").await, None);
}

#[tokio::test]
async fn a_disk_that_hangs_holds_nobody() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = open(dir.path(), 1 << 20);
    store.put("a", thing(100));
    drop(store);
    let store = open(dir.path(), 1 << 20);
    // Who opens a pipe to read waits until somebody writes.
    let file = files(dir.path()).pop().expect("one file");
    fs::remove_file(&file).expect("it can be removed");
    let made = std::process::Command::new("mkfifo").arg(&file).status().expect("mkfifo starts");
    assert!(made.success());
    let (waited, other) = tokio::join!(tokio::time::timeout(2 * READ_WAIT, store.get("a")), async {
        store.put("b", thing(1));
        store.get("b").await
    });
    // Lets the reader go, which the test's end waits for.
    drop(fs::OpenOptions::new().write(true).open(&file).expect("the reader is there"));
    assert_eq!(waited.expect("it is given up in time"), None);
    assert_eq!(other.as_deref(), Some(&thing(1)));
}
