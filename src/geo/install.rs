//! Putting a downloaded database in the place of the old one: all of it or nothing.

use std::fs::{self, File, Permissions};
use std::io::{BufReader, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, SecondsFormat};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use whopulls_enrich::geo::DatabaseInfo;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::SourceUrl;

use super::digest;
use super::download::BYTES_MAX;
use super::installed::{Installed, memory_of};
use super::unpack::unpack;

/// The end of a temporary file's name; its beginning is the database's own, with a dot before it.
const TEMPORARY: &str = ".part";

/// What is so old was left by an update that was killed: none takes as long.
const LEFT_BEHIND_AFTER: Duration = Duration::from_hours(24);

/// A download that has the right checksum.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) bytes: File,
    pub(super) sha256: String,
    pub(super) url: SourceUrl,
}

/// The folder of a database, made where it is not there.
pub(super) fn folder_of(file: &Path) -> Result<PathBuf> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder.to_owned())
}

/// Unpacks a download, opens it as a worker would, and gives it the name `file`. What had the name stays as it was unless all goes well.
pub(super) fn install(mut download: Download, file: &Path, now: UnixMicros) -> Result<DatabaseInfo> {
    let folder = folder_of(file)?;
    remove_left_behind(file, &folder);
    let mut fresh = temporary(file, &folder)?;
    download.bytes.rewind().context("read the download again")?;
    unpack(BufReader::new(download.bytes), &mut fresh, BYTES_MAX)
        .with_context(|| format!("unpack what {} gives", download.url))?;
    // Read back: what is checked is what stands on the disk.
    fresh.rewind().context("read the database again")?;
    let mut bytes = Vec::new();
    fresh.read_to_end(&mut bytes).context("read the database again")?;
    let file_sha256 = digest::of_bytes(&bytes);
    let info = DatabaseInfo::of_bytes(&format!("that {} gives", download.url), bytes)?;

    let at = DateTime::from_timestamp_micros(now.0).unwrap_or_default();
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let url = download.url.to_string();
    let installed = Installed { url, download_sha256: download.sha256, file_sha256, at };
    let memory_file = memory_of(file);
    let mut memory = temporary(file, &folder)?;
    serde_json::to_writer_pretty(&mut memory, &installed).context("write what was installed")?;
    writeln!(memory).context("write what was installed")?;
    take_name(memory, &memory_file, fresh, file)?;
    let synced = File::open(&folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("sync the folder {}, where the database is in place", folder.display()))?;
    Ok(info)
}

/// The database first: a memory of something that is not there would hold the next update up.
fn take_name(memory: NamedTempFile, memory_file: &Path, fresh: NamedTempFile, file: &Path) -> Result<()> {
    if let Ok(old) = fs::metadata(file) {
        // Who could read the old one reads the new one.
        fresh
            .as_file()
            .set_permissions(old.permissions())
            .context("give the database the permissions of the old one")?;
    }
    fresh.as_file().sync_all().context("sync the database")?;
    memory.as_file().sync_all().context("sync what was installed")?;
    fresh.persist(file).with_context(|| format!("put the database in the place of {}", file.display()))?;
    let kept = memory.persist(memory_file);
    kept.with_context(|| format!("write {}; the database is in place", memory_file.display()))?;
    Ok(())
}

/// A file beside the database, which everybody may read, as far as the process lets them, and which goes when it is not given a name.
fn temporary(file: &Path, folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let prefix = prefix_of(file);
    builder.prefix(&prefix).suffix(TEMPORARY).permissions(Permissions::from_mode(0o644));
    builder.tempfile_in(folder).with_context(|| format!("write into the folder {}", folder.display()))
}

fn prefix_of(file: &Path) -> String {
    format!(".{}.", file.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes what updates of this file left that were killed. That it cannot is no reason not to update.
fn remove_left_behind(file: &Path, folder: &Path) {
    let prefix = prefix_of(file);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(TEMPORARY));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > LEFT_BEHIND_AFTER) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// What is remembered beside a database; nothing where that cannot be read, so that the database is fetched again.
pub(super) fn remembered(file: &Path) -> Option<Installed> {
    let path = memory_of(file);
    let text = fs::read_to_string(&path).ok()?;
    match serde_json::from_str(&text) {
        Ok(installed) => Some(installed),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "what was installed last cannot be read and is taken as unknown");
            None
        }
    }
}

/// The SHA-256 of the file in place; `None` where there is none.
pub(super) fn digest_in_place(file: &Path) -> Result<Option<String>> {
    let failed = || format!("read {}", file.display());
    let mut from = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(failed),
    };
    if from.metadata().with_context(failed)?.is_dir() {
        bail!("{} is a folder: `file` names the database itself", file.display());
    }
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let read = from.read(&mut buffer).with_context(failed)?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => return Ok(Some(digest::of_hasher(hasher))),
        }
    }
}
