//! The roles of a cluster, each a process of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use whopulls_enrich::Enricher;
use whopulls_enrich::geo::{self, Database};
use whopulls_enrich::io::kafka::KafkaSource;
use whopulls_enrich::lake::Lake;
use whopulls_enrich::overrides::{self, OverridesFile};
use whopulls_enrich::reverse::{ReverseNames, ReverseOptions};
use whopulls_enrich::worker::source::Source;
use whopulls_enrich::worker::{FlushLimits, WorkerConfig, WorkerMetrics, WorkerSummary, run_worker};
use whopulls_ingest::run_gateway;
use whopulls_query::ServeConfig;
use whopulls_schemas::config::Config;

use crate::configuration::{ConfigArguments, lake_location};
use crate::endpoint_key::endpoint_key;
use crate::question::open_engine;
use crate::{admin, shutdown};

/// How often the files of the network database and the overrides are looked at.
const FILES_POLL: Duration = Duration::from_secs(10);

/// `whopulls gateway`.
pub(crate) async fn gateway(arguments: &ConfigArguments) -> Result<()> {
    run_gateway(arguments.source(|config| config), shutdown::on_signal()?).await
}

/// `whopulls enrich`: reads Kafka.
pub(crate) async fn enrich(arguments: &ConfigArguments) -> Result<()> {
    let config = arguments.read()?;
    let Some(kafka) = &config.kafka else {
        bail!(
            "there is no [kafka] in the configuration: `whopulls enrich` reads Kafka; on one machine run `whopulls up`"
        );
    };
    let stop = shutdown::on_signal()?;
    let worker = Worker::open(&config, Duration::from_secs(30)).await?;
    let mut source = KafkaSource::connect(kafka).context("open the Kafka consumer")?;
    let mut registry = Registry::default();
    let metrics = worker.register(&mut registry);
    if let Some(address) = config.enrich.admin_listen {
        admin::start(address, registry, stop.clone()).await?;
    }
    tracing::info!(lake = worker.lake.url(), topic = kafka.topic, "worker started");
    worker.run(&mut source, &metrics, stop).await?;
    tracing::info!("worker stopped");
    Ok(())
}

/// `whopulls serve`.
pub(crate) async fn serve(arguments: &ConfigArguments) -> Result<()> {
    let config = arguments.read()?;
    let engine = open_engine(&config)?;
    let listen = config.serve.listen;
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    tracing::info!(addr = %listener.local_addr().context("ask for the port")?, "answering");
    whopulls_query::serve(serve_config(&config), engine, listener, shutdown::on_signal()?.cancelled_owned()).await?;
    Ok(())
}

/// What the configuration says about who may ask.
pub(crate) fn serve_config(config: &Config) -> ServeConfig {
    ServeConfig { insecure_listen: config.serve.insecure_listen, hosts: config.serve.hosts.clone() }
}

/// A worker with its lake and its data, before it knows its source.
pub(crate) struct Worker {
    pub(crate) lake: Lake,
    enricher: Enricher,
    names: Option<Arc<ReverseNames>>,
    database: Arc<Database>,
    overrides: Arc<OverridesFile>,
    flush: FlushLimits,
}

impl Worker {
    /// Opens the lake, making it where there is none, and the network database.
    pub(crate) async fn open(config: &Config, flush_default: Duration) -> Result<Self> {
        let key = endpoint_key(config)?;
        let database = open_database(config).await?;
        let overrides = open_overrides(config)?;
        let location = lake_location(config)?;
        let lake = Lake::open_or_create(&location, &config.lake.options)
            .await
            .with_context(|| format!("open the lake {location}"))?;
        let names = open_names(config, &database, &overrides)?;
        let enricher = Enricher::new(Arc::clone(&database), key, config.enrich.ip_mode)
            .with_rotation(config.enrich.endpoint_key_rotation)
            .with_overrides(Arc::clone(&overrides))
            .with_names(names.clone());
        let flush = FlushLimits {
            rows_max: config.enrich.flush_rows,
            age_max: config.enrich.flush_s.map_or(flush_default, Duration::from_secs),
            ..FlushLimits::default()
        };
        Ok(Self { lake, enricher, names, database, overrides, flush })
    }

    /// Registers what the worker counts.
    pub(crate) fn register(&self, registry: &mut Registry) -> WorkerMetrics {
        if let Some(names) = &self.names {
            names.metrics().register(registry);
        }
        WorkerMetrics::register(registry)
    }

    /// Reads the source into the lake until `stop`, or until the source has ended.
    pub(crate) async fn run<S: Source>(
        mut self,
        source: &mut S,
        metrics: &WorkerMetrics,
        stop: CancellationToken,
    ) -> Result<WorkerSummary> {
        let config = WorkerConfig { flush: self.flush, names: self.names, ..WorkerConfig::default() };
        let enricher = &self.enricher;
        let enrich = |raw: &_| enricher.enrich(raw);
        let work = run_worker(config, source, &mut self.lake, &enrich, metrics, stop);
        tokio::select! {
            ended = work => Ok(ended?),
            never = geo::watch(self.database, FILES_POLL) => match never {},
            never = overrides::watch(self.overrides, FILES_POLL) => match never {},
        }
    }
}

/// The network database that the configuration names. Reading it takes a moment.
pub(crate) async fn open_database(config: &Config) -> Result<Arc<Database>> {
    let files = config.enrich.geo_databases.clone();
    let opened = tokio::task::spawn_blocking(move || Database::open(&files)).await;
    Ok(Arc::new(opened.context("open the network database")?.context("open the network database")?))
}

/// The overrides that the configuration names; none where it names no file.
pub(crate) fn open_overrides(config: &Config) -> Result<Arc<OverridesFile>> {
    let file = config.enrich.overrides_file.as_deref();
    Ok(Arc::new(OverridesFile::open(file).context("open the overrides")?))
}

/// Who is asked for the names of addresses; nobody where the configuration does not say so.
pub(crate) fn open_names(
    config: &Config,
    database: &Arc<Database>,
    overrides: &Arc<OverridesFile>,
) -> Result<Option<Arc<ReverseNames>>> {
    let Some(wanted) = &config.enrich.reverse_dns else { return Ok(None) };
    let options = ReverseOptions {
        servers: wanted.servers.clone(),
        per_second: wanted.per_second,
        wait_max: Duration::from_millis(wanted.wait_ms),
    };
    let names = ReverseNames::new(Arc::clone(database), Arc::clone(overrides), &options).context("open reverse DNS")?;
    Ok(Some(Arc::new(names)))
}
