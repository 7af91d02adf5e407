//! `whopulls check`: every mistake in the configuration at once.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use whopulls_ingest::gateway::check_routes;

use crate::configuration::ConfigArguments;

/// Reads the configuration, compiles its routes, and says what it found.
pub(crate) fn check(arguments: &ConfigArguments) -> Result<()> {
    let Some(file) = arguments.file() else {
        bail!("no configuration file is named: give `--config FILE`; docs/whopulls.example.toml is one to begin with");
    };
    let config = arguments.read()?;
    check_routes(&config.routes).with_context(|| format!("read the routes of {}", file.display()))?;
    let gateway = config.gateway.as_ref().map_or_else(|| "none".to_owned(), |gateway| gateway.listen.to_string());
    let source = config.kafka.as_ref().map_or("the spool", |_| "Kafka");
    writeln!(
        std::io::stdout(),
        "{}: right. Gateway: {gateway}; routes: {}; the worker reads {source}; questions: {}",
        file.display(),
        config.routes.len(),
        config.serve.listen
    )?;
    Ok(())
}
