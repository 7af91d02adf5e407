//! Reading a report: lines that are sums and no requests.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use whopulls_schemas::docker::DockerPulls;
use whopulls_schemas::{RejectReason, Rejected};

use super::super::format::docker;
use super::super::part::wrong;
use super::super::{Importer, RejectedLine};
use super::lines::{Line, Lines};
use super::{ImportError, ImportFile, ImportReport, LINE_BYTES_MAX, content};

/// Rows of a report that are held, of at most some 600 bytes each: 600 MB at the very most. Docker's are per company, image and client.
pub const REPORT_ROWS_MAX: usize = 1_000_000;

/// The rows of Docker's report with their lines, in order, each once; every line that makes none goes to `on_rejected`. It blocks.
///
/// # Errors
/// The file cannot be read.
pub fn read_report(
    file: ImportFile,
    mut on_rejected: impl FnMut(RejectedLine),
) -> Result<(ImportReport, Vec<(u64, DockerPulls)>), ImportError> {
    let ImportFile { path, file, node, rules, .. } = file;
    let failed = |source| ImportError::Read { path: path.clone(), source };
    let mut lines = Lines::new(content::reader(&file).map_err(failed)?, LINE_BYTES_MAX);
    let mut importer = Importer::new(rules, &node);
    let mut report = ImportReport { node, ..ImportReport::default() };
    let mut rows = Rows::default();
    let mut text = Vec::new();
    while let Some(Line { is_whole, .. }) = lines.next(&mut text).map_err(failed)? {
        report.lines += 1;
        let rejected = if !is_whole {
            Some(Rejected::whole(RejectReason::Oversized, format!("a line of over {LINE_BYTES_MAX} bytes")))
        } else if let Some(header) = importer.header_line(&text) {
            importer.header = header.header;
            report.passed_over += u64::from(header.rejected.is_none());
            header.rejected
        } else {
            match docker::parse(&text, &importer.header).and_then(|row| rows.add(report.lines, row)) {
                Ok(is_new) => {
                    report.accepted += u64::from(is_new);
                    report.duplicates += u64::from(!is_new);
                    None
                }
                Err(rejected) => Some(rejected),
            }
        };
        if let Some(rejected) = rejected {
            let line = RejectedLine { line: report.lines, rejected, bytes: text.clone() };
            report.rejected += 1;
            report.rejections.add(&line);
            on_rejected(line);
        }
        text.clear();
    }
    Ok((report, rows.rows))
}

/// What the rows so far speak of.
#[derive(Default)]
struct Rows {
    rows: Vec<(u64, DockerPulls)>,
    places: HashMap<DockerPulls, usize>,
}

impl Rows {
    /// `false`: the same row once more.
    fn add(&mut self, line: u64, row: DockerPulls) -> Result<bool, Rejected> {
        let subject = DockerPulls { counts: [None; 4], ..row.clone() };
        match self.places.entry(subject) {
            Entry::Occupied(known) => match self.rows.get(*known.get()) {
                Some((_, other)) if other.counts == row.counts => Ok(false),
                _ => Err(wrong("line", "another line counts the same otherwise")),
            },
            Entry::Vacant(_) if self.rows.len() >= REPORT_ROWS_MAX => {
                Err(wrong("line", "more rows than a report may have; import it in parts"))
            }
            Entry::Vacant(free) => {
                free.insert(self.rows.len());
                self.rows.push((line, row));
                Ok(true)
            }
        }
    }
}
