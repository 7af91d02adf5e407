//! Answers as text: a table for people, CSV and JSON for programs.

mod cell;
mod csv;
mod json;
mod table;

use arrow::error::ArrowError;

use csv::csv;
use json::json;
pub(crate) use json::{column_names, json_rows};
pub(crate) use table::grid;
use table::table;
pub use table::with_thousands;

use crate::engine::{QueryError, QueryResult};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns aligned for a terminal.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// An array of objects.
    Json,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is not a format; use table, csv or json")),
        }
    }
}

/// The answer in the format. That it was cut does not show in CSV and JSON: see [`QueryResult::truncated`].
///
/// # Errors
/// A type that has no text.
pub fn write(result: &QueryResult, format: Format) -> Result<String, QueryError> {
    match format {
        Format::Table => table(result),
        Format::Csv => csv(result),
        Format::Json => json(result),
    }
}

fn unwritable(error: &ArrowError) -> QueryError {
    QueryError::Failed(format!("a column has no text form ({error}); cast it to text or a number"))
}

fn text(bytes: Vec<u8>) -> Result<String, QueryError> {
    String::from_utf8(bytes).map_err(|error| QueryError::Internal(format!("the answer is not UTF-8: {error}")))
}
