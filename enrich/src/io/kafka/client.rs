//! The settings of librdkafka.

use rdkafka::config::ClientConfig;
use whopulls_schemas::config::{KafkaConfig, SecretSource};

use crate::worker::source::SourceError;

fn common(config: &KafkaConfig) -> Result<ClientConfig, SourceError> {
    let mut client = ClientConfig::new();
    client.set("client.id", "whopulls-enrich");
    if let Some(username) = &config.username {
        client.set("sasl.username", username);
    }
    match &config.password {
        Some(SecretSource::Given(secret)) => {
            client.set("sasl.password", secret.reveal());
        }
        Some(SecretSource::File(path)) => {
            let unreadable = |error: std::io::Error| SourceError::Fatal {
                subject: format!("the Kafka password in {}", path.display()),
                hint: error.to_string(),
            };
            client.set("sasl.password", std::fs::read_to_string(path).map_err(unreadable)?.trim());
        }
        None => {}
    }
    client.set("bootstrap.servers", &config.brokers);
    Ok(client)
}

pub(super) fn consumer(config: &KafkaConfig) -> Result<ClientConfig, SourceError> {
    let mut client = common(config)?;
    for (key, value) in &config.options {
        client.set(key, value);
    }
    client
        .set("group.id", &config.group)
        // The lake says where to resume; Kafka's offsets are for monitors and are written by hand.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // An offset that retention took is not skipped in silence.
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "range,roundrobin")
        // What librdkafka reads ahead: memory, not correctness.
        .set("queued.max.messages.kbytes", "32768");
    Ok(client)
}

pub(super) fn producer(config: &KafkaConfig) -> Result<ClientConfig, SourceError> {
    let mut client = common(config)?;
    for (key, value) in config.producer_options() {
        client.set(key, value);
    }
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", config.compression)
        // A refused record may be as large as the broker takes; the bytes kept of it are bounded.
        .set("message.max.bytes", "2000000");
    Ok(client)
}
