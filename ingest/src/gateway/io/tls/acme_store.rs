//! The folder of `[tls.acme]`: the account with the authority, and the certificate with its key. Only the owner may read it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The folder.
#[derive(Debug)]
pub(super) struct AcmeStore {
    dir: PathBuf,
    account: PathBuf,
}

impl AcmeStore {
    /// Makes the folder where it is missing. Each authority has an account of its own in it.
    pub(super) fn open(dir: PathBuf, directory: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(FOLDER_MODE))?;
        let hash = Sha256::digest(directory.as_bytes());
        let short = HEXLOWER.encode(hash.get(..8).unwrap_or_default());
        Ok(Self { account: dir.join(format!("account-{short}.json")), dir })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        present(fs::read(&self.account))
    }

    pub(super) fn keep_account(&self, credentials: &[u8]) -> io::Result<()> {
        self.keep(&self.account, credentials)
    }

    /// Key and chain, one after the other: one file, so that they are never of two orders.
    pub(super) fn certificate(&self) -> io::Result<Option<Vec<u8>>> {
        present(fs::read(self.certificate_file()))
    }

    pub(super) fn keep_certificate(&self, key_pem: &str, chain_pem: &str) -> io::Result<()> {
        self.keep(&self.certificate_file(), format!("{key_pem}\n{chain_pem}").as_bytes())
    }

    fn certificate_file(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    /// Written whole or not at all.
    fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let next = path.with_extension("next");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&next)?;
        // The mode above is only for a new file.
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        fs::File::open(&self.dir)?.sync_all()
    }
}

fn present(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_mode(path: &Path, mode: u32) {
        assert_eq!(fs::metadata(path).expect("it is there").permissions().mode() & 0o777, mode, "{}", path.display());
    }

    #[test]
    fn only_the_owner_may_read_what_is_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let place = dir.path().join("acme");
        fs::create_dir(&place).expect("a folder that somebody made before");
        fs::set_permissions(&place, Permissions::from_mode(0o755)).expect("it is ours");
        let store = AcmeStore::open(place.clone(), "https://acme.example.org").expect("the folder is good");
        assert_eq!(store.certificate().expect("nothing is wrong"), None);
        store.keep_certificate("key", "chain").expect("it is written");
        store.keep_account(b"{}").expect("it is written");
        assert_eq!(store.certificate().expect("it is read").as_deref(), Some(b"key\nchain".as_slice()));
        check_mode(&place, 0o700);
        for entry in fs::read_dir(&place).expect("it is a folder") {
            check_mode(&entry.expect("an entry").path(), 0o600);
        }
    }

    #[test]
    fn another_authority_has_another_account() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let open = |directory| AcmeStore::open(dir.path().to_owned(), directory).expect("the folder is good");
        open("https://one.example.org").keep_account(b"one").expect("it is written");
        assert_eq!(open("https://two.example.org").account().expect("nothing is wrong"), None);
        assert_eq!(open("https://one.example.org").account().expect("it is read").as_deref(), Some(b"one".as_slice()));
    }
}
