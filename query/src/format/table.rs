//! A table for a terminal: numbers to the right, with thousands apart.

use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::TableComponent::{
    HorizontalLines, LeftBorderIntersections, MiddleIntersections, RightBorderIntersections,
};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, CellAlignment, Table};
use whopulls_schemas::event::column;

use super::{cell, unwritable};
use crate::engine::{QueryError, QueryResult};

/// Whole numbers that name something rather than count it.
const NAMES: [&str; 5] = [column::ASN, column::SEQ, column::STATUS, column::ENDPOINT_ID, column::IP_VERSION];

/// The answer as a table, with a line below it that says how many rows there are and whether the answer was cut.
///
/// # Errors
/// A type that has no text.
pub(super) fn table(result: &QueryResult) -> Result<String, QueryError> {
    let header: Vec<(&str, bool)> =
        result.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().is_numeric())).collect();
    let rows = rows(result).map_err(|error| unwritable(&error))?;
    let count = rows.len();
    let cut = if result.truncated { "; there are more, which the row limit cut" } else { "" };
    let noun = if count == 1 { "row" } else { "rows" };
    Ok(format!("{}\n{} {noun}{cut}\n", grid(&header, rows), with_thousands(&count.to_string())))
}

/// `header` says of each column whether it stands to the right.
pub(crate) fn grid(header: &[(&str, bool)], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    // A line below the header and around the whole, none between rows.
    for line in [HorizontalLines, MiddleIntersections, LeftBorderIntersections, RightBorderIntersections] {
        table.remove_style(line);
    }
    table.set_header(header.iter().map(|(name, right)| aligned(name, *right)));
    for row in rows {
        table.add_row(row.iter().zip(header).map(|(text, (_, right))| aligned(text, *right)));
    }
    table
}

fn aligned(text: &str, right: bool) -> Cell {
    Cell::new(cell::printable(text)).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
}

fn rows(result: &QueryResult) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%SZ"));
    let mut rows = Vec::with_capacity(result.rows());
    for batch in &result.batches {
        let fields = result.schema.fields().iter();
        let columns: Vec<_> = fields
            .clone()
            .zip(batch.columns())
            .map(|(field, column)| cell::flat(field, column))
            .collect::<Result<_, _>>()?;
        let formatters: Vec<_> =
            columns.iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let texts = fields.clone().zip(&formatters).map(|(field, formatter)| {
                let text = formatter.value(row).try_to_string()?;
                Ok(if counts(field) { with_thousands(&text) } else { text })
            });
            rows.push(texts.collect::<Result<Vec<_>, ArrowError>>()?);
        }
    }
    Ok(rows)
}

fn counts(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Int64 | DataType::UInt64) && !NAMES.contains(&field.name().as_str())
}

/// `1234567` as `1,234,567`.
pub fn with_thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let length = digits.chars().count();
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (length - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (digits, expected) in [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567", "-1,234,567"), ("", "")]
        {
            assert_eq!(with_thousands(digits), expected);
        }
    }
}
