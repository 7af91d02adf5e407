//! From the spool to Kafka, against librdkafka's cluster in the same process. It knows nothing of fencing: that is for a real broker.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;
use whopulls_ingest::forward::{FORWARD_READER, Forwarder};
use whopulls_ingest::metrics::Metrics;
use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::{Config, KafkaConfig};
use whopulls_schemas::raw::{Kind, RawAccess};

use crate::support::until;

const TOPIC: &str = "access.raw";
const PARTITIONS: i32 = 3;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic(TOPIC, PARTITIONS, 1).expect("a topic");
    cluster
}

fn kafka(brokers: &str) -> KafkaConfig {
    let text = format!("[kafka]\nbrokers = \"{brokers}\"\n[kafka.options]\n\"reconnect.backoff.max.ms\" = \"100\"\n");
    Config::parse("test", &text, &[]).expect("the configuration is good").kafka.expect("there is a section")
}

fn spool(dir: &tempfile::TempDir) -> Spool {
    Spool::open(SpoolOptions::new(dir.path())).expect("the spool opens").0
}

fn append(spool: &Spool, numbers: std::ops::Range<u32>) {
    let record = |number: u32| {
        let id = uuid::Uuid::now_v7();
        let mut record = RawAccess::new(id, UnixMicros(1), Kind::File, "GET", &format!("/{number}"), 302);
        record.client_ip = Some(std::net::Ipv4Addr::from(number % 50).into());
        Bytes::from(record.encode())
    };
    let records: Vec<Bytes> = numbers.map(record).collect();
    // Blocks, which a task of the runtime must not.
    std::thread::scope(|scope| scope.spawn(|| spool.append_batch_blocking(&records)).join())
        .expect("the thread ends")
        .expect("the records are written");
}

struct Forwarding {
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Forwarding {
    fn start(spool: &Spool, brokers: &str) -> Self {
        let reader = spool.reader(FORWARD_READER).expect("the reader opens");
        let metrics = Metrics::register(&mut Registry::default());
        let forwarder = Forwarder::new(reader, kafka(brokers), metrics).expect("the forwarder starts");
        let stop = CancellationToken::new();
        let token = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(forwarder.run(token));
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.cancel();
        self.thread.join().expect("the forwarder ends well");
    }
}

/// Everything on the topic, by partition.
fn consumed(brokers: &str, records: usize) -> BTreeMap<i32, Vec<RawAccess>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&partitions).expect("the partitions are there");
    let mut found: BTreeMap<i32, Vec<RawAccess>> = BTreeMap::new();
    let mut count = 0;
    // A poll may end early with nothing; 300 of 100 ms are the bound.
    let mut polls = 300;
    while count < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            polls -= 1;
            assert!(polls > 0, "{count} of {records} in time");
            continue;
        };
        let message = message.expect("no error");
        let record = RawAccess::decode(message.payload().expect("a value")).expect("the record is good");
        assert_eq!(message.key().map(<[u8]>::len), Some(8));
        found.entry(message.partition()).or_default().push(record);
        count += 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_reaches_kafka_in_order_and_the_cursor_follows() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spool = spool(&dir);
    append(&spool, 0..3000);
    let forwarding = Forwarding::start(&spool, &brokers);
    append(&spool, 3000..5000);
    until("everything is acknowledged", async || spool.lag_of(FORWARD_READER).is_some_and(|lag| lag.records == 0))
        .await;
    let found = tokio::task::spawn_blocking({
        let brokers = brokers.clone();
        move || consumed(&brokers, 5000)
    });
    let found = found.await.expect("the consumer ends");
    assert!(found.len() > 1, "one partition has everything");
    for records in found.values() {
        assert!(records.is_sorted_by(|a, b| a.seq < b.seq), "out of order");
    }
    let mut clients: BTreeMap<_, Vec<i32>> = BTreeMap::new();
    for (partition, record) in found.iter().flat_map(|(p, records)| records.iter().map(move |r| (*p, r))) {
        clients.entry(record.client_ip).or_default().push(partition);
        assert_eq!(record.node, spool.node());
    }
    assert_eq!(clients.len(), 50);
    assert!(
        clients.values_mut().all(|partitions| {
            partitions.dedup();
            partitions.len() == 1
        }),
        "a client is in two partitions"
    );
    forwarding.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_down_are_waited_for_and_a_restart_goes_on_from_the_cursor() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spool = spool(&dir);
    let lag = |records: u64| spool.lag_of(FORWARD_READER).is_some_and(|lag| lag.records == records);
    append(&spool, 0..100);
    let forwarding = Forwarding::start(&spool, &brokers);
    until("the first hundred are acknowledged", async || lag(0)).await;
    cluster.broker_down(1).expect("the broker goes down");
    append(&spool, 100..200);
    forwarding.stop();
    assert!(lag(100), "the cursor passed what nobody acknowledged");
    let forwarding = Forwarding::start(&spool, &brokers);
    append(&spool, 200..300);
    cluster.broker_up(1).expect("the broker comes up");
    until("the rest is acknowledged", async || lag(0)).await;
    forwarding.stop();
    let found = tokio::task::spawn_blocking(move || consumed(&brokers, 300)).await.expect("the consumer ends");
    let mut paths: Vec<String> = found.into_values().flatten().map(|r| r.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 300);
}
