//! `whopulls geo`: the network database.

mod digest;
mod download;
mod hop;
mod install;
mod installed;
mod status;
mod unpack;
mod update;

pub(crate) use installed::unread;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use whopulls_enrich::geo::build::{build_default, compress, decompress};
use whopulls_enrich::geo::{Clouds, Overlay, check};

use crate::configuration::ConfigArguments;

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
        /// CSV of the networks that clouds publish: network,cloud,region; may be compressed with zstd
        #[arg(long, value_name = "FILE")]
        clouds: PathBuf,
        /// Where to write it, compressed with zstd
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check an overlay against the registry's names, and against labels where there are some
    OverlayCheck {
        /// CSV of known networks: asn,kind,organization,domain,basis
        #[arg(long, value_name = "FILE")]
        overlay: PathBuf,
        /// CSV of networks labelled by hand: asn,name,kind
        #[arg(long, value_name = "FILE")]
        labels: Option<PathBuf>,
    },
    /// Fetch the databases that `[[geo.source]]` names, where their providers have newer ones
    Update,
    /// Say which data is in use, how old it is and where it came from
    Status {
        /// An operator's MMDB above the embedded one; those of the configuration where none is named
        #[arg(long, value_name = "FILE")]
        database: Vec<PathBuf>,
    },
}

/// Runs a command on the network database.
pub(crate) async fn run(arguments: &ConfigArguments, command: &GeoCommand) -> Result<()> {
    let mut out = std::io::stdout();
    match command {
        GeoCommand::Build { asn, country, overlay, clouds, out: target } => {
            let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("read {}", path.display()));
            let known = read_overlay(overlay)?;
            let clouds = read_clouds(clouds)?;
            let built =
                build_default(&read(asn)?, &read(country)?, &known, &clouds).context("combine the databases")?;
            let packed = compress(&built).context("compress the database")?;
            std::fs::write(target, &packed).with_context(|| format!("write {}", target.display()))?;
            writeln!(out, "{}: {} bytes, {} uncompressed", target.display(), packed.len(), built.len())?;
        }
        GeoCommand::OverlayCheck { overlay, labels } => check_overlay(&mut out, overlay, labels.as_deref())?,
        GeoCommand::Update => update::update(arguments).await?,
        GeoCommand::Status { database } => status::status(arguments, database).await?,
    }
    Ok(())
}

fn read_overlay(path: &Path) -> Result<Overlay> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Overlay::parse(&text).with_context(|| format!("read {}", path.display()))
}

/// Says every mistake, how many lines there are of each kind, and how the attribution agrees with labels.
fn check_overlay(out: &mut impl std::io::Write, path: &Path, labels: Option<&Path>) -> Result<()> {
    let overlay = read_overlay(path)?;
    let names = check::embedded_names().context("open the network database")?;
    let mistakes = check::mistakes(&overlay, &names);
    for mistake in &mistakes {
        writeln!(out, "{mistake}")?;
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for row in overlay.rows() {
        *kinds.entry(row.kind.as_str()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    writeln!(out, "{}: {} networks: {}", path.display(), overlay.rows().len(), kinds.join(", "))?;
    if let Some(path) = labels {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        writeln!(out, "{:12} {:>16} {:>16}", "kind", "precision", "recall")?;
        let labels = check::labels(&text)
            .map_err(|line| anyhow::anyhow!("{} line {line}: a line is asn,name,kind", path.display()))?;
        for (kind, agreement) in check::agreement(&overlay, labels.into_iter()) {
            let of = |share: f64, of: u32| format!("{share:.3} {}/{of}", agreement.right);
            let (precision, recall) =
                (of(agreement.precision(), agreement.said), of(agreement.recall(), agreement.labelled));
            writeln!(out, "{kind:12} {precision:>16} {recall:>16}")?;
        }
    }
    anyhow::ensure!(mistakes.is_empty(), "{} mistakes in {}", mistakes.len(), path.display());
    Ok(())
}

fn read_clouds(path: &Path) -> Result<Clouds> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let bytes = match path.extension() {
        Some(extension) if extension == "zst" => {
            decompress(&bytes).with_context(|| format!("decompress {}", path.display()))?
        }
        _ => bytes,
    };
    let text = String::from_utf8(bytes).with_context(|| format!("read {}", path.display()))?;
    Clouds::parse(&text).with_context(|| format!("read {}", path.display()))
}
