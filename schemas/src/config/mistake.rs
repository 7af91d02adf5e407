//! Mistakes with their place, found in any order and told in the file's.

use std::fmt;

use toml_span::{ErrorKind, Span};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Where a mistake stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file's name.
    pub name: String,
    /// At least one, in order.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        writeln!(f, "{count} {} in {}:", if count == 1 { "mistake" } else { "mistakes" }, self.name)?;
        for mistake in &self.list {
            match &mistake.place {
                Place::Line(line) => write!(f, "  line {line}: ")?,
                Place::Variable(name) => write!(f, "  variable {name}: ")?,
            }
            writeln!(f, "{}", mistake.message)?;
            if !mistake.hint.is_empty() {
                writeln!(f, "      hint: {}", mistake.hint)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Spot {
    Byte(usize),
    Line(usize),
}

/// Mistakes found so far, by position. Positions at or past the end of the text stand for environment variables, in order
/// (see [`variable_span`]).
#[derive(Debug, Default)]
pub(super) struct Flaws {
    found: Vec<(Spot, String, String)>,
}

/// The span that stands for the environment variable with this index.
pub(super) fn variable_span(text: &str, index: usize) -> Span {
    let start = text.len() + 1 + index;
    Span::new(start, start)
}

impl Flaws {
    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn at(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push((Spot::Byte(span.start), message.into(), hint.into()));
    }

    pub(super) fn at_line(&mut self, line: usize, message: String, hint: &str) {
        self.found.push((Spot::Line(line), message, hint.to_owned()));
    }

    pub(super) fn syntax(&mut self, error: &toml_span::Error) {
        let hint = if matches!(error.kind, ErrorKind::UnquotedString) { "put text in \"quotes\"" } else { "" };
        self.at(error.span, format!("not TOML: {error}"), hint);
    }

    pub(super) fn locate(self, name: &str, text: &str, environment: &[(String, String)]) -> Mistakes {
        let place = |spot: &Spot| match *spot {
            Spot::Line(line) => Place::Line(line),
            Spot::Byte(start) if start > text.len() => environment
                .get(start - text.len() - 1)
                .map_or(Place::Line(1), |(variable, _)| Place::Variable(variable.clone())),
            Spot::Byte(start) => Place::Line(line_of(text, start)),
        };
        let mut list: Vec<Mistake> = self
            .found
            .into_iter()
            .map(|(spot, message, hint)| Mistake { place: place(&spot), message, hint })
            .collect();
        list.sort_by(|a, b| a.place.cmp(&b.place));
        Mistakes { name: name.to_owned(), list }
    }
}

/// The line, from 1, on which a byte stands.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}
