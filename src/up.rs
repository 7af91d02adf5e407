//! Every role in one process on one machine: the worker reads the spool, so there is no Kafka.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whopulls_enrich::worker::WorkerSummary;
use whopulls_ingest::{ConfigSource, GatewayRole};
use whopulls_schemas::config::{Config, GatewayConfig};

use crate::configuration::ConfigArguments;
use crate::dead_letters::DeadLetters;
use crate::question::open_engine;
use crate::role::{Worker, serve_config};
use crate::spool_source::SpoolSource;
use crate::{admin, shutdown};

/// How often a batch is written where the configuration does not say.
const FLUSH: Duration = Duration::from_secs(5);

/// The spool's reader that the worker is; what it has not committed is kept.
const READER: &str = "worker";

/// The roles of one machine, running.
pub(crate) struct Up {
    /// Where clients come in.
    pub(crate) gateway: SocketAddr,
    /// Where questions are answered.
    pub(crate) serve: SocketAddr,
    roles: Vec<(&'static str, JoinHandle<Result<()>>)>,
    worker: JoinHandle<Result<WorkerSummary>>,
    stop_gateway: CancellationToken,
    stop_worker: CancellationToken,
}

/// `whopulls up`.
pub(crate) async fn up(arguments: &ConfigArguments) -> Result<()> {
    let (config, data) = arguments.read_with_data()?;
    if config.kafka.is_some() {
        tracing::warn!("[kafka] is not used by `whopulls up`: the worker reads the spool");
    }
    if config.routes.is_empty() {
        tracing::warn!("there is no [[route]] in the configuration: every download is answered 404");
    }
    let stop = shutdown::on_signal()?;
    let up = Up::start(&on_one_machine(config), &data, Some(arguments.source(on_one_machine))).await?;
    tracing::info!(gateway = %up.gateway, page = %format!("http://{}/", up.serve), data = %data.display(), "up");
    up.run_until(stop).await
}

/// What one machine takes of a configuration, and what it adds.
fn on_one_machine(mut config: Config) -> Config {
    config.kafka = None;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    config.gateway.get_or_insert_with(|| GatewayConfig::on(loopback));
    config
}

impl Up {
    /// Starts every role. Returns when all of them listen. The gateway takes another configuration from `source` while it runs.
    pub(crate) async fn start(config: &Config, data: &Path, source: Option<ConfigSource>) -> Result<Self> {
        let gateway = GatewayRole::open(config).await?;
        let gateway = match source {
            Some(source) => gateway.reloading(source)?,
            None => gateway,
        };
        let topic = format!("spool-{}", gateway.spool().node());
        let reader = gateway.spool().reader(READER).context("open the worker's reader of the spool")?;
        let mut source = SpoolSource::of_spool(reader, topic.clone(), DeadLetters::of(data, &topic));
        let worker = Worker::open(config, FLUSH).await?;
        let engine = open_engine(config)?;
        let listen = config.serve.listen;
        let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        let serve = listener.local_addr().context("ask for the page's port")?;
        let (gateway_address, serve_config) = (gateway.local_addr(), serve_config(config));

        let (stop_gateway, stop_worker) = (CancellationToken::new(), CancellationToken::new());
        let mut registry = Registry::default();
        let metrics = worker.register(&mut registry);
        if let Some(address) = config.enrich.admin_listen {
            admin::start(address, registry, stop_worker.clone()).await?;
        }
        let stop = stop_worker.clone();
        let worker = tokio::spawn(async move { worker.run(&mut source, &metrics, stop).await });
        let gateway = tokio::spawn(gateway.run(stop_gateway.clone()));
        let stop = stop_gateway.clone();
        let serving = tokio::spawn(async move {
            whopulls_query::serve(serve_config, engine, listener, stop.cancelled_owned()).await?;
            Ok(())
        });
        let roles = vec![("gateway", gateway), ("serve", serving)];
        Ok(Self { gateway: gateway_address, serve, roles, worker, stop_gateway, stop_worker })
    }

    /// Runs until `stop` or until a role fails; then ends the roles in the order of the flow, so that what was recorded is
    /// in the lake.
    pub(crate) async fn run_until(mut self, stop: CancellationToken) -> Result<()> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = any_finished(&mut self) => tracing::error!("a role ended by itself; the others are stopped"),
        }
        self.stop_gateway.cancel();
        for (name, role) in self.roles {
            role.await.with_context(|| format!("run {name}"))?.with_context(|| format!("run {name}"))?;
        }
        self.stop_worker.cancel();
        let summary = self.worker.await.context("run the worker")?.context("run the worker")?;
        tracing::info!(
            events = summary.events,
            rejected = summary.rejected,
            "stopped; everything recorded is in the lake"
        );
        Ok(())
    }
}

async fn any_finished(up: &mut Up) {
    let finished = |up: &Up| up.worker.is_finished() || up.roles.iter().any(|(_, role)| role.is_finished());
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    while !finished(up) {
        ticks.tick().await;
    }
}
