//! The gateway role: spool, gateway, forwarder and the operators' listener, wired from one configuration.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::{Config, WhenFull};

use crate::forward::{FORWARD_READER, Forwarder};
use crate::gateway::{CertificateReloader, Gateway};
use crate::io::{Admin, ConfigSource, Reloader};
use crate::metrics::Metrics;
use crate::spool::{self, Recovery, Spool, SpoolOptions};

/// A role that has everything it needs and listens.
#[derive(Debug)]
pub struct GatewayRole {
    spool: Spool,
    recovery: Recovery,
    gateway: Gateway,
    admin: Option<Admin>,
    forwarder: Option<Forwarder>,
    metrics: Metrics,
    draining: CancellationToken,
    config: Box<Config>,
    reloader: Option<Box<Reloader>>,
}

/// What the configuration says about the spool.
///
/// # Errors
/// It names no place for it.
pub fn spool_options(config: &Config) -> anyhow::Result<SpoolOptions> {
    let dir = config.spool_dir().context("the spool has no place: set `data` or `spool.dir`")?;
    let spool = &config.spool;
    Ok(SpoolOptions {
        segment_bytes: spool.segment_bytes,
        max_bytes: spool.bytes_max,
        max_age: Duration::from_secs(spool.age_max_h.saturating_mul(3600)),
        fsync_every: Duration::from_millis(spool.fsync_every_ms),
        when_full: match spool.when_full {
            WhenFull::StopRecording => spool::WhenFull::StopRecording,
            WhenFull::DropOldest => spool::WhenFull::DropOldest,
        },
        ..SpoolOptions::new(dir)
    })
}

impl GatewayRole {
    /// Opens the spool, compiles the routes, listens. Nothing is answered before [`GatewayRole::run`].
    ///
    /// # Errors
    /// The spool cannot be opened, a route is wrong, an address is taken, or librdkafka refuses the configuration.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let gateway = config.gateway.as_ref().context("there is no [gateway] in the configuration")?;
        let (spool, recovery) = Spool::open(spool_options(config)?).context("open the spool")?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let forwarder = match &config.kafka {
            Some(kafka) => {
                let reader = spool.reader(FORWARD_READER).context("open the forwarder's reader")?;
                let forwarder = Forwarder::new(reader, kafka.clone(), metrics.clone());
                Some(forwarder.context("start the forwarder")?)
            }
            None => None,
        };
        let bound = Gateway::bind(config, spool.clone(), metrics.clone());
        let bound = bound.context("start the gateway")?;
        let draining = CancellationToken::new();
        let admin = match gateway.admin_listen {
            Some(address) => {
                let lag_of = forwarder.is_some().then_some(FORWARD_READER);
                let draining = draining.clone();
                Some(Admin::bind(address, registry, metrics.clone(), spool.clone(), lag_of, draining).await?)
            }
            None => None,
        };
        let config = Box::new(config.clone());
        Ok(Self { spool, recovery, gateway: bound, admin, forwarder, metrics, draining, config, reloader: None })
    }

    /// The role, which takes another configuration at SIGHUP and when the file changes.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub fn reloading(mut self, source: ConfigSource) -> anyhow::Result<Self> {
        let reloads = self.metrics.reloads.clone();
        self.reloader = Some(Box::new(Reloader::new(source, *self.config.clone(), self.gateway.switch(), reloads)?));
        Ok(self)
    }

    /// The spool, for a worker in the same process.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// What opening the spool found.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Where clients come in: without TLS if that is configured, else with it.
    pub fn local_addr(&self) -> SocketAddr {
        self.gateway.local_addr()
    }

    /// Where clients come in with TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.gateway.tls_addr()
    }

    /// For reloads of the configuration: reads the certificates again.
    pub fn certificates(&self) -> CertificateReloader {
        self.gateway.certificates()
    }

    /// Where health and metrics are answered.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::local_addr)
    }

    /// The role's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers until `shutdown`; then lets requests end, and after them the forwarder send what it can.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { spool, gateway, admin, forwarder, draining, reloader, .. } = self;
        let (stop_forward, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let admin = admin.map(|admin| tokio::spawn(admin.run(stop_admin.clone())));
        let forwarding = forwarder.map(|f| forward_apart(f, stop_forward.clone())).transpose()?;
        let _reloading = reloader.map(|reloader| tokio::spawn(reloader.run(shutdown.clone())));
        let mut serving = std::pin::pin!(gateway.run(shutdown.clone()));
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = shutdown.cancelled() => {
                draining.cancel();
                serving.await
            }
        };
        stop_forward.cancel();
        if let Some(ended) = forwarding {
            ended.await.context("the forwarder's thread ended early")?;
        }
        stop_admin.cancel();
        if let Some(admin) = admin {
            admin.await.context("end the listener for health and metrics")?;
        }
        // The last handle syncs what is written, which blocks.
        tokio::task::spawn_blocking(move || drop(spool)).await.context("close the spool")?;
        served.context("serve the gateway")
    }
}

/// The forwarder writes its cursor with syncs: it has a thread of its own, so that no request waits behind them.
fn forward_apart(forwarder: Forwarder, stop: CancellationToken) -> anyhow::Result<tokio::sync::oneshot::Receiver<()>> {
    let (done, ended) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the forwarder's runtime")?;
    let body = move || {
        runtime.block_on(forwarder.run(stop));
        if done.send(()).is_err() {
            tracing::debug!("nobody waited for the forwarder's end");
        }
    };
    std::thread::Builder::new().name("forward".into()).spawn(body).context("start the forwarder's thread")?;
    Ok(ended)
}

/// Reads the configuration, opens the role, says where it listens, and runs it; takes a changed configuration while running.
///
/// # Errors
/// The configuration has mistakes. As of [`GatewayRole::open`] and [`GatewayRole::run`].
pub async fn run_gateway(source: ConfigSource, shutdown: CancellationToken) -> anyhow::Result<()> {
    let role = GatewayRole::open(&source.read()?).await?.reloading(source)?;
    let Recovery { segments, torn_bytes, .. } = role.recovery();
    tracing::info!(node = role.spool().node(), segments, torn_bytes, "spool open");
    tracing::info!(addr = %role.local_addr(), "gateway listening");
    if let Some(addr) = role.tls_addr() {
        tracing::info!(%addr, "gateway listening with TLS");
    }
    if let Some(addr) = role.admin_addr() {
        tracing::info!(%addr, "health and metrics listening");
    }
    // Boxed: it holds the role whole, and callers need not carry that.
    Box::pin(role.run(shutdown)).await?;
    tracing::info!("gateway stopped");
    Ok(())
}
