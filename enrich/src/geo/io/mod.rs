//! Reading database files, and noticing that they changed.

use std::convert::Infallible;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::database::{Database, Reload};
use super::snapshot::OpenError;

/// The largest file that is held in memory; the largest on the market are below it.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    inode: u64,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }
}

/// The file as it is now; `None` when there is none to be read.
pub(super) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata))
}

/// A file's bytes, and the fingerprint taken before they were read: a change meanwhile shows at the next look.
///
/// The file is read, not mapped: a mapped file that somebody overwrites in place kills the process.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Fingerprint), OpenError> {
    let failed = |source| OpenError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let too_large = |bytes| OpenError::TooLarge { path: path.to_owned(), bytes, bytes_max: FILE_BYTES_MAX };
    if metadata.len() > FILE_BYTES_MAX {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        length if length > FILE_BYTES_MAX => Err(too_large(length)),
        _ => Ok((bytes, Fingerprint::of(&metadata))),
    }
}

/// Looks at the database's files every `poll_interval` for as long as it is polled.
pub async fn watch(database: Arc<Database>, poll_interval: Duration) -> Infallible {
    let mut ticks = tokio::time::interval(poll_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looked_at = Arc::clone(&database);
        match tokio::task::spawn_blocking(move || looked_at.reload_if_changed()).await {
            Ok(Reload::Unchanged) => {}
            Ok(Reload::Reloaded(version)) => tracing::info!(version, "address database reloaded"),
            Ok(Reload::Refused(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "address database kept as it was");
            }
            Err(panic) => tracing::error!(%panic, "look at the address database"),
        }
    }
}
