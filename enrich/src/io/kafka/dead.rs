//! The dead-letter topic. The key `topic/partition/offset` makes a repeat recognisable.

use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::worker::source::{DeadLetter, SourceError};

/// How long a letter may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// Letters under way at once: with 512 kB each, 32 MB.
const UNDER_WAY_MAX: usize = 64;

pub(super) async fn send(producer: &FutureProducer, topic: &str, letters: &[DeadLetter]) -> Result<(), SourceError> {
    for some in letters.chunks(UNDER_WAY_MAX) {
        try_join_all(some.iter().map(|letter| send_one(producer, topic, letter))).await?;
    }
    Ok(())
}

async fn send_one(producer: &FutureProducer, topic: &str, letter: &DeadLetter) -> Result<(), SourceError> {
    let key = format!("{}/{}/{}", letter.topic, letter.partition, letter.offset);
    let (partition, offset) = (letter.partition.to_string(), letter.offset.to_string());
    let headers = OwnedHeaders::new()
        .insert(Header { key: "reason", value: Some(&letter.reason) })
        .insert(Header { key: "topic", value: Some(&letter.topic) })
        .insert(Header { key: "partition", value: Some(&partition) })
        .insert(Header { key: "offset", value: Some(&offset) });
    let record = FutureRecord::to(topic).key(&key).payload(letter.payload.as_ref()).headers(headers);
    let sent = producer.send(record, Timeout::After(QUEUE_TIMEOUT)).await;
    sent.map(drop).map_err(|(error, _)| SourceError::Unavailable {
        subject: format!("dead-letter topic {topic}"),
        source: error.into(),
    })
}
