//! Foreign logs: a line of somebody's access log becomes the same record that the gateway makes.
//!
//! A line has a stable identity, the content of its file and its number: importing a file twice adds nothing.

mod clf_time;
mod detect;
mod entry;
mod format;
mod header;
mod io;
mod iso_time;
mod log_format;
mod part;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod record;
mod rejections;

use std::sync::Arc;

use whopulls_schemas::Rejected;
use whopulls_schemas::raw::RawAccess;

use crate::gateway::{Pattern, PatternError};
use header::{Header, HeaderLine};

pub(crate) use clf_time::days_since_epoch;
pub use detect::{DETECT_LINES, DetectError};
pub use format::{LogTemplate, LogTemplateError};
pub(crate) use io::Content;
pub use io::{
    DECOMPRESSED_BYTES_MAX, ImportError, ImportFile, ImportProgress, ImportReport, ImportedIds, NotTaken, PathsError,
    REPORT_ROWS_MAX, Records, expand, import_file, read_log, read_report,
};
pub use log_format::{LogFormat, Shape, ShapeError};
pub use rejections::{EXAMPLES_MAX, Refusal, Rejections};

/// How lines become records.
#[derive(Debug, Clone)]
pub struct ImportRules {
    shape: Shape,
    patterns: Arc<[Pattern]>,
}

impl ImportRules {
    /// `paths` are patterns such as `/downloads/{package}` or `/{package}/{version}/{file}`; the first that fits says what the package
    /// and version are, and makes the line a file download.
    ///
    /// # Errors
    /// A pattern is malformed; the first bad one is named.
    pub fn new(shape: impl Into<Shape>, paths: &[String]) -> Result<Self, (String, PatternError)> {
        let compile = |path: &String| Pattern::compile(path).map_err(|error| (path.clone(), error));
        Ok(Self { shape: shape.into(), patterns: paths.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// The shape of the lines.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    fn with_shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }
}

/// One line's result.
#[derive(Debug)]
pub enum Imported {
    /// A record, stamped with its file and line.
    Record(Box<RawAccess>),
    /// No record.
    Rejected(RejectedLine),
    /// A line of the format that is about no request: a header, or what a server says of itself.
    PassedOver,
}

/// A line that makes no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// Why.
    pub rejected: Rejected,
    /// The line itself, as far as it was read.
    pub bytes: Vec<u8>,
}

/// Reads the lines of one file, in order. Pure: where they come from is not its concern.
#[derive(Debug, Clone)]
pub struct Importer {
    rules: ImportRules,
    node: Arc<str>,
    header: Header,
}

impl Importer {
    /// `node` names the file: the same node and number give a line the same identity. A shape that is still to be detected reads no line.
    pub fn new(rules: ImportRules, node: &str) -> Self {
        Self { rules, node: node.into(), header: Header::Absent }
    }

    /// The result of line `number`, from 1, without its line break.
    pub fn line(&mut self, number: u64, line: &[u8]) -> Imported {
        match self.header_line(line) {
            Some(header) => self.take_header(header, number, line),
            None => self.data_line(number, line),
        }
    }

    /// What a line says of those after it, where it is a header.
    fn header_line(&self, line: &[u8]) -> Option<HeaderLine> {
        match self.rules.shape {
            Shape::Known(format) => header::read(line, format, &self.header),
            Shape::Template(_) | Shape::Auto => None,
        }
    }

    fn take_header(&mut self, header: HeaderLine, number: u64, line: &[u8]) -> Imported {
        self.header = header.header;
        header.rejected.map_or(Imported::PassedOver, |rejected| refused(number, line, rejected))
    }

    /// The result of a line that is no header. Independent of the lines around it.
    fn data_line(&self, number: u64, line: &[u8]) -> Imported {
        match self.read(number, line) {
            Ok(Some(record)) => Imported::Record(record),
            Ok(None) => Imported::PassedOver,
            Err(rejected) => refused(number, line, rejected),
        }
    }

    fn read(&self, number: u64, line: &[u8]) -> Result<Option<Box<RawAccess>>, Rejected> {
        let read = match &self.rules.shape {
            Shape::Known(format) => format::read(line, *format, &self.header, number, &self.node)?,
            Shape::Template(template) => format::Read::Entry(Box::new(format::entry(line, template)?)),
            Shape::Auto => return Err(part::wrong("line", "its format was not detected")),
        };
        match read {
            format::Read::Entry(entry) => {
                let record = record::record(&entry, number, &self.node, &self.rules.patterns)?;
                Ok(Some(Box::new(record)))
            }
            format::Read::Record(record) => Ok(Some(record)),
            format::Read::Nothing => Ok(None),
        }
    }
}

fn refused(line: u64, bytes: &[u8], rejected: Rejected) -> Imported {
    Imported::Rejected(RejectedLine { line, rejected, bytes: bytes.to_vec() })
}
