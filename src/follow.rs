//! `whopulls follow`: ships the log of a server that is not ours as it grows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use whopulls_ingest::follow::{FollowMetrics, FollowOptions, follow as follow_log};
use whopulls_ingest::forward::{FORWARD_READER, Forwarder};
use whopulls_ingest::import::{ImportRules, LogFormat, Shape, expand};
use whopulls_ingest::metrics::Metrics;
use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_ingest::spool_options;
use whopulls_schemas::config::Config;

use crate::configuration::ConfigArguments;
use crate::dead_letters::DeadLetters;
use crate::import::letter;
use crate::role::Worker;
use crate::spool_source::SpoolSource;
use crate::{admin, shutdown};

/// How often a batch is written where the configuration does not say.
const FLUSH: Duration = Duration::from_secs(5);

/// The spool's reader that the worker is.
const READER: &str = "worker";

/// Ship the access log of another server, line by line as it grows, also when it is rotated
#[derive(Debug, Args)]
pub(crate) struct FollowArguments {
    /// The shape of the lines, as for `import`; without it, it is seen from the first lines of each log
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The shape of the lines as nginx's configuration says it
    #[arg(long, value_name = "LOG_FORMAT")]
    log_format: Option<String>,
    /// What of a path is the package, and what the version, as for `import`
    #[arg(long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// Begin a log that was never followed at its end
    #[arg(long)]
    from_end: bool,
    /// The logs; one that is not there yet is waited for
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// `whopulls follow`. With Kafka in the configuration the records go there, else a worker in this process puts them into the table.
pub(crate) async fn follow(arguments: &ConfigArguments, follow: &FollowArguments) -> Result<()> {
    let (config, data) = arguments.read_with_data()?;
    let shape = Shape::parse(follow.format.as_deref(), follow.log_format.as_deref()).context("read the format")?;
    let is_log = !matches!(shape, Shape::Known(LogFormat::Scarf | LogFormat::Docker));
    ensure!(is_log, "{shape} is an export and no log that grows: `whopulls import` reads it");
    let rules = ImportRules::new(shape, &follow.paths).map_err(|(path, error)| anyhow!("--path {path}: {error}"))?;
    let files = expand(&follow.files).context("find the logs")?;
    let files: Result<Vec<_>> = files
        .iter()
        .map(|file| std::path::absolute(file).with_context(|| format!("find {}", file.display())))
        .collect();
    let folder = data.join("follow");
    fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let options = FollowOptions { rules, cursors: folder.clone(), from_end: follow.from_end };
    let mut registry = Registry::default();
    let metrics = FollowMetrics::register(&mut registry);
    let spool_at = SpoolOptions { dir: folder.join("spool"), ..spool_options(&config)? };
    let (spool, _) = Spool::open(spool_at).context("open the spool")?;
    let stop = shutdown::on_signal()?;
    let after = CancellationToken::new();
    let passing = pass_on(&config, &data, &spool, registry, after.clone()).await?;

    let mut logs = JoinSet::new();
    for file in files? {
        let (options, spool, metrics, stop) = (options.clone(), spool.clone(), metrics.clone(), stop.clone());
        let data = data.clone();
        logs.spawn_blocking(move || {
            let refused = |node: &str, line: whopulls_ingest::import::RejectedLine| {
                let letters = DeadLetters::of(&data, node);
                if let Err(error) = letters.keep(&[letter(node, &line)]) {
                    let path = letters.path().display();
                    tracing::error!(%error, %path, line = line.line, "a refused line is lost: the dead letters cannot be written");
                }
            };
            follow_log(&file, options, &spool, &metrics, refused, &stop)
        });
    }
    let mut failed = Ok(());
    while let Some(ended) = logs.join_next().await {
        let ended = ended.context("follow a log")?.context("follow a log");
        if let Err(error) = ended {
            // The others are ended too: what runs on without one of its logs is noticed by nobody.
            stop.cancel();
            failed = failed.and(Err(error));
        }
    }
    after.cancel();
    passing.await.context("pass the records on")?.context("pass the records on")?;
    tokio::task::spawn_blocking(move || drop(spool)).await.context("close the spool")?;
    failed
}

/// Passes the spool on until `stop`: to Kafka, or into the table.
async fn pass_on(
    config: &Config,
    data: &Path,
    spool: &Spool,
    mut registry: Registry,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<Result<()>>> {
    let listen = config.enrich.admin_listen;
    if let Some(kafka) = &config.kafka {
        let reader = spool.reader(FORWARD_READER).context("open the forwarder's reader")?;
        let forwarder = Forwarder::new(reader, kafka.clone(), Metrics::register(&mut registry));
        let forwarder = forwarder.context("start the forwarder")?;
        if let Some(address) = listen {
            admin::start(address, registry, stop.clone()).await?;
        }
        return Ok(tokio::spawn(async move {
            forwarder.run(stop).await;
            Ok(())
        }));
    }
    let topic = format!("spool-{}", spool.node());
    let reader = spool.reader(READER).context("open the worker's reader of the spool")?;
    let mut source = SpoolSource::of_spool(reader, topic.clone(), DeadLetters::of(data, &topic));
    let worker = Worker::open(config, FLUSH).await?;
    let metrics = worker.register(&mut registry);
    if let Some(address) = listen {
        admin::start(address, registry, stop.clone()).await?;
    }
    Ok(tokio::spawn(async move { worker.run(&mut source, &metrics, stop).await.map(drop) }))
}
