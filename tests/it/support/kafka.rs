//! A real broker, by `scripts/kafka`.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tempfile::TempDir;

use super::{block_on, free_port, repository};

/// One broker at a time: two cores do not carry more.
static TURN: Mutex<()> = Mutex::new(());

/// A single-node Apache Kafka, killed when the test ends.
pub(crate) struct Kafka {
    folder: TempDir,
    port: u16,
    _turn: MutexGuard<'static, ()>,
}

/// A record as a consumer sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Kafka {
    pub(crate) fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a folder");
        let kafka = Self { folder, port: free_port(), _turn: turn };
        kafka.restart();
        kafka
    }

    pub(crate) fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again with the data it had.
    pub(crate) fn restart(&self) {
        script(&["start", text(self.folder.path()), &self.port.to_string()]);
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        script(&["kill", text(self.folder.path())]);
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let created = block_on(admin.create_topics([&topic], &AdminOptions::new()));
        assert!(created.expect("an answer").iter().all(Result::is_ok), "create topic {name}");
    }

    /// Produces values with their keys, and waits until all are acknowledged.
    pub(crate) fn produce(&self, topic: &str, records: &[(String, Vec<u8>)]) {
        let producer: FutureProducer = self.client().set("linger.ms", "5").create().expect("a producer");
        block_on(async {
            let sends = records.iter().map(|(key, value)| {
                producer.send(FutureRecord::to(topic).key(key).payload(value), Duration::from_secs(30))
            });
            for sent in futures::future::join_all(sends).await {
                sent.unwrap_or_else(|(error, _)| panic!("produce: {error}"));
            }
        });
    }

    /// Everything on a topic from its beginning, once there are at least `count`.
    #[track_caller]
    pub(crate) fn consume(&self, topic: &str, count: usize) -> Vec<Seen> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "a-test-that-looks")
            .set("auto.offset.reset", "earliest")
            .set("fetch.message.max.bytes", "4194304")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[topic]).expect("subscribed");
        let started = super::now();
        let mut seen = Vec::new();
        while seen.len() < count {
            assert!(started.elapsed() < Duration::from_mins(1), "{} of {count} on {topic}", seen.len());
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else { continue };
            let headers = message.headers().map(|headers| {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
            });
            let payload = message.payload().unwrap_or_default().to_vec();
            seen.push(Seen { payload, headers: headers.unwrap_or_default() });
        }
        seen
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set("message.max.bytes", "4194304");
        config
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
    }
}

fn script(arguments: &[&str]) {
    let output = Command::new(repository().join("scripts/kafka")).args(arguments).output().expect("scripts/kafka runs");
    assert!(output.status.success(), "scripts/kafka {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a text path")
}
