//! Failures as RFC 9457 problem documents.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::engine::{Fault, QueryError};

/// What went wrong, for programs and people.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    title: String,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// After how many seconds a program may ask again.
const RETRY_AFTER_S: &str = "5";

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { title, status: status.as_u16(), detail: detail.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
            .hint("/, /api/v1/organizations, /api/v1/sql, /healthz, /readyz and /metrics are there")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not answer this method")
            .hint("/api/v1/sql takes POST, the others GET")
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// One sentence for a page.
    pub(super) fn sentence(&self) -> String {
        self.hint.as_ref().map_or_else(|| self.detail.clone(), |hint| format!("{}: {hint}", self.detail))
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let status = match (&error, error.fault()) {
            (QueryError::TooLong { .. }, _) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, Fault::Question) => StatusCode::BAD_REQUEST,
            (_, Fault::Limit) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, Fault::Forbidden) => StatusCode::FORBIDDEN,
            (_, Fault::Later) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Fault::Ours) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match error.fault() {
            Fault::Ours => tracing::error!(error = &error as &dyn std::error::Error, "a query failed by our mistake"),
            Fault::Later => tracing::warn!(error = &error as &dyn std::error::Error, "a query could not be answered"),
            Fault::Question | Fault::Limit | Fault::Forbidden => {}
        }
        Self::new(status, error.to_string()).hint(error.hint())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}
