//! Durable file operations: a change is not there until its directory is synced too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::cursor::TEMPORARY_SUFFIX;
use super::super::segment::{self, SegmentHeader};
use super::super::{ReadError, SpoolError};

/// The wall clock in milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the edge reads the clock here")]
pub(super) fn now_ms() -> u64 {
    ms_of(SystemTime::now())
}

/// A time in milliseconds since the epoch; zero before it.
pub(super) fn ms_of(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Puts an action and a path to an error.
pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path: PathBuf = path.into();
    move |source| SpoolError::Io { action, path, source }
}

/// The same for a reader.
pub(super) fn read_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path: PathBuf = path.into();
    move |source| ReadError::Io { action, path, source }
}

/// Makes a directory and syncs the one above it.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Makes the names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Replaces `path` by `text` so that a power cut leaves either the old or the new.
pub(super) fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes a segment file with its header; neither it nor its name is synced. A file left by a failed attempt is overwritten: nothing was
/// ever acknowledged from it.
pub(super) fn create_segment(dir: &Path, header: &SegmentHeader) -> io::Result<File> {
    let mut file = File::options().write(true).create(true).truncate(true).open(segment::path(dir, header.base_seq))?;
    file.write_all(&segment::encode_header(header))?;
    Ok(file)
}

/// Syncs a segment that is full, and then writes into the next one's header that it is there. The order is what opening relies on.
pub(super) fn seal(dir: &Path, full: &File, next: &File, next_header: &SegmentHeader) -> io::Result<()> {
    full.sync_data()?;
    let header = SegmentHeader { previous_end_seq: Some(next_header.base_seq), ..*next_header };
    next.write_all_at(&segment::encode_header(&header), 0)?;
    sync_segment(dir, next)
}

/// Syncs a segment and its name.
pub(super) fn sync_segment(dir: &Path, file: &File) -> io::Result<()> {
    file.sync_all()?;
    sync_dir(dir)
}
