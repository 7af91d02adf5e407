//! JSON: an array of objects, or rows as arrays for the API.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::StructMode;
use arrow::json::writer::{JsonArray, WriterBuilder};
use serde_json::value::RawValue;

use super::{text, unwritable};
use crate::engine::{QueryError, QueryResult};

/// The answer as an array of objects, nulls written.
///
/// # Errors
/// A type that has no JSON.
pub(super) fn json(result: &QueryResult) -> Result<String, QueryError> {
    array(result, StructMode::ObjectOnly)
}

/// The rows as an array of arrays, in the order of the columns.
pub(crate) fn json_rows(result: &QueryResult) -> Result<Box<RawValue>, QueryError> {
    let rows = array(result, StructMode::ListOnly)?;
    RawValue::from_string(rows).map_err(|error| QueryError::Internal(format!("the rows are not JSON: {error}")))
}

/// The names of the columns with their types.
pub(crate) fn column_names(result: &QueryResult) -> impl Iterator<Item = (&str, String)> {
    result.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().to_string()))
}

fn array(result: &QueryResult, mode: StructMode) -> Result<String, QueryError> {
    let bytes = write(&result.batches, mode).map_err(|error| unwritable(&error))?;
    text(if bytes.is_empty() { b"[]".to_vec() } else { bytes })
}

fn write(batches: &[RecordBatch], mode: StructMode) -> Result<Vec<u8>, ArrowError> {
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).with_struct_mode(mode).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(writer.into_inner())
}
