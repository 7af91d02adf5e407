//! The producer, with the settings on which the promise rests.

use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::FutureProducer;
use whopulls_schemas::config::{KafkaConfig, SecretSource};

use super::ForwardError;

pub(super) type KafkaProducer = FutureProducer<Quiet>;

/// librdkafka repeats an error for every broker and attempt; each hundredth is said.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    errors: AtomicU64,
}

const SAY_EVERY: u64 = 100;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        tracing::debug!(?level, fac, log_message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.errors.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAY_EVERY) {
            tracing::warn!(%error, reason, "Kafka does not answer; the spool keeps what is to be sent");
        }
    }
}

pub(super) fn create(config: &KafkaConfig) -> Result<KafkaProducer, ForwardError> {
    let mut client = ClientConfig::new();
    for (key, value) in config.producer_options() {
        client.set(key, value);
    }
    if let Some(username) = &config.username {
        client.set("sasl.username", username);
    }
    match &config.password {
        Some(SecretSource::Given(secret)) => {
            client.set("sasl.password", secret.reveal());
        }
        Some(SecretSource::File(path)) => {
            let failed = |source| ForwardError::Password { path: path.display().to_string(), source };
            client.set("sasl.password", std::fs::read_to_string(path).map_err(failed)?.trim());
        }
        None => {}
    }
    client
        .set("bootstrap.servers", &config.brokers)
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        // Never give a message up: brokers that are down are waited for, and the spool holds the rest.
        .set("message.timeout.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("compression.type", config.compression)
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("client.id", "whopulls-gateway");
    let failed = |source| ForwardError::Producer { brokers: config.brokers.clone(), source };
    client.create_with_context(Quiet::default()).map_err(failed)
}
