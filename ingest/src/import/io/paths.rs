//! The files that the command line names: by name, by pattern, `-` for standard input.

use std::path::{Path, PathBuf};

/// Files of one import; a pattern that fits more is a mistake.
const FILES_MAX: usize = 100_000;

/// A name that leads to no log.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// Not a pattern.
    #[error("`{pattern}` is not a pattern of files")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// Why.
        source: glob::PatternError,
    },
    /// Nothing fits.
    #[error("no file fits `{0}`")]
    Nothing(String),
    /// A folder that cannot be listed.
    #[error("list the files of {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too many.
    #[error("more than {FILES_MAX} files")]
    TooMany,
}

/// The files, in the order given; those of a pattern (`access.log.*.gz`, in quotes) by name, each once. What is no pattern is left as
/// it is: opening says what is wrong with it.
///
/// # Errors
/// A pattern is malformed, fits nothing, or cannot be followed.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, PathsError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = match pattern(path) {
            Some(pattern) => matching(pattern)?,
            None => vec![path.clone()],
        };
        files.extend(found);
        if files.len() > FILES_MAX {
            return Err(PathsError::TooMany);
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// A file may have a star in its name: then it is meant.
fn pattern(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    (text.contains(['*', '?', '[']) && !path.exists()).then_some(text)
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, PathsError> {
    let bad = |source| PathsError::Pattern { pattern: pattern.to_owned(), source };
    let mut files = Vec::new();
    for found in glob::glob(pattern).map_err(bad)?.take(FILES_MAX + 1) {
        let path = found.map_err(|error| PathsError::List { path: error.path().to_owned(), source: error.into() })?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() { Err(PathsError::Nothing(pattern.to_owned())) } else { Ok(files) }
}
