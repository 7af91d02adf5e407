//! `whopulls endpoint-key`, and the key's file: the secret under which addresses become `endpoint_id`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use whopulls_enrich::endpoint::EndpointKey;
use whopulls_schemas::config::{Config, KeyRotation};

use crate::configuration::ConfigArguments;

/// The key of `endpoint_id`.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointKeyCommand {
    /// Say which key is in use, without giving it away
    Status,
    /// Replace the key and destroy the old one: from then on nobody can tell which endpoint an address was
    Rotate {
        /// Without it, nothing is changed
        #[arg(long)]
        yes: bool,
    },
}

/// `whopulls endpoint-key`.
pub(crate) fn run(arguments: &ConfigArguments, command: &EndpointKeyCommand) -> Result<()> {
    let config = arguments.read()?;
    let path = key_file(&config)?;
    let old = read(&path)?;
    let mut out = std::io::stdout().lock();
    match command {
        EndpointKeyCommand::Status => {
            let rotation = match config.enrich.endpoint_key_rotation {
                KeyRotation::Never => "the same for all time, until `whopulls endpoint-key rotate`",
                KeyRotation::Monthly => "a key of its own for each calendar month (UTC), derived from this one",
            };
            writeln!(out, "{}: key {}, {rotation}", path.display(), old.fingerprint())?;
        }
        EndpointKeyCommand::Rotate { yes: false } => bail!(
            "nothing was changed; --yes replaces key {} in {}. A client that comes before and after is two endpoints then",
            old.fingerprint(),
            path.display()
        ),
        EndpointKeyCommand::Rotate { yes: true } => {
            let new = replace(&path)?;
            writeln!(
                out,
                "{}: key {} in place of {}, which is gone",
                path.display(),
                new.fingerprint(),
                old.fingerprint()
            )?;
            writeln!(
                out,
                "copy the file to every machine with a worker, and restart the workers: a running one keeps the old key"
            )?;
        }
    }
    Ok(())
}

/// The key that the configuration names, made where there is none. Only its owner may read it.
pub(crate) fn endpoint_key(config: &Config) -> Result<EndpointKey> {
    let path = key_file(config)?;
    match create(&path) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path),
        Err(error) => Err(error).with_context(|| format!("make the key of endpoint_id {}", path.display())),
    }
}

fn key_file(config: &Config) -> Result<PathBuf> {
    config.endpoint_key_file().context(
        "the key of endpoint_id has no place: give `--data FOLDER`, or set `data` or `enrich.endpoint_key_file`",
    )
}

fn read(path: &Path) -> Result<EndpointKey> {
    let mut bytes = [0; EndpointKey::BYTES];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| {
        let remedy = if error.kind() == ErrorKind::NotFound {
            "a worker makes it when it starts for the first time"
        } else if error.kind() == ErrorKind::UnexpectedEof {
            "it is cut off: bring the whole file back, or delete it and begin with new endpoints"
        } else {
            "its owner must be able to read it"
        };
        anyhow::Error::new(error).context(format!("read the key of endpoint_id {}: {remedy}", path.display()))
    })?;
    Ok(EndpointKey::new(bytes))
}

/// A new key in a new file.
fn create(path: &Path) -> std::io::Result<EndpointKey> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut bytes = [0; EndpointKey::BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(EndpointKey::new(bytes))
}

/// A new key in the place of the old one: a worker that starts meanwhile reads one or the other.
fn replace(path: &Path) -> Result<EndpointKey> {
    let beside = path.with_extension("new");
    let replaced = (|| {
        // What an earlier try left behind was never used.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let key = create(&beside)?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(key)
    })();
    replaced.with_context(|| format!("replace the key of endpoint_id {}", path.display()))
}
