//! The gateway alone, for the edge: no query engine, no lake.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use whopulls_ingest::ConfigSource;
use whopulls_schemas::config::Config;

/// Answer downloads, keep a record of each, and send the records to Kafka.
#[derive(Debug, Parser)]
#[command(name = "whopulls-gateway", version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "whopulls.toml")]
    config: PathBuf,
    /// Log as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    start_log(arguments.json);
    let file = arguments.config.clone();
    let source = ConfigSource::new(Some(arguments.config), move || read(&file));
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping: requests under way may end");
        stop.cancel();
    });
    whopulls_ingest::run_gateway(source, shutdown).await
}

fn read(file: &Path) -> anyhow::Result<Config> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("read the configuration {name}"))?;
    let environment: Vec<(String, String)> =
        std::env::vars().filter(|(name, _)| name.starts_with("WHOPULLS_")).collect();
    Ok(Config::parse(&name, &text, &environment)?)
}

fn start_log(json: bool) {
    let filter = EnvFilter::try_from_env("WHOPULLS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Where nobody reads the log any more, saying so would panic, and a download would end with it.
    let log = log.log_internal_errors(false);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    if json { log.json().init() } else { log.init() }
}
