//! The Kafka source on a real broker, which `scripts/kafka` starts. Where it cannot be started the test fails.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whopulls_enrich::event::Enriched;
use whopulls_enrich::io::kafka::KafkaSource;
use whopulls_enrich::lake::{CommitRequest, Step};
use whopulls_enrich::worker::{FlushLimits, WorkerConfig, WorkerMetrics, WorkerSummary, run_worker};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::KafkaConfig;
use whopulls_schemas::raw::RawAccess;

use crate::support::{DAY, Folder, encoded, event, record};

/// How long anything may take before the test says that it does not happen.
const PATIENCE: Duration = Duration::from_mins(1);

struct Broker {
    script: PathBuf,
    data: tempfile::TempDir,
    address: String,
}

impl Broker {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka");
        let data = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        // The broker outlives the script and would hold its pipe: only the status is waited for.
        let started = Command::new(&script).arg("start").arg(data.path()).arg(port.to_string()).status();
        assert!(
            started.is_ok_and(|status| status.success()),
            "scripts/kafka start failed; what it needs is in its head"
        );
        Self { script, data, address: format!("127.0.0.1:{port}") }
    }

    fn config(&self, topic: &str) -> KafkaConfig {
        KafkaConfig {
            brokers: self.address.clone(),
            topic: topic.to_owned(),
            dead_topic: format!("{topic}.dead"),
            group: format!("{topic}-workers"),
            compression: "zstd",
            username: None,
            password: None,
            options: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.address).set("group.id", "looks-on").set("enable.auto.commit", "false");
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    async fn create(&self, topic: &str, partitions: i32) {
        let topics = [topic.to_owned(), format!("{topic}.dead")];
        let topics = topics.iter().map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)));
        let created = self.admin().create_topics(&topics.collect::<Vec<_>>(), &AdminOptions::new()).await;
        assert!(created.expect("the broker answers").iter().all(Result::is_ok));
    }

    async fn send(&self, topic: &str, partition: i32, payloads: impl IntoIterator<Item = Vec<u8>>) {
        let producer: FutureProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "2000000")
            .create()
            .expect("a producer");
        let payloads: Vec<_> = payloads.into_iter().collect();
        let records =
            payloads.iter().map(|payload| FutureRecord::<(), _>::to(topic).partition(partition).payload(payload));
        // Polled in order, so they are queued in order.
        let sent = try_join_all(records.map(|record| producer.send(record, Timeout::Never))).await;
        assert!(sent.is_ok(), "the broker takes all");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(Command::new(&self.script).arg("kill").arg(self.data.path()).status());
    }
}

/// A worker on its own thread of the runtime, until it is stopped.
struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<WorkerSummary>,
}

impl Running {
    async fn start<E>(config: KafkaConfig, folder: &Folder, rows_max: usize, enrich: E) -> Self
    where
        E: Fn(&RawAccess) -> Arc<Enriched> + Send + Sync + 'static,
    {
        let shutdown = CancellationToken::new();
        let mut lake = folder.lake().await;
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            let mut source = KafkaSource::connect(&config).expect("settings that librdkafka knows");
            let flush = FlushLimits { rows_max, age_max: Duration::from_millis(300), ..FlushLimits::default() };
            let config = WorkerConfig { flush, ..WorkerConfig::default() };
            let metrics = WorkerMetrics::default();
            run_worker(config, &mut source, &mut lake, &enrich, &metrics, stop).await.expect("a worker that goes on")
        });
        Self { shutdown, task }
    }

    async fn stop(self) -> WorkerSummary {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it stops").expect("it does not panic")
    }
}

fn plain(_: &RawAccess) -> Arc<Enriched> {
    Arc::default()
}

async fn wait_for_rows(folder: &Folder, count: usize) {
    let arrived = async {
        while folder.ids().await.len() < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, arrived).await;
    assert!(seen.is_ok(), "{} of {count} rows within {PATIENCE:?}", folder.ids().await.len());
}

fn payloads(node: &str, seqs: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    seqs.map(|seq| record(node, seq).encode()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_lake_holds_each_record_of_a_real_broker_once() {
    let broker = Broker::start();
    two_workers_share_and_hand_over(&broker).await;
    an_overtaken_worker_reads_on_from_the_table(&broker).await;
    a_worker_that_hung_and_was_replaced_is_refused(&broker).await;
    refused_records_are_in_the_dead_letter_topic(&broker).await;
    reading_goes_on_where_retention_left_the_log(&broker).await;
}

async fn two_workers_share_and_hand_over(broker: &Broker) {
    let (topic, folder) = ("shared", Folder::new());
    broker.create(topic, 3).await;
    let nodes = ["a", "bb", "ccc"];
    for (partition, node) in (0..).zip(nodes) {
        broker.send(topic, partition, payloads(node, 1..201)).await;
    }
    let first = Running::start(broker.config(topic), &folder, 50, plain).await;
    wait_for_rows(&folder, 100).await;
    let second = Running::start(broker.config(topic), &folder, 50, plain).await;
    wait_for_rows(&folder, 600).await;
    for (partition, node) in (0..).zip(nodes) {
        // The last ten again, as a forwarder does that lost its cursor, then new ones.
        broker.send(topic, partition, payloads(node, 191..301)).await;
    }
    wait_for_rows(&folder, 900).await;
    let left = first.stop().await;
    broker.send(topic, 1, payloads("bb", 301..351)).await;
    wait_for_rows(&folder, 950).await;
    let stayed = second.stop().await;
    assert_eq!(left.events + stayed.events, 950);
    let ids = folder.ids().await;
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 950, "no row twice");
    assert_eq!(ids.len(), 950);
    lag_is_visible(broker, topic);
}

/// The offsets in Kafka are the lake's positions: lag monitors see the truth.
fn lag_is_visible(broker: &Broker, topic: &str) {
    let config = broker.config(topic);
    let consumer: BaseConsumer = broker.client().set("group.id", &config.group).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 1);
    let noted = consumer.committed_offsets(list, PATIENCE).expect("the broker answers");
    assert_eq!(noted.elements()[0].offset(), Offset::Offset(200 + 110 + 50));
}

async fn an_overtaken_worker_reads_on_from_the_table(broker: &Broker) {
    let (topic, folder) = ("overtaken", Arc::new(Folder::new()));
    broker.create(topic, 1).await;
    broker.send(topic, 0, payloads("a", 1..101)).await;
    let overtaken = std::sync::Once::new();
    let (rival_folder, handle) = (Arc::clone(&folder), tokio::runtime::Handle::current());
    let enrich = move |_: &RawAccess| {
        overtaken.call_once(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| handle.block_on(rival_commits_forty(&rival_folder)));
            });
        });
        Arc::new(Enriched::default())
    };
    let worker = Running::start(broker.config(topic), &folder, 1000, enrich).await;
    wait_for_rows(&folder, 100).await;
    let summary = worker.stop().await;
    assert_eq!((summary.events, summary.commits_refused), (60, 1));
    assert_eq!(folder.seqs().await, (1..101).collect::<Vec<i64>>());
}

async fn rival_commits_forty(folder: &Folder) {
    let mut lake = folder.lake().await;
    let events: Vec<_> = (1..41).map(|seq| event("a", seq)).collect();
    let files = lake.write_files(&encoded(&events)).await.expect("files are written");
    let step = Step { base: None, next: 40, seqs: BTreeMap::from([("a".to_owned(), 40)]) };
    let steps = BTreeMap::from([(0, step)]);
    let request = CommitRequest { topic: "overtaken", steps: &steps, files: &files, now: UnixMicros(DAY) };
    lake.commit(request).await.expect("the rival wins");
}

/// The group gives the partition of a worker that does not poll to another one; when it wakes it holds a whole batch.
async fn a_worker_that_hung_and_was_replaced_is_refused(broker: &Broker) {
    let (topic, folder) = ("hung", Folder::new());
    broker.create(topic, 1).await;
    broker.send(topic, 0, payloads("a", 1..101)).await;
    let mut config = broker.config(topic);
    config.options.insert("max.poll.interval.ms".to_owned(), "6000".to_owned());
    let (has_read, reading) = mpsc::channel();
    let (wake, sleeping) = mpsc::channel::<()>();
    let once = Mutex::new(Some((has_read, sleeping)));
    let enrich = move |_: &RawAccess| {
        if let Some((has_read, sleeping)) = once.lock().expect("no panic").take() {
            has_read.send(()).expect("the test listens");
            // The end of the channel wakes too.
            sleeping.recv().unwrap_or_default();
        }
        Arc::new(Enriched::default())
    };
    // A batch is due as soon as it wakes, before it hears that it was replaced.
    let hung = Running::start(config.clone(), &folder, 1, enrich).await;
    tokio::task::block_in_place(|| reading.recv_timeout(PATIENCE)).expect("the first worker reads");
    let heir = Running::start(config, &folder, 1000, plain).await;
    wait_for_rows(&folder, 100).await;
    wake.send(()).expect("it still sleeps");
    broker.send(topic, 0, payloads("a", 101..121)).await;
    wait_for_rows(&folder, 120).await;
    let (hung, heir) = (hung.stop().await, heir.stop().await);
    assert_eq!(hung.commits_refused, 1);
    assert_eq!(hung.events + heir.events, 120);
    assert_eq!(folder.seqs().await, (1..121).collect::<Vec<i64>>());
}

async fn refused_records_are_in_the_dead_letter_topic(broker: &Broker) {
    let (topic, folder) = ("partly-bad", Folder::new());
    broker.create(topic, 1).await;
    let mut wrong_schema = record("a", 9);
    wrong_schema.schema = 2;
    let oversized = vec![b' '; 900_000];
    let bad = [b"{ not json".to_vec(), oversized, wrong_schema.encode()];
    let mut sent = payloads("a", 1..11);
    sent.splice(5..5, bad);
    broker.send(topic, 0, sent).await;
    let worker = Running::start(broker.config(topic), &folder, 1000, plain).await;
    wait_for_rows(&folder, 10).await;
    let summary = worker.stop().await;
    assert_eq!((summary.events, summary.rejected), (10, 3));
    let letters = read_all(broker, "partly-bad.dead", 3).await;
    let expected =
        [("partly-bad/0/5", "not_json"), ("partly-bad/0/6", "oversized"), ("partly-bad/0/7", "unsupported_schema")];
    let expected = expected.map(|(key, reason)| (key.to_owned(), reason.to_owned()));
    assert_eq!(letters, expected);
}

/// Key and reason of every letter, sorted.
async fn read_all(broker: &Broker, topic: &str, count: usize) -> Vec<(String, String)> {
    let (client, topic) = (broker.client(), topic.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("an assignment");
        let messages = (0..count).map(|_| consumer.poll(PATIENCE).expect("a letter").expect("no error"));
        let read = messages.map(|message| {
            let key = String::from_utf8_lossy(message.key().expect("a key")).into_owned();
            let reason = message.headers().expect("headers").iter().find(|header| header.key == "reason");
            let reason =
                String::from_utf8_lossy(reason.and_then(|header| header.value).expect("a reason")).into_owned();
            (key, reason.split(':').next().unwrap_or_default().to_owned())
        });
        let mut read: Vec<_> = read.collect();
        read.sort();
        read
    });
    read.await.expect("it does not panic")
}

async fn reading_goes_on_where_retention_left_the_log(broker: &Broker) {
    let (topic, folder) = ("expired", Folder::new());
    broker.create(topic, 1).await;
    broker.send(topic, 0, payloads("a", 1..21)).await;
    let worker = Running::start(broker.config(topic), &folder, 1000, plain).await;
    wait_for_rows(&folder, 20).await;
    worker.stop().await;
    broker.send(topic, 0, payloads("a", 21..41)).await;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(30)).expect("an offset");
    broker.admin().delete_records(&list, &AdminOptions::new()).await.expect("the broker deletes");
    let worker = Running::start(broker.config(topic), &folder, 1000, plain).await;
    wait_for_rows(&folder, 30).await;
    assert_eq!(worker.stop().await.events, 10);
    assert_eq!(folder.seqs().await, (1..21).chain(31..41).collect::<Vec<i64>>());
}
