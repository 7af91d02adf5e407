//! Foreign logs: a line of somebody's access log becomes the same record that the gateway makes.
//!
//! A line has a stable identity, the content of its file and its number: importing a file twice adds nothing.

mod clf_time;
mod io;
mod line;
mod record;

use whopulls_schemas::Rejected;

use crate::gateway::{Pattern, PatternError};

pub(crate) use clf_time::days_since_epoch;
pub use io::{ImportError, ImportFile, ImportProgress, ImportReport, Imported, import_file};

/// The shape of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// nginx `combined`; what a `log_format` adds at the end is passed over.
    Nginx,
    /// Apache `common` or `combined`, line by line.
    Apache,
}

/// How lines become records.
#[derive(Debug, Clone)]
pub struct ImportRules {
    pub(crate) format: LogFormat,
    pub(crate) patterns: Vec<Pattern>,
}

impl ImportRules {
    /// `paths` are patterns such as `/downloads/{package}` or `/{package}/{version}/{file}`; the first that fits says what the package
    /// and version are, and makes the line a file download.
    ///
    /// # Errors
    /// A pattern is malformed; the first bad one is named.
    pub fn new(format: LogFormat, paths: &[String]) -> Result<Self, (String, PatternError)> {
        let compile = |path: &String| Pattern::compile(path).map_err(|error| (path.clone(), error));
        Ok(Self { format, patterns: paths.iter().map(compile).collect::<Result<_, _>>()? })
    }
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
