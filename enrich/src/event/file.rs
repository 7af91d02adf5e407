//! One sorted Parquet file for each UTC day of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::temporal_conversions::timestamp_us_to_datetime;
use arrow::array::types::{Date32Type, TimestampMicrosecondType};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowLeafColumn, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::{SORT_ORDER, column};

use super::{EncodeError, Event, record_batch};
use crate::lake::EncodedFile;
use crate::parallel::in_parallel;

/// Rows in a data page: the unit that the page index lets a reader skip.
const PAGE_ROWS_MAX: usize = 8192;

/// Rows of a row group.
const ROW_GROUP_ROWS_MAX: usize = 1 << 20;

/// Bytes of a text in the statistics; a longer smallest value is cut, a longer greatest value is left out.
const STATS_TEXT_BYTES_MAX: usize = 64;

/// Sorts the events by (`package`, `org_id`, `ts`) within their days and encodes each day as a file. The events are dropped as soon as
/// their columns are built.
///
/// # Errors
/// Only when schema and code disagree.
pub fn encode_files(events: Vec<Event>) -> Result<Vec<EncodedFile>, EncodeError> {
    let mut days: BTreeMap<i32, Vec<&Event>> = BTreeMap::new();
    for event in &events {
        days.entry(event.raw.ts.day()).or_default().push(event);
    }
    let days: Result<Vec<_>, _> = days.into_iter().map(|(day, events)| day_batch(day, events)).collect();
    let days = days?;
    drop(events);
    days.into_iter().map(|(date, batch)| encode_sorted(&date, &batch)).collect()
}

fn day_batch(day: i32, mut events: Vec<&Event>) -> Result<(String, RecordBatch), EncodeError> {
    events.sort_by_cached_key(|event| sort_key(event));
    let batch = record_batch(&events)?;
    let batch = without_date(&batch).map_err(|source| EncodeError::Arrow { rows: events.len(), source })?;
    Ok((date_text(day), batch))
}

/// Encodes rows of one day that are sorted already and have no column `date`.
///
/// # Errors
/// Only when schema and code disagree.
pub(crate) fn encode_sorted(date: &str, batch: &RecordBatch) -> Result<EncodedFile, EncodeError> {
    let date = date.to_owned();
    let bytes = match parquet_bytes(batch) {
        Ok(bytes) => bytes.into(),
        Err(source) => return Err(EncodeError::Parquet { rows: batch.num_rows(), date, source }),
    };
    let name = format!("part-{}.parquet", Uuid::now_v7());
    Ok(EncodedFile { date, name, bytes, stats: statistics(batch).to_string() })
}

fn sort_key(event: &Event) -> (Option<&str>, Option<&str>, UnixMicros) {
    let organization = event.enriched.org.as_ref().map(|organization| organization.id.as_str());
    (event.raw.package.as_deref(), organization, event.raw.ts)
}

/// The day as Delta writes a partition value.
pub(crate) fn date_text(day: i32) -> String {
    Date32Type::to_naive_date_opt(day).map(|date| date.to_string()).unwrap_or_default()
}

/// A partition column stands in the log, not in the file.
fn without_date(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = batch.schema();
    let kept = schema.fields().iter().enumerate().filter(|(_, field)| field.name() != column::DATE);
    batch.project(&kept.map(|(index, _)| index).collect::<Vec<_>>())
}

fn parquet_bytes(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let schema = batch.schema();
    let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties(&schema)?))?;
    let (mut file, row_groups) = writer.into_serialized_writer()?;
    for (index, first) in (0..batch.num_rows()).step_by(ROW_GROUP_ROWS_MAX).enumerate() {
        let rows = batch.slice(first, ROW_GROUP_ROWS_MAX.min(batch.num_rows() - first));
        let mut leaves = Vec::new();
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            leaves.extend(compute_leaves(field, column)?);
        }
        let columns = row_groups.create_column_writers(index)?.into_iter().zip(leaves).collect();
        let chunks = in_parallel(columns, |(mut writer, leaf): (ArrowColumnWriter, ArrowLeafColumn)| {
            writer.write(&leaf)?;
            writer.close()
        });
        let mut row_group = file.next_row_group()?;
        for chunk in chunks {
            chunk?.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
    }
    file.into_inner()
}

fn properties(schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let sorting = SORT_ORDER.iter().filter_map(|name| schema.index_of(name).ok()).filter_map(|index| {
        let column_idx = i32::try_from(index).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: true })
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("whopulls ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_sorting_columns(Some(sorting.collect()));
    // Nothing repeats in these, so a dictionary only costs.
    for unique in [column::TS, column::SEQ, column::DURATION_US] {
        let path = ColumnPath::from(unique);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.set_column_dictionary_enabled(ColumnPath::from(column::ID), false).build())
}

/// Delta's statistics of the columns that a file is sorted by.
fn statistics(batch: &RecordBatch) -> Value {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let mut text = |name: &str, values: &mut dyn Iterator<Item = Option<&str>>| {
        let (mut null_count, mut min, mut max) = (0_u64, None, None);
        for value in values {
            match value {
                None => null_count += 1,
                Some(value) => {
                    min = Some(min.map_or(value, |least: &str| least.min(value)));
                    max = Some(max.map_or(value, |greatest: &str| greatest.max(value)));
                }
            }
        }
        if let Some(min) = min {
            let end = min.floor_char_boundary(STATS_TEXT_BYTES_MAX);
            least.insert(name.to_owned(), json!(min.get(..end)));
        }
        if let Some(max) = max.filter(|max| max.len() <= STATS_TEXT_BYTES_MAX) {
            greatest.insert(name.to_owned(), json!(max));
        }
        nulls.insert(name.to_owned(), json!(null_count));
    };
    for name in [column::PACKAGE, column::ORG_ID] {
        if let Some(values) = batch.column_by_name(name).and_then(|values| values.as_string_opt::<i32>()) {
            text(name, &mut values.iter());
        }
    }
    let moments = batch.column_by_name(column::TS).and_then(|ts| ts.as_primitive_opt::<TimestampMicrosecondType>());
    if let Some(moments) = moments {
        if let (Some(first), Some(last)) = (min(moments), max(moments)) {
            least.insert(column::TS.to_owned(), json!(millisecond_text(first)));
            greatest.insert(column::TS.to_owned(), json!(millisecond_text(last.saturating_add(999))));
        }
        nulls.insert(column::TS.to_owned(), json!(0));
    }
    json!({ "numRecords": batch.num_rows(), "minValues": least, "maxValues": greatest, "nullCount": nulls })
}

/// Delta's statistics know milliseconds: the least is rounded down here, the greatest up by the caller.
fn millisecond_text(micros: i64) -> String {
    timestamp_us_to_datetime(micros)
        .map(|moment| moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        .unwrap_or_default()
}
