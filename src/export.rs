//! `whopulls export`: the events as another product would give them.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use whopulls_query::{Export, ExportError, ExportQuery, export as write_export};

use crate::configuration::ConfigArguments;
use crate::question::{open_engine, thousands, told};

/// Rows of one question: it asks for parts of some 100,000. The bytes of an answer are bounded besides.
const ROWS_MAX: usize = 10_000_000;

/// Whose shape the export has.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    /// Scarf's export of events, CSV of 24 columns
    Scarf,
    /// Docker's tracked companies report, CSV of 13 columns: what was imported of it
    Docker,
}

/// Write events in the shape of another product's export.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The shape
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// Of this package or image alone
    #[arg(long)]
    package: Option<String>,
    /// The first UTC day, as 2026-11-24
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last UTC day, included
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Where to; without it, standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `whopulls export`.
pub(crate) async fn export(arguments: &ConfigArguments, export: &ExportArguments) -> Result<()> {
    let mut config = arguments.read()?;
    config.serve.rows_max = ROWS_MAX;
    let engine = open_engine(&config)?;
    let query = ExportQuery { from: export.from.clone(), to: export.to.clone(), package: export.package.clone() };
    let what = match export.format {
        ExportFormat::Scarf => Export::Scarf,
        ExportFormat::Docker => Export::Docker,
    };
    let Some(path) = &export.out else {
        let mut out = io::stdout().lock();
        write_export(&engine, what, &query, |text| out.write_all(text.as_bytes())).await.map_err(explained)?;
        return Ok(());
    };
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    let mut out = BufWriter::new(file);
    let rows = write_export(&engine, what, &query, |text| out.write_all(text.as_bytes())).await.map_err(explained)?;
    out.flush().and_then(|()| out.get_ref().sync_all()).with_context(|| format!("write {}", path.display()))?;
    writeln!(io::stdout(), "{}: {} rows", path.display(), thousands(rows))?;
    Ok(())
}

fn explained(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Query(error) => told(error),
        error @ (ExportError::Cut { .. } | ExportError::Write(_)) => error.into(),
    }
}
