//! RFC 4180, nulls as nothing, nested values as JSON.

use std::sync::Arc;

use arrow::csv::WriterBuilder;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::{cell, text, unwritable};
use crate::engine::{QueryError, QueryResult};

/// The answer as CSV with a header, which is there without rows too.
///
/// # Errors
/// A type that has no text.
pub(super) fn csv(result: &QueryResult) -> Result<String, QueryError> {
    let bytes = write(result).map_err(|error| unwritable(&error))?;
    text(bytes)
}

fn write(result: &QueryResult) -> Result<Vec<u8>, ArrowError> {
    let schema = Arc::new(Schema::new(result.schema.fields().iter().map(cell::flat_field).collect::<Vec<_>>()));
    let mut writer = WriterBuilder::new().with_header(true).build(Vec::new());
    if result.batches.is_empty() {
        writer.write(&RecordBatch::new_empty(Arc::clone(&schema)))?;
    }
    for batch in &result.batches {
        let columns =
            result.schema.fields().iter().zip(batch.columns()).map(|(field, column)| cell::flat(field, column));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        writer.write(&RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)?;
    }
    Ok(writer.into_inner())
}
