//! Tests: a spool whose disk does not answer costs time, never a download.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::Config;

use super::super::RECORD_WAIT;
use super::Gateway;
use crate::io::clock;
use crate::metrics::{LostLabels, Metrics};
use crate::spool::{Spool, SpoolOptions};

/// An answer that takes this long has hung.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    spool: Spool,
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Running {
    /// One thread, so that all requests meet the same recorder.
    fn start(options: impl FnOnce(SpoolOptions) -> SpoolOptions) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let text = "data = \"d\"\n[gateway]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n[[route]]\nid = \"f\"\nkind = \"file\"\n\
                    match = \"/f/{package}\"\nto = \"https://example.org/{package}\"\n";
        let mut config = Config::parse("test", text, &[]).expect("the configuration is good");
        config.data = Some(dir.path().join("data"));
        let (spool, _) = Spool::open(options(SpoolOptions::new(dir.path()))).expect("the spool opens");
        let metrics = Metrics::register(&mut Registry::default());
        let gateway = Gateway::bind(&config, spool.clone(), metrics.clone()).expect("the gateway listens");
        let address = gateway.local_addr();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { gateway.run(stopped).await.expect("the gateway runs well") });
        Self { address, spool, metrics, stop, task, _dir: dir }
    }

    /// One request on a connection of its own; the library answers one with a query.
    async fn ask(&self, path: &str) {
        ask(self.address, path).await;
    }

    fn lost(&self, reason: &'static str) -> u64 {
        self.metrics.lost.get_or_create_owned(&LostLabels { reason }).get()
    }

    fn records(&self) -> usize {
        let mut reader = self.spool.reader("test").expect("the reader opens");
        reader.read(usize::MAX, usize::MAX).expect("nothing is damaged").len()
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("in time").expect("no panic");
    }
}

async fn ask(address: SocketAddr, path: &str) {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the request is sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 302");
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the download hung with the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_the_first_answers_for_a_while_and_the_next_ones_hardly() {
    let gateway = Running::start(|options| options);
    gateway.ask("/f/before").await;
    assert_eq!(gateway.metrics.recorded.get(), 1);
    let hanging = gateway.spool.hang();
    let begun: Instant = clock::monotonic();
    let first: Vec<_> =
        (0..8).map(|i| tokio::spawn(ask(gateway.address, if i % 2 == 0 { "/f/a" } else { "/f/a?q" }))).collect();
    for asked in first {
        asked.await.expect("every download is answered");
    }
    assert!(begun.elapsed() >= RECORD_WAIT, "answered without its record after {:?}", begun.elapsed());
    let begun = clock::monotonic();
    for _ in 0..20 {
        gateway.ask("/f/b").await;
    }
    assert!(begun.elapsed() < RECORD_WAIT * 10, "twenty downloads took {:?}", begun.elapsed());
    assert_eq!((gateway.lost("late"), gateway.metrics.recorded.get()), (28, 1));
    drop(hanging);
    gateway.ask("/f/after").await;
    assert_eq!((gateway.lost("late"), gateway.metrics.recorded.get()), (28, 2));
    // What was late is written all the same.
    assert_eq!(gateway.records(), 30);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_in_the_queue_is_counted_and_its_download_answered_at_once() {
    let gateway = Running::start(|options| SpoolOptions { queue_records_max: 2, ..options });
    let hanging = gateway.spool.hang();
    for _ in 0..12 {
        gateway.ask("/f/a").await;
    }
    let (late, refused) = (gateway.lost("late"), gateway.lost("queue_full"));
    assert!(late >= 2 && refused >= 8, "{late} late, {refused} refused");
    assert_eq!(late + refused, 12);
    drop(hanging);
    gateway.stop().await;
}
