//! Answers SQL over the lake, within bounds: memory, time, rows, bytes, queries at once.

mod error;
mod guard;
mod session;
mod views;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SessionContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use whopulls_schemas::docker::{docker_location, docker_schema};

pub use error::{Fault, QueryError};
pub(crate) use views::coverage_where;

use crate::io::{Lake, LakeError};
use crate::table::{scan_schema, with_views};

/// The longest query that is read.
pub const SQL_BYTES_MAX: usize = 64 << 10;
/// The most bytes of one answer that are held: with 8 queries at once, 2 GiB.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// For each query that runs, so many may wait.
const WAITING_PER_RUNNING: usize = 8;

/// What the engine reads and how much it may use.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The table `events`: a folder, or a URL that `object_store` understands. The location that the worker writes to.
    pub events_location: String,
    /// `object_store`'s own options for it: endpoint, region, keys.
    pub storage_options: BTreeMap<String, String>,
    /// Memory for all queries together.
    pub memory_bytes_max: usize,
    /// The most rows of one answer; a longer one is cut, and says so.
    pub rows_max: usize,
    /// How long a query may wait and run.
    pub timeout: Duration,
    /// Queries that run at once.
    pub concurrency_max: NonZeroUsize,
}

/// The answer to a query.
#[derive(Debug)]
pub struct QueryResult {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// There were more rows than `rows_max`.
    pub truncated: bool,
}

impl QueryResult {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Answers queries. Clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    config: EngineConfig,
    lake: Lake,
    docker: Lake,
    base: SessionState,
    prepared: Mutex<Option<Snapshot>>,
    running: Arc<Semaphore>,
    admitted: Semaphore,
    runtime: QueryRuntime,
}

/// One version of the lake, for questions that must agree with each other.
#[derive(Clone)]
pub struct Snapshot {
    version: u64,
    /// The version of the table that holds Docker's reports, where there is one.
    docker_version: Option<u64>,
    state: Arc<SessionState>,
}

impl Engine {
    /// Starts the threads that queries run on. Nothing is read yet: the table may come later.
    ///
    /// # Errors
    /// A location that is not one.
    pub fn open(config: EngineConfig) -> Result<Self, QueryError> {
        let open = |location: &str, schema| Lake::new(location, &config.storage_options, schema);
        let lake = open(&config.events_location, scan_schema())?;
        let docker = open(&docker_location(&config.events_location), with_views(&docker_schema()))?;
        let internal = |error: &dyn std::fmt::Display| QueryError::Internal(format!("start the query engine: {error}"));
        let env = session::runtime(config.memory_bytes_max).map_err(|error| internal(&error))?;
        let (store_url, store) = lake.root();
        env.register_object_store(store_url.as_ref(), store);
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let base = session::base(env, threads);
        let runtime = QueryRuntime::start(threads).map_err(|error| internal(&error))?;
        let concurrency = config.concurrency_max.get();
        Ok(Self(Arc::new(Shared {
            config,
            lake,
            docker,
            base,
            prepared: Mutex::new(None),
            running: Arc::new(Semaphore::new(concurrency)),
            admitted: Semaphore::new(concurrency.saturating_mul(1 + WAITING_PER_RUNNING)),
            runtime,
        })))
    }

    /// Where the table is.
    pub fn location(&self) -> &url::Url {
        self.0.lake.url()
    }

    /// Answers one SQL query from the newest version of the table.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn sql(&self, sql: &str) -> Result<QueryResult, QueryError> {
        let snapshot = self.snapshot().await?;
        self.ask(&snapshot, sql, Vec::new()).await
    }

    /// The newest version of the table.
    ///
    /// # Errors
    /// The table cannot be read, or there is none yet.
    pub async fn snapshot(&self) -> Result<Snapshot, QueryError> {
        let shared = Arc::clone(&self.0);
        self.0.run(async move { shared.prepare().await }).await
    }

    /// Answers one SQL query from this version, with `$name` in it standing for the parameter of that name.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn ask(
        &self,
        snapshot: &Snapshot,
        sql: &str,
        parameters: Vec<(&'static str, ScalarValue)>,
    ) -> Result<QueryResult, QueryError> {
        guard::check_size(sql)?;
        let _admitted = self
            .0
            .admitted
            .try_acquire()
            .map_err(|_| QueryError::Busy { running_max: self.0.config.concurrency_max.get() })?;
        let (running, config) = (Arc::clone(&self.0.running), self.0.config.clone());
        let (state, sql) = (Arc::clone(&snapshot.state), sql.to_owned());
        let query = async move {
            let Ok(_running) = running.acquire_owned().await else {
                return Err(QueryError::Internal("the queue of queries is closed".to_owned()));
            };
            answer(&state, &sql, parameters, &config).await
        };
        self.0.run(query).await
    }
}

impl Snapshot {
    /// The version of the Delta table.
    pub const fn version(&self) -> u64 {
        self.version
    }
}

impl Shared {
    /// Sessions are made once for a version, not for each query.
    async fn prepare(&self) -> Result<Snapshot, QueryError> {
        let (newest, docker) = tokio::join!(self.lake.newest(), self.docker.newest());
        let (newest, docker) = (newest?, docker.map(Some).or_else(LakeError::when_there_is_one)?);
        let docker_version = docker.as_ref().map(|docker| docker.version);
        let mut prepared = self.prepared.lock().await;
        let is_same = |known: &&Snapshot| known.version == newest.version && known.docker_version == docker_version;
        if let Some(known) = prepared.as_ref().filter(is_same) {
            return Ok(known.clone());
        }
        let docker_pulls = docker.map_or_else(|| self.docker.empty(), |docker| docker.table);
        let tables = session::Tables { events: newest.table, docker_pulls };
        let state = session::with_tables(&self.base, tables).await.map_err(|error| self.translate(&error))?;
        let snapshot = Snapshot { version: newest.version, docker_version, state: Arc::new(state) };
        *prepared = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Runs on the query threads; stops when the caller goes away or the time is over.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let mut task = JoinSet::new();
        task.spawn_on(work, self.runtime.handle()?);
        match tokio::time::timeout(self.config.timeout, task.join_next()).await {
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(error))) => Err(QueryError::Internal(format!("a query stopped short: {error}"))),
            Ok(None) => Err(QueryError::Internal("a query never started".to_owned())),
            Err(_) => Err(QueryError::Timeout(self.config.timeout)),
        }
    }

    fn translate(&self, error: &DataFusionError) -> QueryError {
        QueryError::of_datafusion(error, self.config.memory_bytes_max)
    }
}

async fn answer(
    state: &SessionState,
    sql: &str,
    parameters: Vec<(&'static str, ScalarValue)>,
    config: &EngineConfig,
) -> Result<QueryResult, QueryError> {
    let translate = |error: DataFusionError| QueryError::of_datafusion(&error, config.memory_bytes_max);
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(translate)?;
    guard::check_statement(&statement, sql)?;
    let mut plan = state.statement_to_plan(statement).await.map_err(translate)?;
    guard::check_plan(&plan)?;
    if !parameters.is_empty() {
        plan = plan.with_param_values(ParamValues::from(parameters)).map_err(translate)?;
    }
    let plan = at_most(plan, config.rows_max).map_err(translate)?;
    let context = SessionContext::new_with_state(state.clone());
    let frame = context.execute_logical_plan(plan).await.map_err(translate)?;
    let stream = frame.execute_stream().await.map_err(translate)?;
    collect(stream, config).await
}

/// One row more than may be answered, so that a cut is known to be one.
fn at_most(plan: LogicalPlan, rows_max: usize) -> Result<LogicalPlan, DataFusionError> {
    if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)) {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan).limit(0, Some(rows_max.saturating_add(1)))?.build()
}

async fn collect(mut stream: SendableRecordBatchStream, config: &EngineConfig) -> Result<QueryResult, QueryError> {
    let mut answer = QueryResult { schema: stream.schema(), batches: Vec::new(), truncated: false };
    let (mut room, mut bytes) = (config.rows_max, 0_usize);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| QueryError::of_datafusion(&error, config.memory_bytes_max))?;
        bytes = bytes.saturating_add(batch_bytes(&batch));
        if bytes > ANSWER_BYTES_MAX {
            return Err(QueryError::TooLarge { bytes_max: ANSWER_BYTES_MAX });
        }
        if batch.num_rows() > room {
            answer.truncated = true;
            answer.batches.push(batch.slice(0, room));
            break;
        }
        room -= batch.num_rows();
        answer.batches.push(batch);
    }
    answer.batches.retain(|batch| batch.num_rows() > 0);
    Ok(answer)
}

/// The bytes of the values themselves; buffers that batches share count once for each.
fn batch_bytes(batch: &RecordBatch) -> usize {
    let size = |column: &arrow::array::ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(size).sum()
}

/// The columns of `events`, for those who describe them.
pub fn events_schema() -> SchemaRef {
    scan_schema()
}

/// Threads for queries alone, so that a heavy one does not delay the answers of the HTTP server.
struct QueryRuntime(Option<Runtime>);

impl QueryRuntime {
    fn start(threads: usize) -> std::io::Result<Self> {
        /// Planning recurses, and so does taking a plan apart. Only what is used is taken from the machine. For each token a
        /// query may have: 12 KiB.
        const STACK_BYTES: usize = 12 * 1024 * guard::TOKENS_MAX;
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("whopulls-query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> Result<&tokio::runtime::Handle, QueryError> {
        let runtime = self.0.as_ref().map(Runtime::handle);
        runtime.ok_or_else(|| QueryError::Internal("the query engine has stopped".to_owned()))
    }
}

impl Drop for QueryRuntime {
    /// A runtime must not be waited for inside another.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
