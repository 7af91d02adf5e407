//! The key of the gateway's own tokens, made at the first start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::super::own_token::TokenKey;
use super::server::GatewayError;

/// Reads the key, or makes the file. Without a place for it the key lives as long as the process.
pub(super) fn read_or_make(path: Option<&Path>) -> Result<TokenKey, GatewayError> {
    let Some(path) = path else {
        let failed = |source| GatewayError::KeyFile { path: "/dev/urandom".into(), source };
        return random().map(TokenKey::new).map_err(failed);
    };
    let failed = |source| GatewayError::KeyFile { path: path.to_owned(), source };
    read(path)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { make(path) } else { Err(error) })
        .map_err(failed)
}

fn read(path: &Path) -> io::Result<TokenKey> {
    let text = std::fs::read_to_string(path)?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a key is 64 hexadecimal digits");
    let key = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map_err(|_not_hex| wrong())?;
    Ok(TokenKey::new(key.try_into().map_err(|_other_length| wrong())?))
}

/// Another process that starts at the same time may win: then its key is read.
fn make(path: &Path) -> io::Result<TokenKey> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let key = random()?;
    let text = HEXLOWER_PERMISSIVE.encode(&key);
    // Whole or not at all under its name: a link is made of what is written and synced.
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::hard_link(&unfinished, path)
    })();
    std::fs::remove_file(&unfinished)?;
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        written => written.map(|()| TokenKey::new(key)),
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use whopulls_schemas::UnixMicros;

    use super::super::super::own_token;
    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("deep").join("gateway.key");
        let first = read_or_make(Some(&path)).expect("it is made");
        let second = read_or_make(Some(&path)).expect("it is read");
        let token = own_token::issue(&first, None, UnixMicros(0));
        assert!(own_token::read(&second, &token, UnixMicros(0)).is_some());
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = std::fs::read_dir(path.parent().expect("a folder")).expect("a folder").count();
        assert_eq!(files, 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_holds_no_key_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("gateway.key");
        std::fs::write(&path, "not a key").expect("it can be written");
        assert!(read_or_make(Some(&path)).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("it can be read"), "not a key");
    }
}
