//! `/api/v1`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::App;
use super::problem::Problem;
use crate::engine::{QueryError, QueryResult};
use crate::format::{Format, column_names, json_rows, write};
use crate::organizations::{OrganizationsAnswer, OrganizationsQuery, organizations as ask_organizations};

/// The parameters of `/api/v1/organizations` and of the page. An empty one is an absent one, as forms send it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationsParameters {
    pub(super) package: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) limit: Option<String>,
}

impl OrganizationsParameters {
    pub(super) fn question(&self) -> Result<OrganizationsQuery, QueryError> {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let limit = given(&self.limit).map(|limit| {
            let expected = "a number from 1 to 10000";
            limit.parse().map_err(|_| QueryError::Parameter { parameter: "limit", value: limit, expected })
        });
        Ok(OrganizationsQuery {
            package: given(&self.package),
            from: given(&self.from),
            to: given(&self.to),
            kind: given(&self.kind),
            limit: limit.transpose()?,
        })
    }
}

pub(super) type Parameters = Result<Query<OrganizationsParameters>, QueryRejection>;

pub(super) async fn organizations(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json<OrganizationsAnswer>, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| unknown_parameter(&rejection))?;
    Ok(Json(ask_organizations(&app.engine, &parameters.question()?).await?))
}

pub(super) fn unknown_parameter(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, rejection.body_text())
        .hint("the parameters are package, from, to, kind and limit, each at most once")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlQuestion {
    query: String,
}

#[derive(Serialize)]
struct SqlAnswer<'a> {
    columns: Vec<ColumnName<'a>>,
    rows: Box<RawValue>,
    truncated: bool,
}

#[derive(Serialize)]
struct ColumnName<'a> {
    name: &'a str,
    r#type: String,
}

pub(super) async fn sql(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| {
        Problem::new(rejection.status(), rejection.body_text()).hint("a query has at most 65536 bytes")
    })?;
    let result = app.engine.sql(&question(&headers, &body)?).await?;
    if accepts_csv(&headers) {
        let truncated = if result.truncated { "true" } else { "false" };
        let described =
            [(header::CONTENT_TYPE.as_str(), "text/csv; charset=utf-8"), ("x-whopulls-truncated", truncated)];
        return Ok((described, write(&result, Format::Csv)?).into_response());
    }
    Ok(Json(answer(&result)?).into_response())
}

fn answer(result: &QueryResult) -> Result<SqlAnswer<'_>, QueryError> {
    let columns = column_names(result).map(|(name, r#type)| ColumnName { name, r#type }).collect();
    Ok(SqlAnswer { columns, rows: json_rows(result)?, truncated: result.truncated })
}

/// The SQL of `{"query": "…"}`, or the body itself.
fn question(headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    let malformed = |reason: String| {
        Problem::new(StatusCode::BAD_REQUEST, reason)
            .hint(r#"send {"query": "SELECT …"} as application/json, or the SQL as text/plain"#)
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => {
            let question: Result<SqlQuestion, _> = serde_json::from_slice(body);
            Ok(question
                .map_err(|error| malformed(format!("the body is not the JSON that is asked for: {error}")))?
                .query)
        }
        "text/plain" | "application/sql" => {
            let text =
                std::str::from_utf8(body).map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
            Ok(text.to_owned())
        }
        other => Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{other} is not read"))
            .hint("application/json and text/plain are")),
    }
}

fn accepts_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|one| one.split(';').next().unwrap_or_default().trim() == "text/csv")
}

/// Ready is who can read the table.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<String, Problem> {
    let snapshot = app.engine.snapshot().await?;
    Ok(format!("ready, table version {}\n", snapshot.version()))
}
