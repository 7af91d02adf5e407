//! The cache's files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use data_encoding::HEXLOWER;

/// SHA-256 of a key.
pub(super) type Name = [u8; 32];

/// Every file with its size, the longest unchanged first, and how many foreign files were removed.
pub(super) fn list(dir: &Path) -> io::Result<(Vec<(Name, u64)>, u64)> {
    // Private images may be in it.
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut found = Vec::new();
    let mut foreign = 0;
    for shard in fs::read_dir(dir)? {
        let shard = shard?.path();
        // Only what stands where the cache keeps its files is the cache's to remove: the folder may have been named by mistake.
        let is_ours = |name: &str| name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if !shard.is_dir() || !shard.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
            continue;
        }
        for file in fs::read_dir(&shard)? {
            let file = file?;
            let metadata = file.metadata()?;
            match file.file_name().to_str().and_then(parse).filter(|name| path_of(dir, name) == file.path()) {
                Some(name) if metadata.is_file() => {
                    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((changed, name, metadata.len()));
                }
                // A file that was being written when the process ended, or somebody else's.
                _ => foreign += u64::from(fs::remove_file(file.path()).is_ok()),
            }
        }
    }
    found.sort_unstable();
    Ok((found.into_iter().map(|(_, name, bytes)| (name, bytes)).collect(), foreign))
}

pub(super) fn read(dir: &Path, name: &Name) -> Option<Vec<u8>> {
    fs::read(path_of(dir, name)).ok()
}

/// A reader sees the old file or the new one, never a part.
pub(super) fn write(dir: &Path, name: &Name, bytes: &[u8]) -> io::Result<()> {
    let path = path_of(dir, name);
    if let Some(shard) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(shard)?;
    }
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, &path)
}

pub(super) fn remove(dir: &Path, name: &Name) {
    let path = path_of(dir, name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "the cache could not remove a file");
        }
        _ => {}
    }
}

/// `<dir>/ab/ab12…`
fn path_of(dir: &Path, name: &Name) -> PathBuf {
    let hex = HEXLOWER.encode(name);
    dir.join(hex.get(..2).unwrap_or_default()).join(hex)
}

fn parse(text: &str) -> Option<Name> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
