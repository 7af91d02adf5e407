//! Which files can be left out: those whose partition value or statistics in the log exclude every row.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use super::LiveFile;

/// A predicate that cannot be turned into one on statistics leaves every file in.
pub(super) fn files_that_may_match(
    files: &[Arc<LiveFile>],
    predicate: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Vec<Arc<LiveFile>> {
    let kept = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(schema))
        .try_build(predicate)
        .and_then(|predicate| predicate.prune(&LogStatistics { files, schema }));
    match kept {
        Ok(kept) => files.iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| Arc::clone(file)).collect(),
        Err(error) => {
            tracing::debug!(%error, "the filter does not prune files");
            files.to_vec()
        }
    }
}

/// The statistics of the log, column by column over all files. Bounds need not be exact to prune by.
struct LogStatistics<'a> {
    files: &'a [Arc<LiveFile>],
    schema: &'a SchemaRef,
}

impl LogStatistics<'_> {
    fn column_statistics(&self, column: &Column) -> Option<(usize, impl Iterator<Item = Option<&ColumnStatistics>>)> {
        let index = self.schema.index_of(column.name()).ok()?;
        Some((index, self.files.iter().map(move |file| file.statistics().column_statistics.get(index))))
    }

    fn bounds(&self, column: &Column, bound: fn(&ColumnStatistics) -> &Precision<ScalarValue>) -> Option<ArrayRef> {
        let (index, statistics) = self.column_statistics(column)?;
        let data_type = self.schema.field(index).data_type();
        let unknown = ScalarValue::try_from(data_type).ok()?;
        let values = statistics
            .map(|known| known.and_then(|known| bound(known).get_value().cloned()).unwrap_or(unknown.clone()));
        if self.files.is_empty() {
            return Some(new_null_array(data_type, 0));
        }
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for LogStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |statistics| &statistics.min_value)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |statistics| &statistics.max_value)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (_, statistics) = self.column_statistics(column)?;
        let counts: UInt64Array = statistics
            .map(|known| {
                known.and_then(|known| known.null_count.get_value()).and_then(|&count| u64::try_from(count).ok())
            })
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows =
            |file: &Arc<LiveFile>| file.statistics().num_rows.get_value().and_then(|&rows| u64::try_from(rows).ok());
        Some(Arc::new(self.files.iter().map(rows).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
