//! The gateway's threads: each has its own listener and event loop, and keeps the connections that it accepted.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::{CacheConfig, Config};
use whopulls_schemas::raw::Outcome;

use super::super::access::Sent;
use super::super::routes::RouteError;
use super::connection::serve;
use super::doors::{Door, open_doors};
use super::live::{Live, LiveSwitch};
use super::recorder::{Complaints, Recorder};
use super::stamps::{Date, Ids};
use super::store::Store;
use super::tls::{Accepted, Acceptor, CertificateReloader, Challenges, Tls, TlsError};
use crate::metrics::{Counters, Metrics};
use crate::spool::Spool;

/// After a failed `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The gateway cannot start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Rules that cannot be compiled, all of them.
    #[error("{} of the routes cannot be used:{}", .0.len(), lines(.0))]
    Routes(Vec<RouteError>),
    /// The configuration names no address.
    #[error("there is neither `gateway.listen` nor `gateway.tls_listen` in the configuration")]
    NoListener,
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No certificate that can be used, or the like.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No TLS roots, or the like.
    #[error("make the client for upstream registries")]
    Client(#[source] reqwest::Error),
    /// A certificate or password of an upstream.
    #[error("read {} for an upstream", path.display())]
    UpstreamFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key of the gateway's own tokens.
    #[error("read or make the key {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cache's folder cannot be used.
    #[error("open the cache in {}", .dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread or no event loop.
    #[error("start a thread of the gateway")]
    Thread(#[source] io::Error),
    /// A thread ended while it was wanted.
    #[error("a thread of the gateway ended by a panic; its connections are lost")]
    Ended,
}

fn lines(errors: &[RouteError]) -> String {
    errors.iter().fold(String::new(), |text, error| text + &format!("\n  {error}: {}", error.source))
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    /// The listeners of each thread: one for each address.
    threads: Vec<Vec<Door>>,
    address: SocketAddr,
    tls: Option<SocketAddr>,
    certificates: Tls,
    common: Common,
}

/// What the threads share.
#[derive(Debug, Clone)]
struct Common {
    live: Arc<ArcSwap<Live>>,
    spool: Spool,
    metrics: Metrics,
    complaints: Arc<Complaints>,
    challenges: Option<Arc<Challenges>>,
    acceptor: Acceptor,
    /// One for each connection that may be served at once, over all threads.
    permits: Arc<Semaphore>,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) recorder: Recorder,
    pub(super) ids: Ids,
    pub(super) date: Date,
    pub(super) metrics: Metrics,
    pub(super) challenges: Option<Arc<Challenges>>,
    acceptor: Acceptor,
    counters: Counters,
    permits: Arc<Semaphore>,
    /// Cancelled when the gateway is told to stop.
    ending: CancellationToken,
}

impl Worker {
    fn new(common: Common, ending: CancellationToken) -> Self {
        let Common { live, spool, metrics, complaints, challenges, acceptor, permits } = common;
        let counters = Counters::new(&metrics);
        let recorder = Recorder::new(spool, metrics.clone(), complaints);
        let (ids, date) = (Ids::default(), Date::default());
        Self { live, recorder, ids, date, metrics, challenges, acceptor, counters, permits, ending }
    }

    /// Counts an answered request.
    pub(super) fn count(&self, route: Option<&str>, outcome: Option<Outcome>, sent: Sent, duration: Duration) {
        self.counters.count(route, outcome, sent.status, sent.bytes);
        self.metrics.duration.observe(duration.as_secs_f64());
    }

    /// Whether the gateway was told to stop.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }
}

impl Gateway {
    /// Compiles the routes and listens.
    ///
    /// # Errors
    /// A route is wrong or the address is taken.
    pub fn bind(config: &Config, spool: Spool, metrics: Metrics) -> Result<Self, GatewayError> {
        let gateway = config.gateway.as_ref().ok_or(GatewayError::NoListener)?;
        let dir = config.cache_dir();
        let CacheConfig { bytes_max, item_bytes_max, .. } = config.cache;
        let store = Store::open(dir.as_deref(), bytes_max, item_bytes_max, metrics.cache.clone());
        let store = store.map_err(|source| GatewayError::Cache { dir: dir.unwrap_or_default(), source })?;
        let live = Live::new(config, gateway, Arc::new(store), &metrics)?;
        let certificates = Tls::open(config, &metrics.connection)?;
        let count = gateway.threads.unwrap_or_else(cores);
        let mut threads: Vec<Vec<Door>> = (0..count).map(|_| Vec::new()).collect();
        let plain = open_doors(&mut threads, gateway.listen, false)?;
        let tls = open_doors(&mut threads, gateway.tls_listen, true)?;
        let common = Common {
            live: Arc::new(ArcSwap::from_pointee(live)),
            spool,
            challenges: certificates.challenges(),
            acceptor: certificates.acceptor(),
            metrics,
            complaints: Arc::default(),
            permits: Arc::new(Semaphore::new(gateway.connections_max)),
        };
        let address = plain.or(tls).ok_or(GatewayError::NoListener)?;
        Ok(Self { threads, address, tls, certificates, common })
    }

    /// The address, with the port that was chosen for port 0: the one without TLS, if there is one.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address with TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls
    }

    /// For reloads of the configuration.
    pub fn certificates(&self) -> CertificateReloader {
        self.certificates.reloader()
    }

    /// With which a reload puts other rules and certificates in place.
    pub(crate) fn switch(&self) -> LiveSwitch {
        LiveSwitch::new(Arc::clone(&self.common.live), self.certificates(), self.common.metrics.clone())
    }

    /// Answers until `shutdown` and for `gateway.drain_delay_s` after it, then lets requests under way end within
    /// `gateway.drain_timeout_s`.
    ///
    /// # Errors
    /// A thread cannot be started, or one ended before `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), GatewayError> {
        let Self { threads, common, certificates, .. } = self;
        let drained = CancellationToken::new();
        tokio::spawn(certificates.run(drained.clone()));
        let _ends_the_threads = drained.clone().drop_guard();
        let closing = CancellationToken::new();
        let _closes_the_doors = closing.clone().drop_guard();
        let started = threads.into_iter().map(|doors| {
            let worker = Worker::new(common.clone(), shutdown.clone());
            start(worker, doors, closing.clone(), drained.clone()).map_err(GatewayError::Thread)
        });
        let ends: Vec<oneshot::Receiver<()>> = started.collect::<Result<_, _>>()?;
        let mut ended = futures::future::try_join_all(ends);
        tokio::select! {
            () = shutdown.cancelled() => {}
            ended = &mut ended => return ended.map(drop).map_err(|_panic| GatewayError::Ended),
        }
        let config = Arc::clone(&common.live.load()).config.clone();
        tokio::time::sleep(Duration::from_secs(config.drain_delay_s)).await;
        closing.cancel();
        let all = u32::try_from(config.connections_max).unwrap_or(u32::MAX);
        let waited =
            tokio::time::timeout(Duration::from_secs(config.drain_timeout_s), common.permits.acquire_many(all));
        if waited.await.is_err() {
            tracing::warn!(seconds = config.drain_timeout_s, "requests were still under way when the drain ended");
        }
        drained.cancel();
        ended.await.map(drop).map_err(|_panic| GatewayError::Ended)
    }
}

/// What the process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Starts a thread that accepts until `shutdown`, and then keeps its event loop until `drained`: an upstream connection that was made on it may
/// serve a request of another thread.
fn start(
    worker: Worker,
    doors: Vec<Door>,
    shutdown: CancellationToken,
    drained: CancellationToken,
) -> io::Result<oneshot::Receiver<()>> {
    let worker = Arc::new(worker);
    // Not a hold on it: the worker keeps a waker, which keeps the event loop, which keeps this.
    let parked = Arc::downgrade(&worker);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || {
            if let Some(worker) = parked.upgrade() {
                worker.recorder.hand_over();
            }
        })
        .build()?;
    let (done, ended) = oneshot::channel();
    let body = move || {
        runtime.block_on(async move {
            let keeping = Arc::clone(&worker);
            tokio::spawn(async move { keeping.recorder.run_keeper().await });
            let accepting = doors.into_iter().map(|door| accept_all(&worker, door, &shutdown));
            futures::future::join_all(accepting).await;
            drained.cancelled().await;
        });
        // Not waiting for a name that is still being looked up. With the tasks goes their hold on the spool.
        runtime.shutdown_background();
        if done.send(()).is_err() {
            tracing::debug!("nobody waited for the end of a gateway's thread");
        }
    };
    thread::Builder::new().name("gateway".into()).spawn(body)?;
    Ok(ended)
}

async fn accept_all(worker: &Arc<Worker>, door: Door, shutdown: &CancellationToken) {
    let tls = door.tls;
    let listener = match tokio::net::TcpListener::from_std(door.listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a thread of the gateway cannot listen"),
    };
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accept(&listener, &worker.permits) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let (worker, shutdown) = (Arc::clone(worker), shutdown.clone());
                tokio::spawn(async move {
                    let connections = worker.metrics.connections.clone();
                    connections.inc();
                    worker.metrics.connection.accepted.inc();
                    begin(worker, stream, peer, tls, shutdown).await;
                    connections.dec();
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What comes before HTTP, and then HTTP.
async fn begin(worker: Arc<Worker>, stream: TcpStream, peer: SocketAddr, tls: bool, shutdown: CancellationToken) {
    let live = worker.live.load_full();
    match worker.acceptor.accept(stream, peer, tls, &live.config).await {
        Ok(Accepted { io, peer, activity }) => {
            drop(live);
            serve(worker, io, peer, activity, shutdown).await;
        }
        Err(refusal) => {
            if let Some(reason) = refusal.reason() {
                worker.metrics.connection.end(reason);
            }
            tracing::debug!(
                error = &refusal as &dyn std::error::Error,
                "a connection was closed before its first request"
            );
        }
    }
}

/// The permit is taken after the connection: a thread without clients would else hold one that another thread's client waits for.
async fn accept(
    listener: &tokio::net::TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    Ok((stream, peer, permit))
}
