//! The loop between the spool's reader and librdkafka.

mod producer;

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureRecord, Producer};
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::KafkaConfig;
use whopulls_schemas::raw::stamp;

use self::producer::KafkaProducer;
use super::backoff::Backoff;
use super::key::key;
use crate::metrics::Metrics;
use crate::spool::{ReadError, Reader, Record};

/// Records sent and not acknowledged, at most; librdkafka's own queue is larger.
const IN_FLIGHT_RECORDS_MAX: usize = 20_000;
/// Bytes sent and not acknowledged, at most, give or take one record.
const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;
/// Records taken from the spool at once.
const READ_RECORDS_MAX: usize = 1000;
const READ_BYTES_MAX: usize = 1 << 20;
/// No broker takes more by default, with some room for what the protocol adds.
const SENT_BYTES_MAX: usize = 900_000;
/// The cursor file is written this often at most: it costs two syncs.
const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// When librdkafka's queue is full although nothing of ours is waited for.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// How long a stop waits for what is in flight; what is not acknowledged then is sent again after the next start.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// The forwarder cannot start, or an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The configuration is refused by librdkafka.
    #[error("make a Kafka producer for {brokers}")]
    Producer {
        /// The brokers.
        brokers: String,
        /// Why.
        source: KafkaError,
    },
    /// The file of the password cannot be read.
    #[error("read the Kafka password from {path}")]
    Password {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A record was not acknowledged.
    #[error("send to the topic {topic}")]
    Delivery {
        /// The topic.
        topic: String,
        /// Why.
        source: KafkaError,
    },
    /// The spool cannot be read, or its cursor not be written.
    #[error("read the spool")]
    Spool(#[from] ReadError),
}

/// Moves the spool to Kafka.
#[derive(Debug)]
pub struct Forwarder {
    reader: Reader,
    config: KafkaConfig,
    metrics: Metrics,
}

/// How an attempt ended.
enum Ended {
    Stopped,
    Failed(ForwardError),
}

impl Forwarder {
    /// Checks the configuration; nothing is sent yet, and no broker is asked.
    ///
    /// # Errors
    /// librdkafka refuses the configuration, or the password file cannot be read.
    pub fn new(reader: Reader, config: KafkaConfig, metrics: Metrics) -> Result<Self, ForwardError> {
        drop(producer::create(&config)?);
        Ok(Self { reader, config, metrics })
    }

    /// Forwards until `shutdown`, then waits some seconds for what is in flight. Brokers that are down are waited for.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new();
        loop {
            let before = self.reader.committed();
            match self.attempt(&shutdown).await {
                Ended::Stopped => return,
                Ended::Failed(error) => {
                    self.metrics.forward_errors.inc();
                    if self.reader.committed() > before {
                        backoff.reset();
                    }
                    let wait = backoff.take();
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    if matches!(error, ForwardError::Spool(_)) {
                        tracing::error!(%error, cause, "nothing is forwarded: the spool keeps it within its bounds");
                    } else {
                        tracing::warn!(%error, cause, wait_ms = wait.as_millis(), "forwarding begins anew from the cursor");
                    }
                    self.reader.seek(self.reader.committed());
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// One producer's life.
    async fn attempt(&mut self, shutdown: &CancellationToken) -> Ended {
        let producer = match producer::create(&self.config) {
            Ok(producer) => producer,
            Err(error) => return Ended::Failed(error),
        };
        let mut flight = Flight::new(self.reader.committed());
        let ended = self.send_until(&producer, &mut flight, shutdown).await;
        let ended = match ended {
            Ok(()) => {
                self.land(&mut flight).await;
                Ended::Stopped
            }
            Err(error) => Ended::Failed(error),
        };
        if let Err(error) = self.reader.commit(flight.acknowledged) {
            tracing::warn!(%error, "the cursor was not written: what it would have passed is sent again");
        }
        ended
    }

    async fn send_until(
        &mut self,
        producer: &KafkaProducer,
        flight: &mut Flight,
        shutdown: &CancellationToken,
    ) -> Result<(), ForwardError> {
        let mut commit_due = tokio::time::interval(COMMIT_EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some(landed) = flight.waiting.next() => self.landed(flight, landed)?,
                _ = commit_due.tick() => self.reader.commit(flight.acknowledged)?,
                more = self.reader.wait_for_more(), if flight.has_room() => {
                    if !more {
                        return Ok(());
                    }
                    for record in self.reader.read(READ_RECORDS_MAX, READ_BYTES_MAX)? {
                        self.send(producer, flight, &record).await?;
                    }
                }
            }
            if let Some((code, reason)) = producer.client().fatal_error() {
                tracing::warn!(reason, "the Kafka producer cannot go on");
                return Err(self.failed(KafkaError::MessageProduction(code)));
            }
        }
    }

    async fn send(
        &mut self,
        producer: &KafkaProducer,
        flight: &mut Flight,
        record: &Record,
    ) -> Result<(), ForwardError> {
        let value = stamp(self.reader.node(), record.seq, &record.payload);
        if value.len() > SENT_BYTES_MAX {
            tracing::error!(seq = record.seq, bytes = value.len(), "a record is too large for Kafka and is left out");
            self.metrics.forward_errors.inc();
            return Ok(());
        }
        let (topic, key) = (self.config.topic.clone(), key(&value));
        loop {
            let message = FutureRecord::to(&topic).key(&key).payload(&value);
            match producer.send_result(message) {
                Ok(delivery) => {
                    flight.add(record.seq + 1, value.len(), delivery);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    match flight.waiting.next().await {
                        Some(landed) => self.landed(flight, landed)?,
                        None => tokio::time::sleep(QUEUE_PAUSE).await,
                    }
                }
                Err((source, _)) => return Err(self.failed(source)),
            }
        }
    }

    fn landed(&self, flight: &mut Flight, landed: Landed) -> Result<(), ForwardError> {
        flight.bytes = flight.bytes.saturating_sub(landed.bytes);
        landed.result.map_err(|source| self.failed(source))?;
        flight.acknowledged = landed.next_seq;
        self.metrics.forwarded.inc();
        Ok(())
    }

    /// Waits for what is in flight when there is nothing more to send.
    async fn land(&self, flight: &mut Flight) {
        let all = async {
            while let Some(landed) = flight.waiting.next().await {
                if self.landed(flight, landed).is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(STOP_WAIT, all).await.is_err() {
            tracing::info!("Kafka did not acknowledge everything in time; the rest is sent after the next start");
        }
    }

    fn failed(&self, source: KafkaError) -> ForwardError {
        ForwardError::Delivery { topic: self.config.topic.clone(), source }
    }
}

/// What is sent and not acknowledged, in the spool's order.
struct Flight {
    waiting: FuturesOrdered<futures::future::BoxFuture<'static, Landed>>,
    bytes: usize,
    /// Everything before this sequence number is acknowledged.
    acknowledged: u64,
}

struct Landed {
    next_seq: u64,
    bytes: usize,
    result: Result<(), KafkaError>,
}

impl Flight {
    fn new(acknowledged: u64) -> Self {
        Self { waiting: FuturesOrdered::new(), bytes: 0, acknowledged }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() + READ_RECORDS_MAX <= IN_FLIGHT_RECORDS_MAX && self.bytes < IN_FLIGHT_BYTES_MAX
    }

    fn add(&mut self, next_seq: u64, bytes: usize, delivery: DeliveryFuture) {
        self.bytes += bytes;
        self.waiting.push_back(Box::pin(async move {
            let result = match delivery.await {
                Ok(Ok(_placed)) => Ok(()),
                Ok(Err((error, _message))) => Err(error),
                Err(_producer_gone) => Err(KafkaError::Canceled),
            };
            Landed { next_seq, bytes, result }
        }));
    }
}
