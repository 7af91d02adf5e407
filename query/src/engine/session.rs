//! The DataFusion session that queries are planned in: its settings, its functions, its tables.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::catalog::{CatalogProviderList, SchemaProvider};
use datafusion::common::Result;
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;

use super::guard::AMPLIFIERS;
use super::views::VIEWS;
use crate::table::LakeTable;

/// The tables of one moment.
pub(super) struct Tables {
    pub(super) events: Arc<LakeTable>,
    pub(super) docker_pulls: Arc<LakeTable>,
}

const CATALOG: &str = "whopulls";
const SCHEMA: &str = "public";
/// Footers of Parquet files kept between queries: 64 MiB, about 2,000 files of 50 columns.
const FOOTER_CACHE_BYTES_MAX: usize = 64 << 20;
/// What sorts and groups may put in temporary files, all queries together.
const SPILL_BYTES_MAX: u64 = 8 << 30;

/// Memory, temporary files and caches, shared by all queries.
pub(super) fn runtime(memory_bytes_max: usize) -> Result<Arc<RuntimeEnv>> {
    let spill = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::OsTmpDirectory)
        .with_max_temp_directory_size(SPILL_BYTES_MAX);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes_max)))
        .with_disk_manager_builder(spill)
        .with_metadata_cache_limit(FOOTER_CACHE_BYTES_MAX)
        .build_arc()
}

/// A session without tables, from which the one of each snapshot is made.
pub(super) fn base(runtime: Arc<RuntimeEnv>, threads: usize) -> SessionState {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(threads);
    let options = config.options_mut();
    options.execution.enable_recursive_ctes = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_functions(HashMap::new())
        .with_table_factories(HashMap::new());
    if let Some(functions) = builder.scalar_functions().as_mut() {
        functions.retain(|function| !AMPLIFIERS.contains(&function.name()));
    }
    builder.build()
}

/// The session in which the tables are these snapshots.
pub(super) async fn with_tables(base: &SessionState, tables: Tables) -> Result<SessionState> {
    let schema = Arc::new(MemorySchemaProvider::new());
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::clone(&schema) as Arc<dyn SchemaProvider>)?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    schema.register_table("events".to_owned(), tables.events)?;
    schema.register_table("docker_pulls".to_owned(), tables.docker_pulls)?;
    let state = SessionStateBuilder::new_from_existing(base.clone()).with_catalog_list(Arc::new(catalogs)).build();
    for (name, sql) in VIEWS {
        let plan = state.create_logical_plan(sql).await?;
        schema.register_table(name.to_owned(), Arc::new(ViewTable::new(plan, Some(sql.to_owned()))))?;
    }
    Ok(state)
}
