//! The local folder as an object store.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use whopulls_enrich::io::durable::DurableFolder;

fn store(folder: &tempfile::TempDir) -> (Arc<DurableFolder>, Path) {
    (Arc::new(DurableFolder::new()), Path::from_absolute_path(folder.path()).expect("an absolute path"))
}

fn create() -> PutOptions {
    PutOptions::from(PutMode::Create)
}

#[tokio::test]
async fn a_name_that_must_be_new_is_given_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, base) = store(&folder);
    let name = base.clone().join("log").join("0.json");
    store.put_opts(&name, PutPayload::from_static(b"first"), create()).await.expect("new");
    let second = store.put_opts(&name, PutPayload::from_static(b"second"), create()).await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
    let bytes = store.get(&name).await.expect("there").bytes().await.expect("readable");
    assert_eq!(bytes, Bytes::from_static(b"first"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_want_a_new_name_one_gets_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, base) = store(&folder);
    for round in 0..20 {
        let name = base.clone().join(format!("{round}.json"));
        // Each has a store of its own, as processes have.
        let writers = (0..8_u8).map(|writer| {
            let name = name.clone();
            tokio::spawn(async move {
                let payload = PutPayload::from(vec![writer; 1000]);
                DurableFolder::new().put_opts(&name, payload, create()).await.is_ok()
            })
        });
        let mut winners = 0;
        for writer in writers.collect::<Vec<_>>() {
            winners += u32::from(writer.await.expect("no panic"));
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test]
async fn overwriting_replaces_and_nothing_temporary_is_left_or_listed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, base) = store(&folder);
    let name = base.clone().join("_last_checkpoint");
    // What a writer that was killed left.
    std::fs::write(folder.path().join("_last_checkpoint#1"), b"torn").expect("a file");
    for content in ["one", "two"] {
        store.put(&name, content.into()).await.expect("written");
    }
    let listed: Vec<_> = store.list(Some(&base)).try_collect().await.expect("listed");
    assert_eq!(
        listed.iter().map(|entry| entry.location.filename().expect("a name")).collect::<Vec<_>>(),
        ["_last_checkpoint"]
    );
    assert_eq!(std::fs::read(folder.path().join("_last_checkpoint")).expect("there"), b"two");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 2, "only the torn file is left");
}

#[tokio::test]
async fn an_upload_in_parts_has_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, base) = store(&folder);
    let name = base.clone().join("checkpoint.parquet");
    let mut upload = store.put_multipart(&name).await.expect("begun");
    upload.put_part("first ".into()).await.expect("a part");
    assert!(store.head(&name).await.is_err());
    upload.put_part("second".into()).await.expect("a part");
    upload.complete().await.expect("whole");
    assert_eq!(std::fs::read(folder.path().join("checkpoint.parquet")).expect("there"), b"first second");
    let mut upload = store.put_multipart(&base.clone().join("never")).await.expect("begun");
    upload.put_part("half".into()).await.expect("a part");
    upload.abort().await.expect("aborted");
    assert!(!folder.path().join("never").exists());
}

#[tokio::test]
async fn a_folder_that_was_removed_is_made_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, base) = store(&folder);
    let name = base.clone().join("date=2026-11-24").join("part.parquet");
    store.put(&name, "one".into()).await.expect("written");
    std::fs::remove_dir_all(folder.path().join("date=2026-11-24")).expect("removed");
    store.put(&name, "two".into()).await.expect("written again");
    store.copy(&name, &base.clone().join("copy")).await.expect("copied");
    assert_eq!(std::fs::read(folder.path().join("copy")).expect("there"), b"two");
}
