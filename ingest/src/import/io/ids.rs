//! The identities of events that were imported under an identity of their own: exports overlap, and each event counts once.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use uuid::Uuid;

/// Identities that are known at a time: 16 bytes each on disk, about 40 in memory, 320 MiB.
const IDS_MAX: usize = 8 << 20;
const ID_BYTES: usize = 16;

/// The known identities. A file keeps them from one import to the next.
#[derive(Debug, Default)]
pub struct ImportedIds {
    path: Option<PathBuf>,
    is_loaded: bool,
    known: HashSet<Uuid>,
    /// Not in the file yet.
    added: Vec<Uuid>,
}

impl ImportedIds {
    /// Those of the file `path`. It is read when a log needs it, and made when the first are kept.
    pub fn at(path: PathBuf) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    /// Reads the file, where there is one, the first time that this is called.
    pub(super) fn load(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| !self.is_loaded) else { return Ok(()) };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => {
                file.take((IDS_MAX * ID_BYTES) as u64).read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.known.extend(bytes.chunks_exact(ID_BYTES).filter_map(|id| Uuid::from_slice(id).ok()));
        self.is_loaded = true;
        Ok(())
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone().unwrap_or_default()
    }

    /// Whether this identity comes for the first time; it is known from now on. Beyond the bound nothing is remembered, and what comes
    /// again counts again.
    pub(super) fn is_new(&mut self, id: Uuid) -> bool {
        if self.known.contains(&id) {
            return false;
        }
        if self.known.len() < IDS_MAX {
            self.known.insert(id);
            self.added.push(id);
        }
        true
    }

    /// Writes what was added behind the file. To be called when the events are in the table, not before: what is known is not imported
    /// again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| !self.added.is_empty()) else { return Ok(()) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        // Half of an identity is what a crash left: it would shift all that follow.
        let length = file.metadata()?.len();
        file.set_len(length - length % ID_BYTES as u64)?;
        let bytes: Vec<u8> = self.added.iter().flat_map(|id| id.into_bytes()).collect();
        file.write_all(&bytes)?;
        file.sync_data()?;
        self.added.clear();
        Ok(())
    }
}
