//! Writes small Delta tables, as the worker does.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::operations::create::CreateBuilder;
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaTable, Path};
use serde_json::{Value, json};
use tempfile::TempDir;
use whopulls_query::{Engine, EngineConfig, QueryError, QueryResult};
use whopulls_schemas::event::event_schema;

/// A lake in a folder of its own.
pub(crate) struct Lake {
    dir: TempDir,
    schema: SchemaRef,
    table: Option<DeltaTable>,
}

impl Lake {
    /// A folder without a table.
    pub(crate) fn nothing() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder"), schema: event_schema(), table: None }
    }

    /// An empty table with the columns of the contract.
    pub(crate) async fn empty() -> Self {
        Self::without_columns(&[]).await
    }

    /// An empty table as an older version made it.
    pub(crate) async fn without_columns(missing: &[&str]) -> Self {
        let mut lake = Self::nothing();
        let fields = lake.schema.fields().iter().filter(|field| !missing.contains(&field.name().as_str()));
        lake.schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        lake.create().await;
        lake
    }

    /// A table with the rows of [`downloads`].
    pub(crate) async fn with_downloads() -> Self {
        let mut lake = Self::empty().await;
        lake.append(&downloads()).await;
        lake
    }

    pub(crate) async fn create(&mut self) {
        let columns: StructType = self.schema.as_ref().try_into_kernel().expect("Delta's types");
        std::fs::create_dir_all(self.events()).expect("the table's folder");
        let table = CreateBuilder::new()
            .with_location(self.location())
            .with_columns(columns.fields().cloned())
            .with_partition_columns(["date"])
            .await
            .expect("a table");
        self.table = Some(table);
    }

    /// One commit; a file for each day.
    pub(crate) async fn append(&mut self, rows: &[Value]) {
        let table = self.table.as_mut().expect("a table to append to");
        let mut writer = RecordBatchWriter::for_table(table).expect("a writer");
        let batch = batch(&self.schema, rows);
        let delta = writer.arrow_schema();
        let columns = batch
            .columns()
            .iter()
            .zip(delta.fields())
            .map(|(column, field)| arrow::compute::cast(column, field.data_type()).expect("Delta's type"));
        let batch = RecordBatch::try_new(Arc::clone(&delta), columns.collect()).expect("Delta's columns");
        writer.write(batch).await.expect("a file");
        writer.flush_and_commit(table).await.expect("a commit");
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.dir.path().join("lake").join("events")
    }

    pub(crate) fn location(&self) -> String {
        self.events().to_str().expect("a path in UTF-8").to_owned()
    }

    /// The live files' paths within the table.
    pub(crate) async fn files(&self) -> Vec<Path> {
        let table = self.table.as_ref().expect("a table");
        table.get_files_by_partitions(&[]).await.expect("the files")
    }

    pub(crate) fn config(&self) -> EngineConfig {
        EngineConfig {
            events_location: self.location(),
            storage_options: BTreeMap::new(),
            memory_bytes_max: 64 << 20,
            rows_max: 1_000,
            timeout: Duration::from_secs(20),
            concurrency_max: NonZeroUsize::MIN.saturating_add(3),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::open(self.config()).expect("an engine")
    }
}

fn batch(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).build_decoder().expect("a decoder");
    let rows: Vec<Value> = rows.iter().enumerate().map(|(seq, row)| event(seq, row)).collect();
    decoder.serialize(&rows).expect("rows of the contract");
    decoder.flush().expect("rows that decode").expect("at least one row")
}

/// A row with what every event has; `row` says the rest.
fn event(seq: usize, row: &Value) -> Value {
    let mut event = json!({
        "id": format!("00000000-0000-7000-8000-{seq:012}"), "node": "node-a", "seq": seq, "method": "GET", "kind": "file",
        "action": "download", "ts": "2026-11-20T12:00:00Z", "package": "app", "status": 302,
    });
    let fields = event.as_object_mut().expect("an object");
    fields.extend(row.as_object().expect("an object").clone());
    let day: String = fields["ts"].as_str().expect("a time").chars().take(10).collect();
    fields.insert("date".to_owned(), json!(day));
    event
}

/// Three days: two organizations, a cloud, a provider, one client that does not want to be known, and requests that are no downloads.
pub(crate) fn downloads() -> Vec<Value> {
    let acme = |day: u32, endpoint: i64| {
        json!({"ts": format!("2026-11-{day}T08:00:00.000123Z"), "org_id": "acme.example", "org_name": "Acme",
            "org_domain": "acme.example", "org_kind": "business", "org_confidence": 0.9, "network_kind": "business",
            "asn": 64500, "endpoint_id": endpoint, "org_evidence": ["overlay", "asn"], "vars": {"arch": "amd64"}})
    };
    let university = |package: &str| {
        json!({"ts": "2026-11-21T09:30:00Z", "org_id": "uni.example", "org_name": "University, of Example",
            "org_domain": "uni.example", "org_kind": "education", "org_confidence": 0.7, "network_kind": "education",
            "endpoint_id": 900, "package": package})
    };
    vec![
        acme(20, 1),
        acme(20, 1),
        acme(21, 2),
        acme(22, 3),
        university("app"),
        university("tool"),
        json!({"network_kind": "hosting", "endpoint_id": 500, "cloud": "aws", "client": "curl\u{1b}[31m"}),
        json!({"network_kind": "vpn", "endpoint_id": 501}),
        json!({"network_kind": "mobile", "endpoint_id": 600}),
        json!({"network_kind": "isp", "endpoint_id": 601, "ts": "2026-11-22T23:59:59.999999Z"}),
        json!({"dnt": true}),
        json!({"network_kind": "isp", "endpoint_id": 602, "action": "version_check", "method": "HEAD"}),
        json!({"action": "pull", "kind": "oci", "network_kind": "unknown", "endpoint_id": 700}),
    ]
}

pub(crate) async fn ask(engine: &Engine, sql: &str) -> Result<QueryResult, QueryError> {
    engine.sql(sql).await
}

/// The answer as CSV.
pub(crate) async fn csv(engine: &Engine, sql: &str) -> String {
    let result = ask(engine, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    whopulls_query::write(&result, whopulls_query::Format::Csv).expect("CSV")
}
