//! The file of the overrides: read at the start, and again when its content changes.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use whopulls_schemas::config::Mistakes;

use super::Overrides;

/// The largest file that is read: about 200,000 networks.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why overrides were refused.
#[derive(Debug, Error)]
pub enum OverridesError {
    /// The file cannot be read.
    #[error("read the overrides {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file has more bytes than are read.
    #[error("the overrides {} have more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has mistakes.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// What a look at the file led to.
#[derive(Debug)]
pub enum Reload {
    /// The content was judged already, or may be half of a file that is being written.
    Unchanged,
    /// New overrides are in use; their version.
    Reloaded(String),
    /// The content changed and cannot be used; the old overrides stay, and the same content is not tried again.
    Refused(OverridesError),
}

/// The overrides in use. Without a file there are none.
#[derive(Debug, Default)]
pub struct OverridesFile {
    path: Option<PathBuf>,
    current: ArcSwap<Overrides>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What was last taken or refused.
    judged: String,
    /// What the last look saw. A content is judged when two looks saw it, so half a file never is.
    last: String,
}

impl OverridesFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or has mistakes.
    pub fn open(path: Option<&Path>) -> Result<Self, OverridesError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = read(path)?;
        let overrides = Overrides::parse(&path.display().to_string(), &text)?;
        let seen = Mutex::new(Seen { judged: text.clone(), last: text });
        Ok(Self { path: Some(path.to_owned()), current: ArcSwap::from_pointee(overrides), seen })
    }

    /// The overrides as they are now. A reload does not change what is held.
    pub fn current(&self) -> Arc<Overrides> {
        self.current.load_full()
    }

    /// Looks at the file once. Reads it: call it where blocking is allowed.
    pub fn reload_if_changed(&self) -> Reload {
        let Some(path) = &self.path else { return Reload::Unchanged };
        // A file that is away for a moment is about to be replaced.
        let Ok(text) = read(path) else { return Reload::Unchanged };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stands_still = seen.last == text;
        if seen.judged == text || !stands_still {
            seen.last = text;
            return Reload::Unchanged;
        }
        let parsed = Overrides::parse(&path.display().to_string(), &text);
        seen.judged = text;
        match parsed {
            Ok(overrides) => {
                let version = overrides.version().unwrap_or_default().to_owned();
                self.current.store(Arc::new(overrides));
                Reload::Reloaded(version)
            }
            Err(mistakes) => Reload::Refused(mistakes.into()),
        }
    }
}

fn read(path: &Path) -> Result<String, OverridesError> {
    let failed = |source| OverridesError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(OverridesError::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}

/// Looks at the file every `poll_interval` for as long as it is polled.
pub async fn watch(overrides: Arc<OverridesFile>, poll_interval: Duration) -> Infallible {
    let mut ticks = tokio::time::interval(poll_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looked_at = Arc::clone(&overrides);
        match tokio::task::spawn_blocking(move || looked_at.reload_if_changed()).await {
            Ok(Reload::Unchanged) => {}
            Ok(Reload::Reloaded(version)) => {
                tracing::info!(
                    version,
                    "overrides reloaded; `whopulls overrides plan` says what they change of the past"
                );
            }
            Ok(Reload::Refused(error)) => tracing::warn!(%error, "overrides kept as they were"),
            Err(panic) => tracing::error!(%panic, "look at the overrides"),
        }
    }
}
