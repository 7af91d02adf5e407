//! A live file of the table, as the Delta log describes it.

use std::sync::Arc;

use arrow::compute::kernels::cast_utils::{Parser, string_to_timestamp_nanos};
use arrow::datatypes::{DataType, Date32Type, Schema, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use object_store::path::Path;
use serde_json::Value;

/// A Parquet file of the snapshot, ready to be scanned.
#[derive(Debug)]
pub(crate) struct LiveFile {
    path: Path,
    size_bytes: u64,
    date: ScalarValue,
    statistics: Arc<Statistics>,
}

/// Why a file of the log cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiveFileError {
    #[error("file {path} has no partition value `date` that is a day, but {found:?}")]
    Date { path: Path, found: Option<String> },
    #[error("file {path} has a deletion vector, which whopulls neither writes nor reads; compact the table first")]
    DeletionVector { path: Path },
    #[error("file {path} has the size {size}")]
    Size { path: Path, size: i64 },
}

impl LiveFile {
    /// `stats_json` is the `stats` of the add action; `stored` are the columns that files hold. Without statistics, or with
    /// ones that do not read, nothing is known of the file and it is always scanned.
    pub(crate) fn new(
        path: Path,
        size: i64,
        date: Option<&str>,
        stats_json: Option<&str>,
        stored: &Schema,
    ) -> Result<Self, LiveFileError> {
        let Ok(size_bytes) = u64::try_from(size) else { return Err(LiveFileError::Size { path, size }) };
        let Some(day) = date.and_then(Date32Type::parse) else {
            return Err(LiveFileError::Date { path, found: date.map(str::to_owned) });
        };
        let stats: Value = stats_json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null);
        let date = ScalarValue::Date32(Some(day));
        // PartitionedFile adds the partition column's statistics, which are exact, behind those of the stored columns.
        let file = PartitionedFile::new("", size_bytes)
            .with_partition_values(vec![date.clone()])
            .with_statistics(Arc::new(stored_statistics(&stats, size_bytes, stored)));
        let statistics = file.statistics.unwrap_or_else(|| Arc::new(Statistics::default()));
        Ok(Self { path, size_bytes, date, statistics })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(crate) fn to_scan(&self) -> PartitionedFile {
        let mut file = PartitionedFile::new("", self.size_bytes).with_partition_values(vec![self.date.clone()]);
        file.object_meta.location = self.path.clone();
        file.statistics = Some(Arc::clone(&self.statistics));
        file
    }
}

/// Row and null counts are exact. The log's minima and maxima are bounds (texts are cut, times are rounded to
/// milliseconds), so they are inexact: good for leaving files out, not for answering `min` and `max`.
fn stored_statistics(stats: &Value, size_bytes: u64, stored: &Schema) -> Statistics {
    let count = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
    let Some(rows) = count(&stats["numRecords"]) else { return Statistics::new_unknown(stored) };
    let columns = stored.fields().iter().map(|field| {
        let name = field.name().as_str();
        let bound = |bounds: &str, is_max| {
            let read = stats.get(bounds).and_then(|values| values.get(name));
            read.and_then(|value| scalar(value, field.data_type(), is_max))
                .map_or(Precision::Absent, Precision::Inexact)
        };
        let nulls = stats.get("nullCount").and_then(|counts| counts.get(name)).and_then(count);
        ColumnStatistics {
            null_count: nulls.map_or(Precision::Absent, Precision::Exact),
            min_value: bound("minValues", false),
            max_value: bound("maxValues", true),
            ..ColumnStatistics::new_unknown()
        }
    });
    Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: usize::try_from(size_bytes).map_or(Precision::Absent, Precision::Inexact),
        column_statistics: columns.collect(),
    }
}

/// A minimum or maximum of the log as a value of the column's type; `None` for types that are not pruned by.
#[expect(clippy::wildcard_enum_match_arm, reason = "of the types, three dozen, those that the log has bounds for")]
fn scalar(value: &Value, data_type: &DataType, is_max: bool) -> Option<ScalarValue> {
    const MILLISECOND_US: i64 = 1_000;
    match data_type {
        DataType::Utf8View => value.as_str().map(|text| ScalarValue::Utf8View(Some(text.to_owned()))),
        DataType::Int64 => value.as_i64().map(|number| ScalarValue::Int64(Some(number))),
        DataType::Int32 => {
            value.as_i64().and_then(|number| i32::try_from(number).ok()).map(|number| ScalarValue::Int32(Some(number)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let nanos = string_to_timestamp_nanos(value.as_str()?).ok()?;
            // Writers may cut a maximum to milliseconds; the true one is then below the next.
            let micros = nanos.div_euclid(1_000) + if is_max { MILLISECOND_US - 1 } else { 0 };
            Some(ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{LakeTable, scan_schema};

    const STATS: &str = r#"{"numRecords":3,"minValues":{"ts":"2026-11-01T00:00:00.001Z","package":"a"},
        "maxValues":{"ts":"2026-11-01T00:00:01.999Z","package":"b"},"nullCount":{"package":1}}"#;

    fn file(stats: Option<&str>) -> LiveFile {
        LiveFile::new(Path::from("a.parquet"), 10, Some("2026-11-01"), stats, &LakeTable::stored_schema(&scan_schema()))
            .expect("a file that reads")
    }

    fn column<'a>(file: &'a LiveFile, name: &str) -> &'a ColumnStatistics {
        let schema = LakeTable::stored_schema(&scan_schema());
        file.statistics().column_statistics.get(schema.index_of(name).expect("a column")).expect("its statistics")
    }

    #[test]
    fn counts_are_exact_and_bounds_are_not() {
        let file = file(Some(STATS));
        assert_eq!(file.statistics().num_rows, Precision::Exact(3));
        assert_eq!(column(&file, "package").null_count, Precision::Exact(1));
        assert_eq!(column(&file, "package").min_value, Precision::Inexact(ScalarValue::Utf8View(Some("a".into()))));
        assert_eq!(column(&file, "org_id"), &ColumnStatistics::new_unknown());
    }

    #[test]
    fn a_maximum_in_milliseconds_covers_the_microseconds_after_it() {
        let file = file(Some(STATS));
        let max = column(&file, "ts").max_value.get_value().cloned();
        assert_eq!(max, Some(ScalarValue::TimestampMicrosecond(Some(1_793_491_201_999_999), Some("UTC".into()))));
    }

    #[test]
    fn statistics_that_do_not_read_are_no_statistics() {
        for stats in [None, Some(""), Some("{"), Some("[]"), Some(r#"{"numRecords":-1}"#)] {
            assert_eq!(file(stats).statistics().num_rows, Precision::Absent, "{stats:?}");
        }
    }

    #[test]
    fn a_file_without_a_day_is_refused() {
        for date in [None, Some(""), Some("yesterday")] {
            let made = LiveFile::new(Path::from("a"), 1, date, None, &LakeTable::stored_schema(&scan_schema()));
            assert!(matches!(made, Err(LiveFileError::Date { .. })), "{date:?}");
        }
    }
}
