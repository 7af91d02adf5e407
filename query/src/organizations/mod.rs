//! The question that the project exists for: which organizations download it, and how much of the downloads that explains.

mod coverage;
pub(crate) mod day;
mod print;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use serde::Serialize;

pub(crate) use coverage::percentages;
pub use coverage::{Class, Coverage, PerClass};
pub use day::{DayRange, days_between};
pub use print::{organizations_csv, organizations_json, organizations_table};

use crate::engine::{Engine, QueryError, Snapshot, coverage_where};

/// How many organizations are answered when the question does not say.
pub const LIMIT_DEFAULT: usize = 100;
/// The most organizations of one answer.
pub const LIMIT_MAX: usize = 10_000;

/// The question. `Default` asks for everything.
#[derive(Debug, Clone, Default)]
pub struct OrganizationsQuery {
    /// Downloads of this package alone.
    pub package: Option<String>,
    /// The first UTC day, as `2026-11-24`.
    pub from: Option<String>,
    /// The last UTC day, included.
    pub to: Option<String>,
    /// Organizations of this kind alone: business, education, government, ... Coverage is not narrowed by it.
    pub kind: Option<String>,
    /// The most organizations, the largest first; absent: [`LIMIT_DEFAULT`].
    pub limit: Option<usize>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrganizationsAnswer {
    /// The organizations, most downloads first.
    pub organizations: Vec<Organization>,
    /// How many there are without the limit.
    pub total_organizations: u64,
    /// What the ranking explains and what it does not.
    pub coverage: Coverage,
}

/// One organization. Its numbers are floors: a mirror of its own asks once for many.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Organization {
    /// The registrable domain where known, else `as<number>`.
    pub org_id: String,
    /// Its name.
    pub name: Option<String>,
    /// business, education, government, ...
    pub kind: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// Downloads.
    pub downloads: u64,
    /// Distinct clients among them.
    pub endpoints: u64,
    /// The first download, RFC 3339.
    pub first_seen: Option<String>,
    /// The last download, RFC 3339.
    pub last_seen: Option<String>,
    /// How sure the attribution is, from 0 to 1: the mean over its downloads.
    pub confidence: Option<f64>,
}

/// The organizations that downloaded, with coverage, both from one version of the table.
///
/// # Errors
/// A day that is not one, a limit out of bounds, and all that [`QueryError`] names.
pub async fn organizations(engine: &Engine, query: &OrganizationsQuery) -> Result<OrganizationsAnswer, QueryError> {
    let asked = Conditions::of(query)?;
    let snapshot = engine.snapshot().await?;
    let ranking = ranking(engine, &snapshot, &asked).await?;
    let coverage = coverage(engine, &snapshot, &asked).await?;
    let total_organizations = ranking.1;
    Ok(OrganizationsAnswer { organizations: ranking.0, total_organizations, coverage })
}

/// The question as SQL conditions whose values are parameters.
struct Conditions {
    downloads: String,
    organizations: String,
    parameters: Vec<(&'static str, ScalarValue)>,
    kind: Option<(&'static str, ScalarValue)>,
    limit: usize,
}

impl Conditions {
    fn of(query: &OrganizationsQuery) -> Result<Self, QueryError> {
        let mut conditions = vec!["true"];
        let mut parameters = Vec::new();
        let text = |value: &str| ScalarValue::Utf8View(Some(value.to_owned()));
        if let Some(package) = &query.package {
            conditions.push("package = $package");
            parameters.push(("package", text(package)));
        }
        let (from, to) = day::range(query.from.as_deref(), query.to.as_deref())?;
        if let Some(from) = from {
            conditions.push("date >= $from_day");
            parameters.push(("from_day", ScalarValue::Date32(Some(from))));
        }
        if let Some(to) = to {
            conditions.push("date <= $to_day");
            parameters.push(("to_day", ScalarValue::Date32(Some(to))));
        }
        let downloads = conditions.join(" AND ");
        let organizations = if query.kind.is_some() { "org_kind = $org_kind" } else { "true" };
        Ok(Self {
            organizations: format!("{downloads} AND org_id IS NOT NULL AND {organizations}"),
            downloads,
            parameters,
            kind: query.kind.as_deref().map(|kind| ("org_kind", text(kind))),
            limit: limit(query.limit)?,
        })
    }
}

fn limit(asked: Option<usize>) -> Result<usize, QueryError> {
    match asked {
        None => Ok(LIMIT_DEFAULT),
        Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        Some(limit) => Err(QueryError::Parameter {
            parameter: "limit",
            value: limit.to_string(),
            expected: "a number from 1 to 10000",
        }),
    }
}

async fn ranking(
    engine: &Engine,
    snapshot: &Snapshot,
    asked: &Conditions,
) -> Result<(Vec<Organization>, u64), QueryError> {
    const RFC3339: &str = "%Y-%m-%dT%H:%M:%SZ";
    let sql = format!(
        "SELECT org_id, max(org_name), max(org_kind), max(org_domain), to_char(min(ts), '{RFC3339}'), \
         to_char(max(ts), '{RFC3339}'), count(*) AS downloads, count(DISTINCT endpoint_id), count(*) OVER (), \
         avg(org_confidence) FROM downloads WHERE {} GROUP BY org_id ORDER BY downloads DESC, org_id LIMIT {}",
        asked.organizations, asked.limit
    );
    let parameters = asked.parameters.iter().chain(&asked.kind).cloned().collect();
    let answer = engine.ask(snapshot, &sql, parameters).await?;
    let mut rows = Vec::new();
    let mut total = 0;
    for batch in &answer.batches {
        let texts = texts(batch, 6)?;
        let text = |column: usize, row: usize| texts.get(column).and_then(|column| optional(column.as_string(), row));
        let number = |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row).unsigned_abs();
        let confidence = batch.column(9).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            total = number(8, row);
            rows.push(Organization {
                org_id: text(0, row).unwrap_or_default(),
                name: text(1, row),
                kind: text(2, row),
                domain: text(3, row),
                downloads: number(6, row),
                endpoints: number(7, row),
                first_seen: text(4, row),
                last_seen: text(5, row),
                confidence: confidence.is_valid(row).then(|| thousandths(confidence.value(row))),
            });
        }
    }
    Ok((rows, total))
}

async fn coverage(engine: &Engine, snapshot: &Snapshot, asked: &Conditions) -> Result<Coverage, QueryError> {
    let sql = coverage_where(&asked.downloads);
    let answer = engine.ask(snapshot, &sql, asked.parameters.clone()).await?;
    let mut counts: Vec<(String, u64, u64)> = Vec::new();
    for batch in &answer.batches {
        let texts = texts(batch, 1)?;
        let number = |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row).unsigned_abs();
        for row in 0..batch.num_rows() {
            let class = texts.first().and_then(|column| optional(column.as_string(), row)).unwrap_or_default();
            counts.push((class, number(1, row), number(2, row)));
        }
    }
    Ok(Coverage::of(&counts))
}

/// The first columns as plain texts, whichever text type the plan gave them.
fn texts(batch: &RecordBatch, columns: usize) -> Result<Vec<arrow::array::ArrayRef>, QueryError> {
    let cast = |column: &arrow::array::ArrayRef| arrow::compute::cast(column, &DataType::Utf8);
    let texts = batch.columns().iter().take(columns).map(cast).collect::<Result<_, _>>();
    texts.map_err(|error| QueryError::Internal(format!("a text column is not text: {error}")))
}

fn optional(column: &arrow::array::StringArray, row: usize) -> Option<String> {
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// The order in which a mean was summed must not show.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
