//! Where reading starts, given the table's positions and what the log still holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::KafkaSource;
use crate::worker::source::{Offset, Partition, SourceError};

const WATERMARK_TIMEOUT: Duration = Duration::from_secs(10);

/// A new leader may show an older end for a moment; after so many looks the log really ends before the position.
const LOOKS_BEYOND_END_MAX: u32 = 12;

/// What a position means in a log that holds `low..high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    At(Offset),
    /// Retention took this many records that were never read.
    Lost {
        start: Offset,
        count: i64,
    },
    /// The position is beyond the end.
    Beyond,
}

fn start(position: Option<Offset>, low: Offset, high: Offset) -> Start {
    match position {
        None => Start::At(low),
        Some(position) if position < low => Start::Lost { start: low, count: low - position },
        Some(position) if position > high => Start::Beyond,
        Some(position) => Start::At(position),
    }
}

impl KafkaSource {
    pub(super) async fn starts(
        &mut self,
        positions: BTreeMap<Partition, Option<Offset>>,
    ) -> Result<BTreeMap<Partition, KafkaOffset>, SourceError> {
        let mut starts = BTreeMap::new();
        for (partition, position) in positions {
            let (low, high) = self.watermarks(partition).await?;
            let start = match start(position, low, high) {
                Start::At(start) => start,
                Start::Lost { start, count } => {
                    let topic = &self.topic;
                    tracing::error!(topic, partition, count, "records are lost: Kafka's retention took them unread");
                    start
                }
                Start::Beyond => return Err(self.beyond(partition, position, high)),
            };
            starts.insert(partition, KafkaOffset::Offset(start));
        }
        self.looks_beyond_end = 0;
        Ok(starts)
    }

    async fn watermarks(&self, partition: Partition) -> Result<(Offset, Offset), SourceError> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let asked =
            tokio::task::spawn_blocking(move || consumer.fetch_watermarks(&topic, partition, WATERMARK_TIMEOUT));
        asked.await.unwrap_or(Err(KafkaError::Canceled)).map_err(|error| self.unavailable(error))
    }

    fn beyond(&mut self, partition: Partition, position: Option<Offset>, high: Offset) -> SourceError {
        self.looks_beyond_end += 1;
        let subject = format!("topic {}, partition {partition}", self.topic);
        let what = format!("the table is at {} and the log ends at {high}", position.unwrap_or_default());
        if self.looks_beyond_end < LOOKS_BEYOND_END_MAX {
            return SourceError::Unavailable { subject, source: what.into() };
        }
        let hint = format!("{what}: it is another log under the same name; give the new one a name of its own");
        SourceError::Fatal { subject, hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(position: Option<Offset>, expected: Start) {
        assert_eq!(start(position, 100, 200), expected);
    }

    #[test]
    fn a_position_is_taken_if_the_log_still_holds_it() {
        check(None, Start::At(100));
        check(Some(100), Start::At(100));
        check(Some(200), Start::At(200));
        check(Some(40), Start::Lost { start: 100, count: 60 });
        check(Some(201), Start::Beyond);
    }
}
