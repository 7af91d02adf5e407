//! `whopulls geo`: the network database.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use whopulls_enrich::geo::build::{build_default, compress};
use whopulls_enrich::geo::{Database, Overlay};

/// The network database.
#[derive(Debug, Subcommand)]
pub(crate) enum GeoCommand {
    /// Build the embedded database from one of networks and one of countries
    Build {
        /// MMDB of autonomous systems
        #[arg(long, value_name = "FILE")]
        asn: PathBuf,
        /// MMDB of countries
        #[arg(long, value_name = "FILE")]
        country: PathBuf,
        /// CSV of known networks: asn,kind,organization,domain,basis
        #[arg(long, value_name = "FILE")]
        overlay: PathBuf,
        /// Where to write it, compressed with zstd
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say which data is in use
    Status {
        /// An operator's MMDB above the embedded one
        #[arg(long, value_name = "FILE")]
        database: Vec<PathBuf>,
    },
}

/// Runs a command on the network database.
pub(crate) fn run(command: &GeoCommand) -> Result<()> {
    let mut out = std::io::stdout();
    match command {
        GeoCommand::Build { asn, country, overlay, out: target } => {
            let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("read {}", path.display()));
            let text = String::from_utf8(read(overlay)?).with_context(|| format!("read {}", overlay.display()))?;
            let known = Overlay::parse(&text).with_context(|| format!("read {}", overlay.display()))?;
            let built = build_default(&read(asn)?, &read(country)?, &known).context("combine the databases")?;
            let packed = compress(&built).context("compress the database")?;
            std::fs::write(target, &packed).with_context(|| format!("write {}", target.display()))?;
            writeln!(out, "{}: {} bytes, {} uncompressed", target.display(), packed.len(), built.len())?;
        }
        GeoCommand::Status { database } => {
            let opened = Database::open(database).context("open the network database")?;
            writeln!(out, "{}", opened.snapshot().version())?;
        }
    }
    Ok(())
}
