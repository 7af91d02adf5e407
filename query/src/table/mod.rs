//! A table of the lake as DataFusion sees it: one snapshot of the Delta log, scanned by DataFusion's own Parquet source.

mod file;
mod prune;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use whopulls_schemas::event::{column, event_schema};

pub(crate) use file::{LiveFile, LiveFileError};

/// The columns of `events` in the contract's order, with texts as views: DataFusion groups and compares those without
/// copying them out of the Parquet pages.
pub(crate) fn scan_schema() -> SchemaRef {
    with_views(&event_schema())
}

/// Any table's columns in that way.
pub(crate) fn with_views(schema: &Schema) -> SchemaRef {
    let as_view = |field: &Arc<Field>| {
        if field.data_type() == &DataType::Utf8 {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
        } else {
            Arc::clone(field)
        }
    };
    Arc::new(Schema::new(schema.fields().iter().map(as_view).collect::<Vec<_>>()))
}

/// The same columns in the order of a file scan: what the files hold, then the partition column `date`.
fn file_scan_schema(schema: &SchemaRef) -> TableSchema {
    let (partition, file): (Vec<_>, Vec<_>) =
        schema.fields().iter().cloned().partition(|field| field.name() == column::DATE);
    TableSchema::builder(Arc::new(Schema::new(file))).with_table_partition_cols(partition).build()
}

/// The live files of one version of the table.
#[derive(Debug)]
pub(crate) struct LakeTable {
    schema: SchemaRef,
    file_schema: TableSchema,
    store: ObjectStoreUrl,
    files: Vec<Arc<LiveFile>>,
}

impl LakeTable {
    /// `files` are paths within `store`, with statistics over the columns in the order of [`LakeTable::stored_schema`].
    pub(crate) fn new(schema: SchemaRef, store: ObjectStoreUrl, files: Vec<Arc<LiveFile>>) -> Self {
        let file_schema = file_scan_schema(&schema);
        Self { schema, file_schema, store, files }
    }

    /// The columns that the files of a table with these columns hold: all but `date`.
    pub(crate) fn stored_schema(schema: &SchemaRef) -> SchemaRef {
        Arc::clone(file_scan_schema(schema).file_schema())
    }

    /// The files that may hold a row for which all of `filters` are true.
    fn files_for(&self, session: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let schema = self.file_schema.table_schema();
        let kept = match conjunction(filters.iter().cloned()) {
            Some(filter) => {
                let predicate = session.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?)?;
                prune::files_that_may_match(&self.files, predicate, schema)
            }
            None => self.files.clone(),
        };
        Ok(kept.iter().map(|file| file.to_scan()).collect())
    }

    /// Column numbers of the contract's order, as numbers of the file scan's order.
    fn projection(&self, columns: Option<&Vec<usize>>) -> Result<Vec<usize>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let scanned = self.file_schema.table_schema();
        columns.unwrap_or(&all).iter().map(|&index| Ok(scanned.index_of(self.schema.field(index).name())?)).collect()
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Inexact: files are left out here, rows by the filter that DataFusion then pushes into the Parquet source.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        columns: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files_for(session, filters)?;
        let projection = self.projection(columns)?;
        let scanned = self.file_schema.table_schema();
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(scanned.project(&projection)?))));
        }
        let statistics =
            Statistics::try_merge_iter(files.iter().filter_map(|file| file.statistics.as_deref()), scanned)?;
        let groups = FileGroup::new(files).split_files(session.config().target_partitions().max(1));
        let config =
            FileScanConfigBuilder::new(self.store.clone(), Arc::new(ParquetSource::new(self.file_schema.clone())))
                .with_file_groups(groups)
                .with_statistics(statistics)
                .with_projection_indices(Some(projection))?
                .with_limit(limit)
                .build();
        // The format adds the session's Parquet options and its cache of file footers.
        ParquetFormat::default()
            .with_options(session.default_table_options().parquet)
            .create_physical_plan(session, config)
            .await
    }
}
