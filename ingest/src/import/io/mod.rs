//! Reading a log file within bounded memory, and passing it to the spool.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use whopulls_schemas::raw::RawAccess;
use whopulls_schemas::{RejectReason, Rejected};

use super::record::record;
use super::{ImportRules, RejectedLine};
use crate::spool::{AppendError, Spool};

/// A longer line is rejected as oversized; its start is kept.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Records appended to the spool together: about 400 KiB.
const BATCH_RECORDS: usize = 1000;
const BUFFER_BYTES: usize = 256 << 10;

/// A file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("read the log {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The spool does not take the records; what was appended before stays, and importing again adds only the rest.
    #[error("append to the spool the records of {} before line {line}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// The line after the last one of the batch that failed.
        line: u64,
        /// Why.
        source: AppendError,
    },
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Bytes of the file read.
    pub bytes: u64,
    /// Lines read.
    pub lines: u64,
}

/// One line's result.
#[derive(Debug)]
pub enum Imported {
    /// A record, stamped with its file and line.
    Record(Box<RawAccess>),
    /// No record.
    Rejected(RejectedLine),
}

/// What an import did: lines = accepted + rejected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// The file's identity, the `node` of its records.
    pub node: String,
    /// Lines read.
    pub lines: u64,
    /// Records appended.
    pub accepted: u64,
    /// Lines rejected.
    pub rejected: u64,
    /// The line of the last record.
    pub last_line: Option<u64>,
    /// One past the last record's place in the spool: when a reader is there, everything is passed on.
    pub end_seq: u64,
}

/// A log being read line by line, in order.
#[derive(Debug)]
pub struct ImportFile {
    path: PathBuf,
    reader: BufReader<File>,
    node: String,
    rules: ImportRules,
    size: u64,
    progress: ImportProgress,
}

impl ImportFile {
    /// Opens a log and reads it once for its identity.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path, rules: ImportRules) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Read { path: path.into(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0;
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
        file.rewind().map_err(failed)?;
        let hash = hasher.finalize();
        let hex: String = hash.iter().take(8).flat_map(|b| [b >> 4, b & 15]).map(hex_digit).collect();
        Ok(Self {
            path: path.into(),
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            node: format!("import-{hex}"),
            rules,
            size,
            progress: ImportProgress::default(),
        })
    }

    /// The file's identity: `import-` and the start of its SHA-256.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How far the reading is.
    pub fn progress(&self) -> ImportProgress {
        self.progress
    }

    /// The next line's result; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub fn next_line(&mut self) -> Result<Option<Imported>, ImportError> {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let failed = |source| ImportError::Read { path: self.path.clone(), source };
        let mut read = (&mut self.reader).take(limit).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(None);
        }
        let whole = line.ends_with(b"\n") || line.len() <= LINE_BYTES_MAX;
        if !whole {
            read += self.reader.skip_until(b'\n').map_err(failed)?;
        }
        self.progress.bytes += read as u64;
        self.progress.lines += 1;
        let number = self.progress.lines;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let result = if whole {
            record(text, number, &self.node, &self.rules)
        } else {
            Err(Rejected::whole(RejectReason::Oversized, format!("a line of over {LINE_BYTES_MAX} bytes")))
        };
        Ok(Some(match result {
            Ok(record) => Imported::Record(Box::new(record)),
            Err(rejected) => {
                let bytes = text.to_vec();
                Imported::Rejected(RejectedLine { line: number, rejected, bytes })
            }
        }))
    }
}

/// Passes a whole log to the spool, in order, and every line that makes no record to `on_rejected`. It blocks: not for an
/// asynchronous task.
///
/// # Errors
/// The file cannot be read, or the spool does not take the records.
pub fn import_file(
    mut file: ImportFile,
    spool: &Spool,
    mut on_rejected: impl FnMut(RejectedLine),
    mut on_progress: impl FnMut(ImportProgress),
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport { node: file.node().into(), end_seq: spool.end_seq(), ..ImportReport::default() };
    let mut batch = Vec::with_capacity(BATCH_RECORDS);
    loop {
        let next = file.next_line()?;
        let ended = next.is_none();
        match next {
            Some(Imported::Record(record)) => {
                report.last_line = Some(record.seq);
                batch.push(Bytes::from(record.encode()));
            }
            Some(Imported::Rejected(line)) => {
                report.rejected += 1;
                on_rejected(line);
            }
            None => {}
        }
        if batch.len() >= BATCH_RECORDS || (ended && !batch.is_empty()) {
            report.accepted += batch.len() as u64;
            let appended = spool.append_batch_blocking(&batch);
            batch.clear();
            let line = file.progress().lines + 1;
            let failed = |source| ImportError::Append { path: file.path.clone(), line, source };
            report.end_seq = appended.map_err(failed)? + 1;
            on_progress(file.progress());
        }
        if ended {
            report.lines = file.progress().lines;
            on_progress(file.progress());
            return Ok(report);
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}
