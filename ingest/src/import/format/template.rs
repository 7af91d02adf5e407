//! nginx's `log_format`: text with variables, from which a line is read back.

mod fill;
mod syntax;

use std::borrow::Cow;

use super::super::part::find;
pub(in super::super) use fill::entry;
use syntax::{Token, tokens};

/// The most variables of one format.
const VARIABLES_MAX: usize = 128;

/// Why a `log_format` cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogTemplateError {
    /// A `$` that begins no name.
    #[error("a `$` stands before no variable's name, or a `{{` is not closed")]
    Name,
    /// An `escape=` that nginx does not know.
    #[error("`escape=` is `default`, `json` or `none`")]
    Escape,
    /// A quote of the directive is not closed.
    #[error("a quote of the directive is not closed")]
    Quote,
    /// Nothing between two variables tells where one ends.
    #[error("nothing stands between `${0}` and the variable after it, so no line says where it ends")]
    Adjacent(String),
    /// More variables than any log has.
    #[error("more than {VARIABLES_MAX} variables")]
    TooMany,
    /// Without a time no line is an event.
    #[error("no time: it wants `$time_local`, `$time_iso8601` or `$msec`")]
    Time,
    /// Without a request no line is an event.
    #[error("no request: it wants `$request`, or `$request_method` and one of `$request_uri` and `$uri`")]
    Request,
    /// Without a status a failure would count as a download.
    #[error("no status: it wants `$status`")]
    Status,
}

/// How nginx wrote what is in a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// `\xHH`.
    Default,
    /// As in a JSON string.
    Json,
    /// As it was.
    None,
}

/// A compiled `log_format`.
#[derive(Debug, Clone)]
pub struct LogTemplate {
    tokens: Vec<Token>,
    escape: Escape,
}

/// What a line has in its variables, still escaped.
#[derive(Debug)]
pub(super) struct Values<'a> {
    values: Vec<(&'a str, &'a [u8])>,
    escape: Escape,
}

impl LogTemplate {
    /// Reads nginx's own syntax: the text alone, the text behind `escape=json`, or the whole directive with its quotes.
    ///
    /// # Errors
    /// It is malformed, or says too little of a request.
    pub fn compile(text: &str) -> Result<Self, LogTemplateError> {
        let (escape, text) = syntax::directive(text)?;
        let tokens = tokens(&text)?;
        let names: Vec<&str> = tokens.iter().filter_map(Token::name).collect();
        if names.len() > VARIABLES_MAX {
            return Err(LogTemplateError::TooMany);
        }
        let pairs = tokens.iter().zip(tokens.iter().skip(1));
        let adjacent = pairs.filter_map(|(first, second)| Some((first.name()?, second.name()?)));
        if let Some((first, _)) = adjacent.into_iter().find(|(_, second)| begins(second).is_none() && *second != "args")
        {
            return Err(LogTemplateError::Adjacent(first.to_owned()));
        }
        let has = |wanted: &[&str]| names.iter().any(|name| wanted.contains(name));
        if !has(&["time_local", "time_iso8601", "msec"]) {
            return Err(LogTemplateError::Time);
        }
        let in_parts = has(&["request_method"]) && has(&["request_uri", "uri", "document_uri"]);
        if !in_parts && !has(&["request"]) {
            return Err(LogTemplateError::Request);
        }
        if !has(&["status"]) {
            return Err(LogTemplateError::Status);
        }
        Ok(Self { tokens, escape })
    }

    /// The variables of a line. The error is the place that does not fit: the variable before it.
    fn values<'a>(&'a self, line: &'a [u8]) -> Result<Values<'a>, &'a str> {
        let mut values = Vec::with_capacity(self.tokens.len());
        let (mut left, mut before) = (line, "line");
        let mut tokens = self.tokens.as_slice();
        while let Some((first, rest)) = tokens.split_first() {
            match first {
                Token::Literal(literal) => {
                    left = left.strip_prefix(literal.as_slice()).ok_or(before)?;
                    tokens = rest;
                }
                Token::Variable(name) => {
                    let run = tokens.iter().take_while(|token| token.name().is_some()).count();
                    let (variables, after) = tokens.split_at(run);
                    let end = match after.first() {
                        Some(Token::Literal(literal)) => self.end(left, literal).ok_or(name.as_str())?,
                        Some(Token::Variable(_)) | None => left.len(),
                    };
                    let (text, behind) = left.split_at_checked(end).ok_or(name.as_str())?;
                    spread(text, variables, &mut values);
                    before = variables.last().and_then(Token::name).unwrap_or(name);
                    (left, tokens) = (behind, after);
                }
            }
        }
        if left.is_empty() { Ok(Values { values, escape: self.escape }) } else { Err(before) }
    }

    /// Where the next `literal` begins. In JSON a quote behind a backslash ends nothing.
    fn end(&self, text: &[u8], literal: &[u8]) -> Option<usize> {
        if self.escape != Escape::Json || !literal.starts_with(b"\"") {
            return find(text, literal);
        }
        let mut at = 0;
        loop {
            match text.get(at)? {
                b'\\' => at += 2,
                _ if text.get(at..)?.starts_with(literal) => return Some(at),
                _ => at += 1,
            }
        }
    }
}

/// What a variable that may stand behind another begins with.
fn begins(name: &str) -> Option<u8> {
    match name {
        "request_uri" | "uri" | "document_uri" => Some(b'/'),
        "is_args" => Some(b'?'),
        _ => None,
    }
}

/// Shares text among variables between which nothing stands: `$host$request_uri`, `$uri$is_args$args`.
fn spread<'a>(text: &'a [u8], variables: &'a [Token], values: &mut Vec<(&'a str, &'a [u8])>) {
    let mut left = text;
    let mut names = variables.iter().filter_map(Token::name).peekable();
    while let Some(name) = names.next() {
        let end = match names.peek() {
            None => left.len(),
            // `$is_args` is a question mark, or nothing where there are no arguments.
            Some(_) if name == "is_args" => usize::from(left.starts_with(b"?")),
            Some(next) => {
                let first = begins(next);
                left.iter().position(|byte| Some(*byte) == first).unwrap_or(left.len())
            }
        };
        let (value, rest) = left.split_at(end);
        values.push((name, value));
        left = rest;
    }
}

impl<'a> Values<'a> {
    /// The variable as nginx wrote it; `-` and nothing are absent.
    fn written(&self, name: &str) -> Option<&'a [u8]> {
        let (_, value) = self.values.iter().find(|(known, _)| *known == name)?;
        (!matches!(*value, b"-" | b"")).then_some(value)
    }

    /// The variable as it was.
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        let written = self.written(name)?;
        let text = match self.escape {
            Escape::Default => super::super::part::unescape(written),
            Escape::Json => syntax::from_json(written),
            Escape::None => super::super::part::text(written),
        };
        super::super::part::present(text)
    }
}
