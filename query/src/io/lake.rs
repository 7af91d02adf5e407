//! Opens a Delta table of the lake and keeps its snapshot up to date.

use std::collections::{BTreeMap, HashMap};
use std::path::absolute;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake::kernel::LogicalFileView;
use deltalake::logstore::{StorageConfig, default_logstore};
use deltalake::{DeltaTable, DeltaTableError};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{DynObjectStore, parse_url_opts};
use tokio::sync::Mutex;
use url::{Position, Url};

use crate::table::{LakeTable, LiveFile, LiveFileError};

/// Why the lake cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The configured location is not one.
    #[error("the location {location:?} of the table cannot be opened: {reason}")]
    Location {
        /// What was configured.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No commit has made the table yet.
    #[error("there is no table at {url} yet; the worker makes it with its first commit")]
    NoTable {
        /// Where it was looked for.
        url: Url,
    },
    /// The log could not be read.
    #[error("read the Delta log of {url}")]
    Log {
        /// The table.
        url: Url,
        /// What the Delta library said.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// The table has what this reader does not understand.
    #[error("the table at {url} cannot be scanned: {reason}")]
    Unreadable {
        /// The table.
        url: Url,
        /// What it has.
        reason: String,
    },
}

impl LakeError {
    /// That there is no table is no fault of a table that need not be there.
    pub(crate) fn when_there_is_one<T>(self) -> Result<Option<T>, Self> {
        if matches!(self, Self::NoTable { .. }) { Ok(None) } else { Err(self) }
    }
}

/// One version of the table.
#[derive(Debug, Clone)]
pub(crate) struct LakeSnapshot {
    pub(crate) version: u64,
    pub(crate) table: Arc<LakeTable>,
}

/// A handle on the table. Reading it costs a listing of the log behind the version already known.
pub(crate) struct Lake {
    url: Url,
    root: Arc<DynObjectStore>,
    prefix: Path,
    /// The table's columns, as they are scanned.
    schema: SchemaRef,
    state: Mutex<State>,
    refreshes_started: AtomicU64,
}

#[derive(Default)]
struct State {
    table: Option<DeltaTable>,
    files: HashMap<Path, Arc<LiveFile>>,
    snapshot: Option<LakeSnapshot>,
    /// The number of the refresh that made `snapshot`.
    refreshed: u64,
}

impl Lake {
    /// `location` is a folder, or a URL that `object_store` understands; `options` are `object_store`'s own (endpoint, region, keys).
    /// Nothing is read yet.
    pub(crate) fn new(
        location: &str,
        options: &BTreeMap<String, String>,
        schema: SchemaRef,
    ) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Location { location: location.to_owned(), reason };
        let url = table_url(location).map_err(refuse)?;
        let (root, prefix) = parse_url_opts(&url, options).map_err(|error| refuse(error.to_string()))?;
        let state = Mutex::new(State::default());
        Ok(Self { url, root: Arc::from(root), prefix, schema, state, refreshes_started: AtomicU64::new(0) })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The store that the snapshot's paths are in.
    pub(crate) fn root(&self) -> (ObjectStoreUrl, Arc<DynObjectStore>) {
        (self.store_url(), Arc::clone(&self.root))
    }

    fn store_url(&self) -> ObjectStoreUrl {
        let root = &self.url[..Position::BeforePath];
        ObjectStoreUrl::parse(root).unwrap_or_else(|_| ObjectStoreUrl::local_filesystem())
    }

    /// The table without rows, for as long as nobody has made it.
    pub(crate) fn empty(&self) -> Arc<LakeTable> {
        Arc::new(LakeTable::new(Arc::clone(&self.schema), self.store_url(), Vec::new()))
    }

    /// The newest version, as of a moment after the call. Callers that wait together share one refresh.
    pub(crate) async fn newest(&self) -> Result<LakeSnapshot, LakeError> {
        let started_before = self.refreshes_started.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        if let Some(snapshot) = state.snapshot.as_ref().filter(|_| state.refreshed > started_before) {
            return Ok(snapshot.clone());
        }
        let number = self.refreshes_started.fetch_add(1, Ordering::SeqCst) + 1;
        let refreshed = self.refresh(&mut state).await;
        match refreshed {
            Ok(snapshot) => {
                state.refreshed = number;
                state.snapshot = Some(snapshot.clone());
                Ok(snapshot)
            }
            Err(error) => {
                // The next call starts from nothing, so that a table that was made anew is found.
                *state = State::default();
                Err(error)
            }
        }
    }

    async fn refresh(&self, state: &mut State) -> Result<LakeSnapshot, LakeError> {
        let mut table = match state.table.take() {
            Some(table) => table,
            None => self.open().await?,
        };
        let log_error = |source| LakeError::Log { url: self.url.clone(), source: Box::new(source) };
        table.update_incremental(None).await.map_err(log_error)?;
        let loaded = table.snapshot().map_err(log_error)?;
        let version = loaded.version();
        let unchanged = state.snapshot.as_ref().filter(|known| known.version == version).cloned();
        let snapshot = if let Some(snapshot) = unchanged {
            snapshot
        } else {
            self.check_readable(&table)?;
            let files = self.live_files(loaded.log_data().iter(), &state.files)?;
            let table = Arc::new(LakeTable::new(Arc::clone(&self.schema), self.store_url(), files.clone()));
            state.files = files.into_iter().map(|file| (file.path().clone(), file)).collect();
            LakeSnapshot { version, table }
        };
        state.table = Some(table);
        Ok(snapshot)
    }

    async fn open(&self) -> Result<DeltaTable, LakeError> {
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&self.root), self.prefix.clone()));
        let log = default_logstore(prefixed, Arc::clone(&self.root), &self.url, &StorageConfig::default());
        match log.is_delta_table_location().await {
            Ok(true) => Ok(DeltaTable::new(log)),
            Ok(false) => Err(LakeError::NoTable { url: self.url.clone() }),
            Err(source) => Err(LakeError::Log { url: self.url.clone(), source: Box::new(source) }),
        }
    }

    /// Column mapping gives the columns other names in the files than in the table.
    fn check_readable(&self, table: &DeltaTable) -> Result<(), LakeError> {
        let configuration =
            table.snapshot().map(|loaded| loaded.metadata().configuration().clone()).unwrap_or_default();
        match configuration.get("delta.columnMapping.mode").map(String::as_str) {
            None | Some("none") => Ok(()),
            Some(mode) => Err(LakeError::Unreadable {
                url: self.url.clone(),
                reason: format!("it maps column names (delta.columnMapping.mode = {mode}); write it without"),
            }),
        }
    }

    /// Files never change, so what is known of one stays.
    fn live_files(
        &self,
        views: impl Iterator<Item = LogicalFileView>,
        known: &HashMap<Path, Arc<LiveFile>>,
    ) -> Result<Vec<Arc<LiveFile>>, LakeError> {
        let stored = LakeTable::stored_schema(&self.schema);
        let refuse = |error: LiveFileError| LakeError::Unreadable { url: self.url.clone(), reason: error.to_string() };
        views
            .map(|view| {
                let path: Path = self.prefix.parts().chain(view.object_store_path().parts()).collect();
                if view.deletion_vector_descriptor().is_some() {
                    return Err(refuse(LiveFileError::DeletionVector { path }));
                }
                if let Some(file) = known.get(&path) {
                    return Ok(Arc::clone(file));
                }
                let partition = view.partition_values_map();
                let date = partition.get(whopulls_schemas::event::column::DATE).and_then(Option::as_deref);
                let file = LiveFile::new(path, view.size(), date, view.stats().as_deref(), &stored).map_err(refuse)?;
                Ok(Arc::new(file))
            })
            .collect()
    }
}

/// A location without a scheme is a folder on this machine.
fn table_url(location: &str) -> Result<Url, String> {
    if location.contains("://") {
        return Url::parse(location).map_err(|error| error.to_string());
    }
    let folder = absolute(location).map_err(|error| error.to_string())?;
    Url::from_directory_path(&folder).map_err(|()| "it is not a path that a URL can name".to_owned())
}
