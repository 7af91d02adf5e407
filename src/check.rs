//! `whopulls check`: every mistake in the configuration at once.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use whopulls_ingest::gateway::{check_files, check_routes};

use crate::configuration::ConfigArguments;
use crate::geo::unread;

/// Reads the configuration, compiles its routes, and says what it found.
pub(crate) fn check(arguments: &ConfigArguments) -> Result<()> {
    let Some(file) = arguments.file() else {
        bail!("no configuration file is named: give `--config FILE`; docs/whopulls.example.toml is one to begin with");
    };
    let config = arguments.read()?;
    check_routes(&config).with_context(|| format!("read the routes of {}", file.display()))?;
    check_files(&config).with_context(|| format!("read the files that {} names", file.display()))?;
    let listeners = config.gateway.iter().flat_map(|gateway| gateway.listen.into_iter().chain(gateway.tls_listen));
    let gateway = listeners.map(|address| address.to_string()).collect::<Vec<_>>().join(" and ");
    let gateway = if gateway.is_empty() { "none" } else { &gateway };
    let source = config.kafka.as_ref().map_or("the spool", |_| "Kafka");
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{}: right. Gateway: {gateway}; routes: {}; the worker reads {source}; questions: {}",
        file.display(),
        config.routes.len(),
        config.serve.listen
    )?;
    for file in unread(&config) {
        let file = file.display();
        writeln!(out, "  [[geo.source]] keeps {file}, and nobody reads it: `enrich.geo_databases` does not name it")?;
    }
    Ok(())
}
