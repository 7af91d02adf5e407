//! The counting rule over the batches of a worker.
//!
//! A batch is counted when it is written, so that what was sent twice is not in it, and only once. After a restart, a refused commit, or when a partition comes from another worker, the memory is made
//! anew from the table: its last ten minutes before the batch, with the answers that they have.

use std::collections::BTreeMap;
use std::sync::Arc;

use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::RawAccess;

use super::{Flow, Worker};
use crate::event::{Enriched, Event, action};
use crate::fold::{Fold, Request, WINDOW_US};
use crate::lake::Step;
use crate::worker::source::{Partition, Source};

/// Rows of the table that the memory is made from at most; at about 600 bytes each, and twice as many while they are sorted out, 300 MB for a moment.
const ROWS_MAX: usize = 250_000;

impl<S: Source, E: Fn(&RawAccess) -> Arc<Enriched> + Send + Sync> Worker<'_, S, E> {
    /// What was in the table may have changed.
    pub(super) fn forget_counts(&mut self) {
        self.fold = Fold::default();
        self.remembered.clear();
    }

    /// Makes events of a batch's records: says what each was, in the order in which they were read. `None`: gave up.
    pub(super) async fn count_rows(
        &mut self,
        rows: Vec<(Box<RawAccess>, Arc<Enriched>)>,
        steps: &BTreeMap<Partition, Step>,
    ) -> Option<Vec<Event>> {
        if steps.keys().any(|partition| !self.remembered.contains(partition)) {
            if self.remember(&rows).await == Flow::GiveUp {
                return None;
            }
            self.remembered.extend(steps.keys().copied());
        }
        let before = self.fold.forgotten();
        let count = |(raw, enriched): (Box<RawAccess>, Arc<Enriched>)| {
            let counted = self.fold.count(&Request::of(&raw, &enriched, action(&raw)));
            Event { raw, counted, enriched }
        };
        let events = rows.into_iter().map(count).collect();
        self.metrics.forgotten.inc_by(self.fold.forgotten() - before);
        Some(events)
    }

    /// Remembers what the table holds of the ten minutes before these rows, and of their own time.
    async fn remember(&mut self, rows: &[(Box<RawAccess>, Arc<Enriched>)]) -> Flow {
        let moments = || rows.iter().map(|(raw, _)| raw.ts.0);
        let (Some(first), Some(last)) = (moments().min(), moments().max()) else { return Flow::GoOn };
        let stretch = (UnixMicros(first.saturating_sub(WINDOW_US)), UnixMicros(last));
        loop {
            match self.lake.rows_between(stretch, ROWS_MAX, |endpoint| endpoint.is_some()).await {
                Ok((found, left_out)) => {
                    if left_out > 0 {
                        tracing::warn!(
                            left_out,
                            "the last minutes before this batch have too many rows: a retry of the oldest may count as a download"
                        );
                    }
                    for row in &found {
                        self.fold.replay(&row.request(), &row.counted);
                    }
                    return Flow::GoOn;
                }
                Err(error) => {
                    if self.retry.pause("read the last minutes of the table", &error).await == Flow::GiveUp {
                        return Flow::GiveUp;
                    }
                }
            }
        }
    }
}
