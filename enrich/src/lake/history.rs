//! The rows of a stretch of time.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use object_store::path::Path;
use serde_json::Value;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::column;

use super::rewrite::{unreadable, unusable};
use super::{Lake, LakeError, LiveFile, RewriteError};
use crate::fold::{COUNT_COLUMNS, Row, in_order, rows};

impl Lake {
    /// The rows from one moment to another, both included, in their order; of rows beyond `rows_max` the oldest are left out, and their number is given
    /// too. Only those that `wanted` says by their endpoint.
    ///
    /// # Errors
    /// When the table or a file of it cannot be read.
    pub async fn rows_between(
        &mut self,
        (from, to): (UnixMicros, UnixMicros),
        rows_max: usize,
        wanted: impl Fn(Option<i64>) -> bool,
    ) -> Result<(Vec<Row>, u64), RewriteError> {
        let mut found: Vec<Row> = Vec::new();
        let mut left_out = 0;
        for file in self.files_between(from, to).await? {
            let read = self.rows(&file.path, file.byte_count, Some(&COUNT_COLUMNS)).await;
            let mut batches = read.map_err(|source| unreadable(&file, source))?;
            while let Some(batch) = batches.try_next().await.map_err(|source| unreadable(&file, source))? {
                let is_wanted = |ts: UnixMicros, endpoint| (from..=to).contains(&ts) && wanted(endpoint);
                found.extend(rows(&batch, is_wanted).map_err(|source| unusable(&file, source))?);
                if found.len() > rows_max.saturating_mul(2) {
                    left_out += keep_newest(&mut found, rows_max);
                }
            }
        }
        left_out += keep_newest(&mut found, rows_max);
        Ok((found, left_out))
    }

    /// The live files that may hold a row of the stretch, by the statistics in the log.
    async fn files_between(&mut self, from: UnixMicros, to: UnixMicros) -> Result<Vec<LiveFile>, LakeError> {
        let mut days = self.live_days().await?;
        days.retain(|date, _| (day_of(from)..=day_of(to)).contains(date));
        let mut files: HashMap<Path, LiveFile> =
            days.into_values().flatten().map(|file| (file.path.clone(), file)).collect();
        let state = self.table.snapshot().map_err(|source| self.read_error(source))?;
        for view in state.log_data() {
            let path = view.object_store_path();
            if files.contains_key(&path) && view.stats().is_some_and(|stats| is_beside(&stats, from, to)) {
                files.remove(&path);
            }
        }
        Ok(files.into_values().collect())
    }
}

/// The day of a moment as the table's partitions are called.
fn day_of(moment: UnixMicros) -> String {
    chrono::DateTime::from_timestamp_micros(moment.0).unwrap_or_default().date_naive().to_string()
}

/// Sorts, and gives how many were left out.
fn keep_newest(rows: &mut Vec<Row>, rows_max: usize) -> u64 {
    in_order(rows);
    let left_out = rows.len().saturating_sub(rows_max);
    rows.drain(..left_out);
    left_out as u64
}

/// Whether the statistics say that no row is of the stretch. What cannot be read says nothing.
fn is_beside(stats: &str, from: UnixMicros, to: UnixMicros) -> bool {
    let Ok(stats) = serde_json::from_str::<Value>(stats) else { return false };
    let moment = |which: &str| -> Option<i64> {
        let text = stats.get(which)?.get(column::TS)?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
    };
    moment("minValues").is_some_and(|first| first > to.0) || moment("maxValues").is_some_and(|last| last < from.0)
}
