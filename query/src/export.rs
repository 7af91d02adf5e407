//! Exports in the shape of other products, so that what reads theirs reads ours.

use std::ops::Range;

use arrow::array::AsArray as _;
use arrow::array::types::{Date32Type, Int64Type};
use datafusion::common::ScalarValue;
use whopulls_schemas::docker::{COUNT_COLUMNS, REPORT_COLUMNS, TEXT_COLUMNS};

use crate::engine::{Engine, QueryError, Snapshot};
use crate::format::{Format, write};
use crate::organizations::day::range;

/// Rows of one question of an export; at about 500 bytes of text each, 50 MB.
const ROWS_AT_ONCE: i64 = 100_000;

const DAY_US: i64 = 86_400 * 1_000_000;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// Scarf's export of events: pulls, downloads, views and events.
    Scarf,
    /// Docker's tracked companies report.
    Docker,
}

/// Of what.
#[derive(Debug, Clone, Default)]
pub struct ExportQuery {
    /// The first UTC day.
    pub from: Option<String>,
    /// The last UTC day, included.
    pub to: Option<String>,
    /// This package or image alone.
    pub package: Option<String>,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The question.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An answer was longer than the engine may give.
    #[error("export {day}: more rows than one answer may have")]
    Cut {
        /// Days since 1970.
        day: i32,
    },
    /// Where it goes.
    #[error("write the export")]
    Write(#[source] std::io::Error),
}

/// Gives the export as CSV, piece by piece, all from one version of the table, and the number of its rows.
///
/// # Errors
/// See [`ExportError`].
pub async fn export(
    engine: &Engine,
    what: Export,
    query: &ExportQuery,
    mut sink: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<u64, ExportError> {
    let snapshot = engine.snapshot().await?;
    let (from, to) = range(query.from.as_deref(), query.to.as_deref())?;
    let (from, to) = (from.unwrap_or(i32::MIN), to.unwrap_or(i32::MAX));
    let (table, questions) = match what {
        Export::Scarf => ("events", vec![scarf(true), scarf(false)]),
        Export::Docker => ("docker_pulls", vec![docker()]),
    };
    let (mut rows, mut is_first) = (0, true);
    let days = days(engine, &snapshot, table, from..to).await?;
    // Without rows there is still a header.
    let days = if days.is_empty() { vec![(0, 0)] } else { days };
    for (day, count) in days {
        for slice in slices(day, count) {
            for question in &questions {
                let parameters = vec![
                    ("day", ScalarValue::Date32(Some(day))),
                    ("begin", moment(slice.start)),
                    ("end", moment(slice.end)),
                    ("package", ScalarValue::Utf8View(query.package.clone())),
                ];
                let answer = engine.ask(&snapshot, question, parameters).await?;
                if answer.truncated {
                    return Err(ExportError::Cut { day });
                }
                rows += answer.rows() as u64;
                let text = write(&answer, Format::Csv)?;
                let body = text.find('\n').and_then(|end| text.get(end + 1..)).unwrap_or_default();
                sink(if is_first { &text } else { body }).map_err(ExportError::Write)?;
                is_first = false;
            }
        }
    }
    Ok(rows)
}

fn moment(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

/// The days that have rows, with their number.
async fn days(
    engine: &Engine,
    snapshot: &Snapshot,
    table: &str,
    asked: Range<i32>,
) -> Result<Vec<(i32, i64)>, QueryError> {
    let sql = format!(
        "SELECT date, count(*) FROM {table} WHERE date >= $from_day AND date <= $to_day GROUP BY date ORDER BY date"
    );
    let parameters =
        vec![("from_day", ScalarValue::Date32(Some(asked.start))), ("to_day", ScalarValue::Date32(Some(asked.end)))];
    let answer = engine.ask(snapshot, &sql, parameters).await?;
    let mut days = Vec::new();
    for batch in &answer.batches {
        let (dates, counts) =
            (batch.column(0).as_primitive::<Date32Type>(), batch.column(1).as_primitive::<Int64Type>());
        days.extend(dates.values().iter().copied().zip(counts.values().iter().copied()));
    }
    Ok(days)
}

/// A day in parts that hold [`ROWS_AT_ONCE`] each, if its rows are spread evenly.
fn slices(day: i32, rows: i64) -> Vec<Range<i64>> {
    let (parts, begin) = (rows / ROWS_AT_ONCE + 1, i64::from(day) * DAY_US);
    (0..parts).map(|part| begin + DAY_US * part / parts..begin + DAY_US * (part + 1) / parts).collect()
}

/// The columns of Scarf's export, each with what our own events say there. What was imported has Scarf's own text in `vars`.
const SCARF: [(&str, &str); 24] = [
    ("id", "id"),
    (
        "type",
        "CASE kind WHEN 'pixel' THEN 'pixel-fetch' WHEN 'oci' THEN 'manifest-fetch' WHEN 'telemetry' THEN 'event' ELSE 'binary-download' END",
    ),
    ("package", "package"),
    ("pixel", "CASE WHEN kind = 'pixel' THEN route END"),
    ("version", "version"),
    ("time", "CAST(ts AS VARCHAR)"),
    ("referer", "referer_host"),
    ("user_agent", "nullif(concat_ws('/', client, client_version), '')"),
    ("platform", "coalesce(platform, nullif(concat_ws('/', os, arch), ''))"),
    ("variables", "vars"),
    ("origin_id", "endpoint_id"),
    ("origin_latitude", "latitude"),
    ("origin_longitude", "longitude"),
    ("origin_country", "country"),
    ("origin_city", "city"),
    ("origin_postal", "NULL"),
    ("origin_connection_type", "network_kind"),
    ("origin_company", "org_name"),
    ("origin_domain", "org_domain"),
    ("dnt", "dnt"),
    ("confidence", "org_confidence"),
    ("endpoint_id", "endpoint_id"),
    ("origin_state", "region"),
    ("mtc_quota_exceeded", "false"),
];

fn scarf(is_imported: bool) -> String {
    let columns = SCARF.map(|(name, own)| match name {
        "package" | "version" => name.to_owned(),
        _ if is_imported => format!("vars['scarf_{name}'] AS {name}"),
        _ => format!("{own} AS {name}"),
    });
    let which = if is_imported {
        "vars['scarf_id'] IS NOT NULL"
    } else {
        "vars['scarf_id'] IS NULL AND action IN ('pull', 'download', 'view', 'event')"
    };
    format!(
        "SELECT {} FROM events WHERE date = $day AND ts >= $begin AND ts < $end AND {which} \
         AND ($package IS NULL OR package = $package) ORDER BY ts, node, seq",
        columns.join(", ")
    )
}

fn docker() -> String {
    let own = |name: &str| match name.to_ascii_lowercase().as_str() {
        "date_reference" => "date".to_owned(),
        name => name.to_owned(),
    };
    let columns = REPORT_COLUMNS.map(|name| format!("{} AS \"{name}\"", own(name)));
    let subject: Vec<&str> = TEXT_COLUMNS.to_vec();
    debug_assert_eq!(subject.len() + COUNT_COLUMNS.len() + 1, REPORT_COLUMNS.len());
    format!(
        "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY {} ORDER BY revision DESC) AS newest FROM docker_pulls \
         WHERE date = $day) WHERE newest = 1 AND $begin < $end AND ($package IS NULL OR image_repository = $package) ORDER BY source, line",
        columns.join(", "),
        subject.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_with_many_rows_is_asked_in_parts_that_leave_nothing_out() {
        for rows in [0, 1, ROWS_AT_ONCE, 7 * ROWS_AT_ONCE + 3] {
            let parts = slices(1, rows);
            assert_eq!(parts.first().map(|part| part.start), Some(DAY_US));
            assert_eq!(parts.last().map(|part| part.end), Some(2 * DAY_US));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start), "{parts:?}");
            assert_eq!(i64::try_from(parts.len()).ok(), Some(rows / ROWS_AT_ONCE + 1));
        }
    }
}
