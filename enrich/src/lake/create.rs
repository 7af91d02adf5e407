//! Opening the table, and making it when there is none.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{StructField, StructType};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::operations::create::CreateBuilder;
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use object_store::prefix::PrefixStore;
use whopulls_schemas::docker::{REVISION, docker_schema};
use whopulls_schemas::event::{SORT_ORDER, column, event_schema};

use super::store::OpenedStore;
use super::{CHECKPOINT_INTERVAL, Lake, LakeError};

/// Tries of "open, else create, else open" when several processes start on an empty folder.
const ATTEMPTS_MAX: u32 = 3;

/// What a table is, where it has to be made, and what it must have, where it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableKind {
    name: &'static str,
    comment: &'static str,
    schema: fn() -> SchemaRef,
    stats_columns: &'static [&'static str],
}

pub(super) const EVENTS: TableKind = TableKind {
    name: "events",
    comment: "One row for each access that a client saw answered",
    schema: event_schema,
    stats_columns: &SORT_ORDER,
};

pub(super) const DOCKER_PULLS: TableKind = TableKind {
    name: "docker_pulls",
    comment: "Docker's sums for a verified publisher, by company, image and client",
    schema: docker_schema,
    stats_columns: &[REVISION],
};

/// The table that is there.
pub(super) async fn open(opened: OpenedStore, kind: TableKind) -> Result<Lake, LakeError> {
    let table_name = opened.url.to_string();
    let (log_store, store) = log_of(opened);
    if exists(&log_store, &table_name).await? {
        return load(log_store, store, &table_name, kind).await;
    }
    Err(LakeError::NoTable { table: table_name })
}

pub(super) async fn open_or_create(opened: OpenedStore, kind: TableKind) -> Result<Lake, LakeError> {
    let table_name = opened.url.to_string();
    let (log_store, store) = log_of(opened);
    let mut last_error = None;
    for _ in 0..ATTEMPTS_MAX {
        // A failure may only say that another process was faster: the next round looks again.
        last_error = if exists(&log_store, &table_name).await? { None } else { create(&log_store, kind).await.err() };
        if last_error.is_none() {
            return load(log_store, store, &table_name, kind).await;
        }
    }
    let source = Box::new(last_error.unwrap_or(DeltaTableError::NotInitialized));
    Err(LakeError::Create { table: table_name, source })
}

fn log_of(opened: OpenedStore) -> (LogStoreRef, Arc<dyn object_store::ObjectStore>) {
    let store: Arc<dyn object_store::ObjectStore> =
        Arc::new(PrefixStore::new(Arc::clone(&opened.root), opened.prefix.clone()));
    let log_store = default_logstore(Arc::clone(&store), opened.root, &opened.url, &StorageConfig::default());
    (log_store, store)
}

async fn exists(log_store: &LogStoreRef, name: &str) -> Result<bool, LakeError> {
    let exists = log_store.is_delta_table_location().await;
    exists.map_err(|source| LakeError::Read { table: name.to_owned(), source: Box::new(source) })
}

async fn load(
    log_store: LogStoreRef,
    store: Arc<dyn object_store::ObjectStore>,
    name: &str,
    kind: TableKind,
) -> Result<Lake, LakeError> {
    let ours = (kind.schema)();
    let read_error = |source| LakeError::Read { table: name.to_owned(), source: Box::new(source) };
    let mut table = DeltaTable::new(log_store);
    table.load().await.map_err(read_error)?;
    let mut found = table.snapshot().map_err(read_error)?.snapshot().arrow_schema();
    let missing = missing(&ours, &found);
    if !missing.is_empty() {
        // A table of before these columns gets them, empty. Another process may have been faster.
        let commit = CommitProperties::default().with_max_retries(0);
        let added = table.clone().add_columns().with_fields(missing).with_commit_properties(commit).await;
        table.load().await.map_err(read_error)?;
        found = table.snapshot().map_err(read_error)?.snapshot().arrow_schema();
        if compare(&ours, &found, name).is_err()
            && let Err(source) = added
        {
            return Err(read_error(source));
        }
    }
    compare(&ours, &found, name)?;
    Ok(Lake { table, store })
}

async fn create(log_store: &LogStoreRef, kind: TableKind) -> Result<(), DeltaTableError> {
    let schema: StructType = (kind.schema)().as_ref().try_into_kernel().map_err(DeltaTableError::from)?;
    // No retry: deltalake's would write the metadata a second time over a table that another process just made.
    let commit = CommitProperties::default().with_max_retries(0);
    CreateBuilder::new()
        .with_log_store(Arc::clone(log_store))
        .with_table_name(kind.name)
        .with_comment(kind.comment)
        .with_columns(schema.fields().cloned())
        .with_partition_columns([column::DATE])
        .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_INTERVAL.to_string()))
        .with_configuration_property(TableProperty::DataSkippingStatsColumns, Some(kind.stats_columns.join(",")))
        .with_commit_properties(commit)
        .await
        .map(drop)
}

/// Columns of ours that the table does not have and that may be empty.
fn missing(ours: &SchemaRef, found: &Schema) -> Vec<StructField> {
    let is_missing = |field: &&FieldRef| field.is_nullable() && found.field_with_name(field.name()).is_err();
    ours.fields().iter().filter(is_missing).filter_map(|field| field.as_ref().try_into_kernel().ok()).collect()
}

/// Every column of ours must be there with its type; a table may have more.
fn compare(ours: &SchemaRef, found: &Schema, table: &str) -> Result<(), LakeError> {
    for field in ours.fields() {
        let problem = match found.field_with_name(field.name()) {
            Err(_) => "is missing".to_owned(),
            Ok(other) if !same_type(field.data_type(), other.data_type()) => {
                format!("is {} instead of {}", other.data_type(), field.data_type())
            }
            Ok(_) => continue,
        };
        return Err(LakeError::Schema { table: table.to_owned(), column: field.name().clone(), problem });
    }
    Ok(())
}

/// Delta's own mapping to Arrow names the inner fields of maps in its way, so nested types are compared by kind.
fn same_type(ours: &arrow::datatypes::DataType, found: &arrow::datatypes::DataType) -> bool {
    ours == found || (ours.is_nested() && std::mem::discriminant(ours) == std::mem::discriminant(found))
}
