//! Reading a log file within bounded memory, and passing its records on.

mod content;
mod error;
mod ids;
mod lines;
mod parallel;
mod paths;
mod report;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use whopulls_schemas::raw::{RAW_RECORD_BYTES_MAX, RawAccess};

use super::detect::{DETECT_LINES, DetectError, detect};
use super::log_format::{LogFormat, Shape};
use super::{ImportRules, Importer, RejectedLine, Rejections};
use crate::spool::Spool;
pub use content::DECOMPRESSED_BYTES_MAX;
pub use error::{ImportError, NotTaken};
pub use ids::ImportedIds;
pub(crate) use lines::Content;
use lines::Lines;
use parallel::{Results, read_lines};
pub use paths::{PathsError, expand};
pub use report::{REPORT_ROWS_MAX, read_report};

/// A longer line is rejected as oversized; its start is kept. A record of our own may be as long as the contract allows.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The records of lines that follow each other. Boxed: a record has 700 bytes and goes from thread to thread.
pub type Records = Vec<Box<RawAccess>>;

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Bytes of the content read.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
}

/// What an import did: lines = accepted + rejected + duplicates + passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// The file's identity, the `node` of its records.
    pub node: String,
    /// Lines read.
    pub lines: u64,
    /// Records taken.
    pub accepted: u64,
    /// Lines rejected.
    pub rejected: u64,
    /// Events that were imported before under the identity that their export gives them.
    pub duplicates: u64,
    /// Lines that are about no request: headers, and what a server says of itself.
    pub passed_over: u64,
    /// The rejected ones by reason.
    pub rejections: Rejections,
}

/// A log that is open, and known by its content.
#[derive(Debug)]
pub struct ImportFile {
    path: PathBuf,
    file: File,
    node: String,
    rules: ImportRules,
    size: u64,
}

impl ImportFile {
    /// Opens a log, plain or packed by gzip or zstd, reads it once for its identity, and sees which format it has where that was not said.
    ///
    /// # Errors
    /// It cannot be read or unpacked, or its format cannot be told.
    pub fn open(path: &Path, rules: ImportRules) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(|source| ImportError::Read { path: path.into(), source })?;
        Self::of(path, file, rules)
    }

    /// The same of a stream, such as standard input. It is copied into an unnamed file in `folder`: the identity of its lines is of the
    /// whole, and no line has one before the last came.
    ///
    /// # Errors
    /// It cannot be read or copied, or its format cannot be told.
    pub fn open_stream(name: &Path, stream: impl Read, folder: &Path, rules: ImportRules) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Copy { path: name.into(), folder: folder.into(), source };
        let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
        let copied = io::copy(&mut stream.take(DECOMPRESSED_BYTES_MAX + 1), &mut file).map_err(failed)?;
        if copied > DECOMPRESSED_BYTES_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        Self::of(name, file, rules)
    }

    fn of(path: &Path, file: File, rules: ImportRules) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Read { path: path.into(), source };
        let (size, hash) = content::identity(&file, DECOMPRESSED_BYTES_MAX).map_err(failed)?;
        let rules = match rules.shape {
            Shape::Auto => {
                let detected = rules.detected(&file).map_err(failed)?;
                detected.map_err(|source| ImportError::Detect { path: path.into(), source })?
            }
            Shape::Known(_) | Shape::Template(_) => rules,
        };
        Ok(Self { path: path.into(), file, node: format!("import-{hash}"), rules, size })
    }

    /// The file's identity: `import-` and the start of the SHA-256 of its content.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Bytes of the whole content, unpacked.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The shape of its lines: the one that was given or, for `auto`, the one that was seen.
    pub fn shape(&self) -> &Shape {
        self.rules.shape()
    }
}

impl ImportRules {
    /// The same with the format that the file's first lines have.
    pub(crate) fn detected(self, file: &File) -> io::Result<Result<Self, DetectError>> {
        let first = first_lines(file)?;
        Ok(detect(&first).map(|format| self.with_shape(Shape::Known(format))))
    }
}

fn first_lines(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let mut lines = Lines::new(content::reader(file)?, RAW_RECORD_BYTES_MAX);
    let mut first = Vec::new();
    while first.len() < DETECT_LINES {
        let mut line = Vec::new();
        match lines.next(&mut line)? {
            None => break,
            Some(_) if line.is_empty() => {}
            Some(_) => first.push(line),
        }
    }
    Ok(first)
}

/// Hands the records of a whole log to `take`, in order, and every line that makes no record to `on_rejected`. Lines are read on every
/// core. It blocks: not for an asynchronous task.
///
/// # Errors
/// The file cannot be read, or the records are not taken.
pub fn read_log(
    file: ImportFile,
    ids: &mut ImportedIds,
    mut take: impl FnMut(Records) -> Result<(), NotTaken>,
    mut on_rejected: impl FnMut(RejectedLine),
    mut on_progress: impl FnMut(ImportProgress),
) -> Result<ImportReport, ImportError> {
    let ImportFile { path, file, node, rules, .. } = file;
    let (line_bytes_max, counts_once) = match rules.shape {
        Shape::Known(LogFormat::Whopulls) => (RAW_RECORD_BYTES_MAX, false),
        Shape::Known(format) => (LINE_BYTES_MAX, format == LogFormat::Scarf),
        Shape::Template(_) | Shape::Auto => (LINE_BYTES_MAX, false),
    };
    if counts_once {
        ids.load().map_err(|source| ImportError::Ids { path: ids.path(), source })?;
    }
    let read = content::reader(&file).map_err(|source| ImportError::Read { path: path.clone(), source })?;
    let mut report = ImportReport { node: node.clone(), ..ImportReport::default() };
    let take = |results: Results| -> Result<(), error::Stopped> {
        let Results { mut records, rejected, passed_over, bytes_read } = results;
        report.lines += records.len() as u64 + rejected.len() as u64 + passed_over;
        report.passed_over += passed_over;
        report.rejected += rejected.len() as u64;
        for line in rejected {
            report.rejections.add(&line);
            on_rejected(line);
        }
        let found = records.len();
        records.retain(|record| !counts_once || ids.is_new(record.id));
        let new = records.len();
        report.duplicates += (found - new) as u64;
        if new > 0 {
            let line = report.lines + 1;
            take(records).map_err(|source| error::Stopped::Take { line, source })?;
            report.accepted += new as u64;
        }
        on_progress(ImportProgress { bytes: bytes_read, lines: report.lines });
        Ok(())
    };
    let read = read_lines(Lines::new(read, line_bytes_max), Importer::new(rules, &node), take);
    read.map_err(|stopped| stopped.of(path))?;
    Ok(report)
}

/// The same into a spool. What comes back beside the report is one past the last record's place there: a reader that is there has passed
/// everything on.
///
/// # Errors
/// The file cannot be read, or the spool does not take the records.
pub fn import_file(
    file: ImportFile,
    spool: &Spool,
    ids: &mut ImportedIds,
    on_rejected: impl FnMut(RejectedLine),
    on_progress: impl FnMut(ImportProgress),
) -> Result<(ImportReport, u64), ImportError> {
    let mut end_seq = spool.end_seq();
    let append = |records: Records| {
        let batch: Vec<Bytes> = records.iter().map(|record| Bytes::from(record.encode())).collect();
        end_seq = spool.append_batch_blocking(&batch).map_err(NotTaken::Append)? + 1;
        Ok(())
    };
    let report = read_log(file, ids, append, on_rejected, on_progress)?;
    Ok((report, end_seq))
}
