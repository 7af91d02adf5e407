//! Docker's tracked companies report: CSV of sums over a week or a month, for a verified publisher.

use csv::ByteRecord;
use whopulls_schemas::Rejected;
use whopulls_schemas::docker::{COUNT_COLUMNS, DockerPulls, REPORT_COLUMNS, TEXT_COLUMNS};
use whopulls_schemas::raw::bounded;

use super::super::header::{Columns, Header};
use super::super::iso_time;
use super::super::part::{number, wrong};
use super::csv_line;

pub(in super::super) fn parse(line: &[u8], header: &Header) -> Result<DockerPulls, Rejected> {
    csv_line::read(line, header, &REPORT_COLUMNS, row)
}

fn row(record: &ByteRecord, columns: &Columns) -> Result<DockerPulls, Rejected> {
    let cells: Vec<&[u8]> = record.iter().collect();
    let cell = |name: &str| columns.cell(&cells, name).filter(|cell| !cell.is_empty());
    let required = |name: &str| cell(name).ok_or_else(|| wrong(name, "missing"));
    let granularity = required("DATE_GRANULARITY")?.to_ascii_lowercase();
    if !granularity.starts_with(b"week") && !granularity.starts_with(b"month") {
        return Err(wrong("DATE_GRANULARITY", "neither weekly nor monthly"));
    }
    required("IMAGE_REPOSITORY")?;
    let moment = iso_time::of_parts(required("DATE_REFERENCE")?, b"00:00:00");
    let moment = moment.filter(|moment| moment.is_plausible());
    let day = moment.ok_or_else(|| wrong("DATE_REFERENCE", "not a day as 2025-09-29"))?.day();
    let texts = TEXT_COLUMNS.map(|name| {
        let cell = cell(&name.to_ascii_uppercase())?;
        Some(bounded(&String::from_utf8_lossy(cell)))
    });
    let mut counts = [None; COUNT_COLUMNS.len()];
    for (count, name) in counts.iter_mut().zip(COUNT_COLUMNS) {
        let name = name.to_ascii_uppercase();
        if let Some(cell) = cell(&name) {
            *count = Some(number(cell).ok_or_else(|| wrong(&name, "not a count"))?);
        }
    }
    if counts.iter().all(Option::is_none) {
        return Err(wrong("PULLS", "no count at all"));
    }
    Ok(DockerPulls { day, texts, counts })
}
