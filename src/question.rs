//! Questions on the command line.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use whopulls_enrich::io::environment::store_options;
use whopulls_query::{
    DayRange, Engine, EngineConfig, Format, OrganizationsQuery, QueryError, days_between, organizations,
    organizations_csv, organizations_json, organizations_table, with_thousands, write,
};
use whopulls_schemas::config::{Config, LakeUrl};

use crate::configuration::{ConfigArguments, lake_location};

/// How an answer is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AnswerFormat {
    /// For a terminal
    Table,
    /// Comma-separated values with a header
    Csv,
    /// JSON
    Json,
}

impl From<AnswerFormat> for Format {
    fn from(format: AnswerFormat) -> Self {
        match format {
            AnswerFormat::Table => Self::Table,
            AnswerFormat::Csv => Self::Csv,
            AnswerFormat::Json => Self::Json,
        }
    }
}

/// Answer one SQL query.
#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// How the answer is written
    #[arg(long, value_enum, default_value = "table")]
    format: AnswerFormat,
    /// The most rows; more are not shown, and that is said. Over `serve.rows_max` of the configuration
    #[arg(long, value_name = "ROWS")]
    rows_max: Option<usize>,
    /// The query: one SELECT over the tables `events`, `downloads`, `organizations`, `org_daily`, `coverage`, `docker_pulls`
    sql: String,
}

/// Show which organizations download.
#[derive(Debug, Args)]
pub(crate) struct OrgsArguments {
    /// Downloads of this package alone
    #[arg(long)]
    package: Option<String>,
    /// The first UTC day, as 2026-11-24
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last UTC day, included
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Organizations of this kind alone: business, education, government
    #[arg(long)]
    kind: Option<String>,
    /// The most organizations
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "table")]
    format: AnswerFormat,
}

/// `whopulls sql`.
pub(crate) async fn sql(arguments: &ConfigArguments, sql: &SqlArguments) -> Result<()> {
    let mut config = arguments.read()?;
    if let Some(rows_max) = sql.rows_max {
        config.serve.rows_max = rows_max;
    }
    let engine = open_engine(&config)?;
    let answer = engine.sql(&sql.sql).await.map_err(told)?;
    print(&write(&answer, sql.format.into())?)?;
    if answer.truncated {
        let rows = thousands(answer.rows() as u64);
        writeln!(std::io::stderr(), "only the first {rows} rows are shown; --rows-max shows more")?;
    }
    Ok(())
}

/// `whopulls orgs`.
pub(crate) async fn orgs(arguments: &ConfigArguments, orgs: &OrgsArguments) -> Result<()> {
    let engine = open_engine(&arguments.read()?)?;
    let query = OrganizationsQuery {
        package: orgs.package.clone(),
        from: orgs.from.clone(),
        to: orgs.to.clone(),
        kind: orgs.kind.clone(),
        limit: orgs.limit,
    };
    let answer = organizations(&engine, &query).await.map_err(told)?;
    print(&match orgs.format {
        AnswerFormat::Table => organizations_table(&answer),
        AnswerFormat::Csv => organizations_csv(&answer),
        AnswerFormat::Json => organizations_json(&answer)?,
    })
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.trim_end().as_bytes())?;
    writeln!(out)?;
    Ok(())
}

pub(crate) fn told(error: QueryError) -> anyhow::Error {
    let hint = error.hint();
    let error = anyhow::Error::from(error);
    if hint.is_empty() { error } else { anyhow::anyhow!("{error:#}\n  hint: {hint}") }
}

/// The engine over the configured lake.
pub(crate) fn open_engine(config: &Config) -> Result<Engine> {
    if let Some(LakeUrl::Folder(folder)) = config.lake_url() {
        ensure_folder(&folder)?;
    }
    let serve = &config.serve;
    let engine = Engine::open(EngineConfig {
        events_location: lake_location(config)?,
        storage_options: store_options(&config.lake.options),
        memory_bytes_max: usize::try_from(serve.memory_bytes_max).context("read serve.memory_bytes_max")?,
        rows_max: serve.rows_max,
        timeout: Duration::from_secs(serve.timeout_s),
        concurrency_max: NonZeroUsize::new(serve.concurrency_max).unwrap_or(NonZeroUsize::MIN),
    });
    engine.map_err(told)
}

/// A folder that is a file is a mistake that is better told here than by a library.
fn ensure_folder(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("the lake {} is not a folder", folder.display());
    }
    Ok(())
}

/// A number with commas between the thousands.
pub(crate) fn thousands(number: u64) -> String {
    with_thousands(&number.to_string())
}

/// Days from one to another, both included; open where one is not given.
pub(crate) fn day_range(from: Option<&str>, to: Option<&str>) -> Result<DayRange> {
    days_between(from, to).map_err(told)
}
