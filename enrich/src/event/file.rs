//! One sorted Parquet file for each UTC day of a batch.

use std::collections::BTreeMap;

use arrow::array::temporal_conversions::timestamp_us_to_datetime;
use arrow::array::types::{Date32Type, TimestampMicrosecondType};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{max, min};
use parquet::arrow::ArrowWriter;
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

/// Rows in a data page: the unit that the page index lets a reader skip.
const PAGE_ROWS_MAX: usize = 8192;

/// Bytes of a text in the statistics; a longer smallest value is cut, a longer greatest value is left out.
const STATS_TEXT_BYTES_MAX: usize = 64;

/// Sorts the events by (`package`, `org_id`, `ts`) within their days and encodes each day as a file.
///
/// # Errors
/// Only when schema and code disagree.
pub fn encode_files(events: &[Event]) -> Result<Vec<EncodedFile>, EncodeError> {
    let mut days: BTreeMap<i32, Vec<&Event>> = BTreeMap::new();
    for event in events {
        days.entry(event.raw.ts.day()).or_default().push(event);
    }
    days.into_iter().map(|(day, events)| encode_day(day, events)).collect()
}

fn encode_day(day: i32, mut events: Vec<&Event>) -> Result<EncodedFile, EncodeError> {
    events.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    let date = date_text(day);
    let batch =
        without_date(&record_batch(&events)?).map_err(|source| EncodeError::Arrow { rows: events.len(), source })?;
    encode_sorted(&date, &batch)
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
fn date_text(day: i32) -> String {
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
    properties = properties.set_column_dictionary_enabled(ColumnPath::from(column::ID), false);
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()))?;
    writer.write(batch)?;
    writer.into_inner()
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
