//! A store that does what it is asked and whose answer is lost: the commit happened, and nobody was told.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio_util::sync::CancellationToken;
use whopulls_enrich::event::Enriched;
use whopulls_enrich::io::durable::DurableFolder;
use whopulls_enrich::lake::{Lake, OpenedStore, open_store};
use whopulls_enrich::worker::{FlushLimits, WorkerConfig, WorkerMetrics, run_worker};
use whopulls_schemas::raw::RawAccess;

use crate::support::{Folder, Memory, record};

/// How an answer is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// The connection breaks.
    Error,
    /// The store's client asks again by itself and hears that the name is taken: by its own first try.
    AlreadyExists,
}

#[derive(Debug)]
struct Forgetful {
    inner: DurableFolder,
    loss: Loss,
    /// Log entries so far; every second answer is lost.
    entries: AtomicU32,
}

impl Forgetful {
    fn forget(&self, location: &Path) -> Error {
        match self.loss {
            Loss::Error => Error::Generic { store: "Forgetful", source: "connection reset".into() },
            Loss::AlreadyExists => {
                Error::AlreadyExists { path: location.to_string(), source: "the name is taken".into() }
            }
        }
    }
}

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forgetful({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Forgetful {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_log_entry = location.extension() == Some("json");
        let answer = self.inner.put_opts(location, payload, options).await?;
        if is_log_entry && self.entries.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            return Err(self.forget(location));
        }
        Ok(answer)
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn check(loss: Loss) {
    let folder = Folder::new();
    let opened = open_store(&folder.location(), &std::collections::BTreeMap::new()).expect("a folder");
    let forgetful = Forgetful { inner: DurableFolder::new(), loss, entries: AtomicU32::new(0) };
    let opened = OpenedStore { root: Arc::new(forgetful), ..opened };
    let mut lake = Lake::open_or_create_in(opened).await.expect("a lake");
    let mut source = Memory::of_records(0, (1..101).map(|seq| record("n1", seq)));
    let flush = FlushLimits { rows_max: 10, ..FlushLimits::default() };
    let config = WorkerConfig { flush, ..WorkerConfig::default() };
    let metrics = WorkerMetrics::default();
    let enrich = |_: &RawAccess| Arc::new(Enriched::default());
    let worker = run_worker(config, &mut source, &mut lake, &enrich, &metrics, CancellationToken::new());
    let summary = worker.await.expect("the worker ends by itself");
    assert_eq!(folder.seqs().await, (1..101).collect::<Vec<i64>>(), "{loss:?}");
    assert_eq!(summary.events, 100, "{loss:?}: what was committed unheard counts too");
    assert_eq!(summary.commits_refused, 0, "{loss:?}");
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_made_again() {
    check(Loss::Error).await;
}

#[tokio::test]
async fn a_commit_that_finds_its_own_first_try_keeps_its_files() {
    check(Loss::AlreadyExists).await;
}
