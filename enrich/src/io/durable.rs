//! A local folder as an object store whose writes are on the disk when they return.
//!
//! `object_store`'s own local file system never calls fsync, so a commit that it reported could be gone after a power
//! cut. Here every write goes to a temporary file that is synced, then takes its name in one step (a hard link when the
//! name must be new, else a rename), then the directory is synced. Reading is `LocalFileSystem`'s.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// Bytes of one upload in parts (a checkpoint of the log), kept in memory until it is complete. A checkpoint needs
/// about 500 bytes a file, so this is two million live files.
const UPLOAD_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Directories remembered as created and synced: one a day, so this is eleven years; then it is forgotten and begun anew.
const DIRECTORIES_MAX: usize = 4096;

/// Names tried for a temporary file: what crashed writers of the same file left behind.
const TEMPORARY_NAMES_MAX: u32 = 10_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct DurableFolder {
    inner: LocalFileSystem,
    directories: Arc<Mutex<HashSet<PathBuf>>>,
}

impl DurableFolder {
    /// The whole local file system; table paths are absolute.
    pub fn new() -> Self {
        Self::default()
    }

    async fn put(&self, location: &Path, payload: PutPayload, must_be_new: bool) -> Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let this = self.clone();
        blocking(move || {
            let written = this.write(&path, &payload, must_be_new);
            written.map_err(|source| store_error(&path, source))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    fn write(&self, path: &FsPath, payload: &PutPayload, must_be_new: bool) -> io::Result<()> {
        let directory = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        self.ensure_directory(directory)?;
        let (mut file, temporary) = match create_temporary(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Upkeep removed the directory since.
                self.known().remove(directory);
                self.ensure_directory(directory)?;
                create_temporary(path)?
            }
            created => created?,
        };
        let named =
            payload.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all()).and_then(|()| {
                if must_be_new { fs::hard_link(&temporary, path) } else { fs::rename(&temporary, path) }
            });
        if must_be_new || named.is_err() {
            // Left behind, it is only a name that listings skip.
            drop(fs::remove_file(&temporary));
        }
        named?;
        sync_directory(directory)
    }

    fn known(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates what is missing and syncs the parent of each, once per directory and process.
    fn ensure_directory(&self, directory: &FsPath) -> io::Result<()> {
        if self.known().contains(directory) {
            return Ok(());
        }
        let missing: Vec<&FsPath> = directory.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        fs::create_dir_all(directory)?;
        for created in missing.into_iter().rev().chain([directory]) {
            if let Some(parent) = created.parent() {
                sync_directory(parent)?;
            }
        }
        let mut known = self.known();
        if known.len() >= DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }
}

/// A name that `LocalFileSystem` never lists and never accepts: `<path>#<digits>`.
fn create_temporary(path: &FsPath) -> io::Result<(File, PathBuf)> {
    for number in 1..=TEMPORARY_NAMES_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{number}"));
        let temporary = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        "every temporary name is taken: remove the files that end in #<number>",
    ))
}

fn sync_directory(directory: &FsPath) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn store_error(path: &FsPath, source: io::Error) -> Error {
    let path = path.to_string_lossy().into_owned();
    if source.kind() == ErrorKind::AlreadyExists {
        Error::AlreadyExists { path, source: source.into() }
    } else {
        Error::Generic { store: "DurableFolder", source: format!("write {path}: {source}").into() }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?
}

impl fmt::Display for DurableFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableFolder({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.put(location, payload, true).await,
            PutMode::Overwrite => self.put(location, payload, false).await,
            PutMode::Update(_) => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload { folder: self.clone(), location: location.clone(), parts: Vec::new(), byte_count: 0 }))
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

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    /// Copies by reading and writing: a hard link would not be synced. Renaming is copying and deleting.
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.inner.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let must_be_new = matches!(options.mode, object_store::CopyMode::Create);
        self.put(to, bytes.into(), must_be_new).await.map(drop)
    }
}

/// An upload in parts, kept until it is complete, so that a name never stands for half a file.
#[derive(Debug)]
struct Upload {
    folder: DurableFolder,
    location: Path,
    parts: Vec<Bytes>,
    byte_count: usize,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.byte_count += data.content_length();
        if self.byte_count > UPLOAD_BYTES_MAX {
            let source = format!("upload {}: more than {UPLOAD_BYTES_MAX} bytes", self.location).into();
            return async move { Err(Error::Generic { store: "DurableFolder", source }) }.boxed();
        }
        self.parts.extend(data);
        async { Ok(()) }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload: PutPayload = std::mem::take(&mut self.parts).into_iter().collect();
        self.folder.put(&self.location, payload, false).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
