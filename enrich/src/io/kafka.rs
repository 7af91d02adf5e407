//! Kafka as the source: a consumer group whose positions are the lake's.
//!
//! The group only deals out partitions. On an assignment nothing is consumed until the worker has read its positions from the
//! table and seeks; then the partitions are assigned to the consumer at exactly these offsets. On any rebalance what is not
//! committed is thrown away and read again. Offsets are committed to Kafka too, for lag monitors; they are never read.

mod client;
mod dead;
mod seek;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::FutureProducer;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::Notify;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::KafkaConfig;

use crate::io::clock;
use crate::worker::source::{DeadLetter, Offset, Partition, Payload, Source, SourceError, SourceEvent, SourceRecord};

/// Records handed out at once.
const RECORDS_MAX: usize = 2_000;

/// How long librdkafka may take to move to a position.
const SEEK_MAX: Duration = Duration::from_secs(10);

/// Complaints of librdkafka that follow each other within this time are one.
const COMPLAIN_EVERY_US: i64 = 10_000_000;

/// Bytes handed out at once; one record more may come on top.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The topic of raw records, read as a member of a consumer group.
pub struct KafkaSource {
    topic: String,
    dead_topic: String,
    consumer: Arc<StreamConsumer<GroupContext>>,
    producer: FutureProducer,
    /// What the group last gave this member.
    assigned: Vec<Partition>,
    /// librdkafka has that assignment, with positions.
    fetching: bool,
    /// When it was last said that Kafka does not answer.
    complained_at: Option<UnixMicros>,
    /// Looks at a partition whose end was before its position; see [`seek`].
    looks_beyond_end: u32,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource")
            .field("topic", &self.topic)
            .field("assigned", &self.assigned)
            .finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Joins the group. No broker needs to answer yet.
    ///
    /// # Errors
    /// When the password file cannot be read, or a setting is one that librdkafka does not know.
    pub fn connect(config: &KafkaConfig) -> Result<Self, SourceError> {
        let wrong = |error: KafkaError| SourceError::Fatal {
            subject: format!("topic {}", config.topic),
            hint: format!("a setting of [kafka] is wrong: {error}"),
        };
        let context = GroupContext::default();
        let consumer: StreamConsumer<GroupContext> =
            client::consumer(config)?.create_with_context(context).map_err(wrong)?;
        let producer = client::producer(config)?.create().map_err(wrong)?;
        consumer.subscribe(&[&config.topic]).map_err(wrong)?;
        Ok(Self {
            topic: config.topic.clone(),
            dead_topic: config.dead_topic.clone(),
            consumer: Arc::new(consumer),
            producer,
            assigned: Vec::new(),
            fetching: false,
            complained_at: None,
            looks_beyond_end: 0,
        })
    }

    /// The group's news, before any record: what was collected under the old assignment is void.
    fn news(&mut self) -> Option<SourceEvent> {
        let event = self.consumer.context().pop()?;
        self.fetching = false;
        match &event {
            SourceEvent::Assigned(partitions) => self.assigned.clone_from(partitions),
            SourceEvent::Revoked(_) => self.assigned.clear(),
            SourceEvent::Records(_) | SourceEvent::Idle | SourceEvent::Ended => {}
        }
        Some(event)
    }

    /// Moves within the assignment that librdkafka has. Assigning anew instead, just as the group takes the partitions away,
    /// stops each of them twice, at which librdkafka aborts the process. False when a partition is not being fetched.
    async fn seek_within(&self, list: &TopicPartitionList) -> bool {
        let (consumer, list) = (Arc::clone(&self.consumer), list.clone());
        let sought = tokio::task::spawn_blocking(move || consumer.seek_partitions(list, SEEK_MAX)).await;
        match sought {
            Ok(Ok(list)) => list.elements().iter().all(|element| element.error().is_ok()),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// What is there already, after a first message.
    fn gather(&self, first: SourceRecord) -> Vec<SourceRecord> {
        let mut byte_count = first.payload.byte_count();
        let mut records = vec![first];
        let mut stream = self.consumer.stream();
        while records.len() < RECORDS_MAX && byte_count < RECORD_BYTES_MAX {
            // An error or a pause ends the slab; an error shows itself again or has passed.
            let Some(Some(Ok(message))) = stream.next().now_or_never() else { break };
            let record = to_record(&message);
            byte_count += record.payload.byte_count();
            records.push(record);
        }
        records
    }

    /// What the group or a broker complains of is news, not the end: librdkafka goes on trying by itself, and it can only do so
    /// while it is polled. A pause for each complaint would outlast an outage by minutes, since they queue up while it lasts.
    fn failed(&mut self, error: &KafkaError) -> Result<SourceEvent, SourceError> {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AutoOffsetReset) {
            // Retention passed the position while it was read: seek again, which says how much is gone.
            return Ok(SourceEvent::Assigned(self.assigned.clone()));
        }
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(SourceError::Fatal {
                subject: format!("topic {}", self.topic),
                hint: format!("the consumer cannot go on ({error}); start the worker again"),
            });
        }
        let now = clock::now();
        if self.complained_at.is_none_or(|at| now.0.saturating_sub(at.0) > COMPLAIN_EVERY_US) {
            self.complained_at = Some(now);
            tracing::warn!(%error, topic = self.topic, "Kafka does not answer; what is not read waits there");
        }
        Ok(SourceEvent::Idle)
    }

    fn unavailable(&self, error: KafkaError) -> SourceError {
        SourceError::Unavailable { subject: format!("topic {}", self.topic), source: error.into() }
    }
}

fn to_record(message: &BorrowedMessage<'_>) -> SourceRecord {
    let payload = message.payload().map(Bytes::copy_from_slice).unwrap_or_default();
    SourceRecord { partition: message.partition(), offset: message.offset(), payload: Payload::Encoded(payload) }
}

impl Source for KafkaSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    async fn next(&mut self, wait: Duration) -> Result<SourceEvent, SourceError> {
        if let Some(event) = self.news() {
            return Ok(event);
        }
        let consumer = Arc::clone(&self.consumer);
        let received = tokio::select! {
            biased;
            () = consumer.context().changed.notified() => return Ok(self.news().unwrap_or(SourceEvent::Idle)),
            received = consumer.recv() => received.map(|message| to_record(&message)),
            () = tokio::time::sleep(wait) => return Ok(SourceEvent::Idle),
        };
        let records = match received {
            Ok(first) => self.gather(first),
            Err(error) => return self.failed(&error),
        };
        // A rebalance while gathering voids what was gathered.
        Ok(self.news().unwrap_or(SourceEvent::Records(records)))
    }

    async fn seek(&mut self, positions: &BTreeMap<Partition, Option<Offset>>) -> Result<(), SourceError> {
        if self.consumer.context().has_news() {
            // The group has dealt anew; its event comes next and is answered by another seek.
            return Ok(());
        }
        let owned = positions.iter().filter(|(partition, _)| self.assigned.contains(partition));
        let owned: BTreeMap<Partition, Option<Offset>> =
            owned.map(|(&partition, &position)| (partition, position)).collect();
        let starts = self.starts(owned).await?;
        let mut list = TopicPartitionList::new();
        for (partition, start) in starts {
            let added = list.add_partition_offset(&self.topic, partition, start);
            added.map_err(|error| self.unavailable(error))?;
        }
        if self.fetching && self.seek_within(&list).await {
            return Ok(());
        }
        self.consumer.assign(&list).map_err(|error| self.unavailable(error))?;
        self.fetching = true;
        Ok(())
    }

    async fn committed(&mut self, positions: &BTreeMap<Partition, Offset>) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        for (&partition, &next) in positions {
            let added = list.add_partition_offset(&self.topic, partition, KafkaOffset::Offset(next));
            added.map_err(|error| self.unavailable(error))?;
        }
        self.consumer.commit(&list, CommitMode::Async).map_err(|error| self.unavailable(error))
    }

    async fn dead_letter(&mut self, letters: Vec<DeadLetter>) -> Result<(), SourceError> {
        dead::send(&self.producer, &self.dead_topic, &letters).await
    }
}

/// Hears of rebalances, and assigns nothing by itself.
#[derive(Default)]
pub(crate) struct GroupContext {
    news: Mutex<VecDeque<SourceEvent>>,
    changed: Notify,
}

impl GroupContext {
    fn push(&self, event: SourceEvent) {
        // At most two: the last loss and the last gift; what was before them is void.
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(event, SourceEvent::Revoked(_)) {
            news.clear();
        }
        news.push_back(event);
        self.changed.notify_one();
    }

    fn pop(&self) -> Option<SourceEvent> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn has_news(&self) -> bool {
        !self.news.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl ClientContext for GroupContext {}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(TopicPartitionListElem::partition).collect();
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // The group waits for `assign`, which `seek` calls with the table's positions.
            self.push(SourceEvent::Assigned(partitions));
            return;
        }
        self.push(SourceEvent::Revoked(partitions));
        if let Err(error) = consumer.unassign() {
            tracing::warn!(%error, "partitions could not be given back; the group takes them after the session timeout");
        }
    }
}
