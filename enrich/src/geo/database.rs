//! The data in use: handed out as snapshots, replaced as a whole when a file changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::io::{self, Fingerprint};
use super::snapshot::{LAYERS_MAX, Layer, OpenError, Snapshot};

/// Files that can be used together above the default.
pub const FILES_MAX: usize = LAYERS_MAX - 1;

/// What a look at the files led to.
#[derive(Debug)]
pub enum Reload {
    /// No file is different from the last look.
    Unchanged,
    /// New data is in use; its version.
    Reloaded(String),
    /// A file changed and cannot be used; the old data stays in use, and the same content is not tried again.
    Refused(OpenError),
}

/// The address database: the embedded default, and files of the operator's above it.
#[derive(Debug)]
pub struct Database {
    current: ArcSwap<Snapshot>,
    sources: Mutex<Sources>,
}

#[derive(Debug)]
struct Sources {
    default: Arc<Layer>,
    files: Vec<FileSource>,
}

#[derive(Debug)]
struct FileSource {
    path: PathBuf,
    /// As it was when it was last looked at, whether or not it could be used.
    seen: Option<Fingerprint>,
    layer: Arc<Layer>,
}

impl Sources {
    fn snapshot(&self) -> Arc<Snapshot> {
        let files = self.files.iter().map(|file| Arc::clone(&file.layer));
        Arc::new(Snapshot::new(files.chain([Arc::clone(&self.default)]).collect()))
    }
}

impl Database {
    /// The default with `files` above it: what a file says goes before what a later one says, and all before the default.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read or is damaged.
    pub fn open(files: &[PathBuf]) -> Result<Self, OpenError> {
        if files.len() > FILES_MAX {
            return Err(OpenError::TooMany { files: files.len() });
        }
        let default = Arc::new(Layer::embedded()?);
        let files = files.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
        let sources = Sources { default, files };
        Ok(Self { current: ArcSwap::new(sources.snapshot()), sources: Mutex::new(sources) })
    }

    /// The data as it is now. Hold it for a batch, not for ever: a reload does not change what is held.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Looks at the files once and takes up what changed. Reads files: call it where blocking is allowed.
    pub fn reload_if_changed(&self) -> Reload {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Reload::Unchanged;
        for file in &mut sources.files {
            let now = io::fingerprint(&file.path);
            if now.is_none() || now == file.seen {
                // A file that is away for a moment is about to be replaced.
                continue;
            }
            file.seen = now;
            match load(&file.path) {
                Ok(fresh) => {
                    *file = fresh;
                    outcome = Reload::Reloaded(String::new());
                }
                Err(error) => return Reload::Refused(error),
            }
        }
        if let Reload::Reloaded(version) = &mut outcome {
            let snapshot = sources.snapshot();
            snapshot.version().clone_into(version);
            self.current.store(snapshot);
        }
        outcome
    }
}

fn load(path: &Path) -> Result<FileSource, OpenError> {
    let (bytes, seen) = io::read(path)?;
    let layer = Arc::new(Layer::checked(&path.display().to_string(), bytes)?);
    Ok(FileSource { path: path.to_owned(), seen: Some(seen), layer })
}
