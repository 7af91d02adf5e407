//! nginx's syntax of `log_format`.

use std::borrow::Cow;

use super::super::super::part;
use super::{Escape, LogTemplateError};

/// A part of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Literal(Vec<u8>),
    Variable(String),
}

impl Token {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}

/// The escape and the text of `log_format name escape=json '…' '…';`, of `escape=json …`, or of the text alone.
pub(super) fn directive(text: &str) -> Result<(Escape, Cow<'_, str>), LogTemplateError> {
    let text = text.trim();
    let (is_directive, mut rest) = match text.strip_prefix("log_format") {
        Some(rest) if rest.starts_with(char::is_whitespace) => {
            let rest = rest.trim_start();
            (true, rest.split_once(char::is_whitespace).map_or("", |(_name, rest)| rest.trim_start()))
        }
        _ => (false, text),
    };
    let mut escape = Escape::Default;
    if let Some(behind) = rest.strip_prefix("escape=") {
        let (word, behind) = behind.split_once(char::is_whitespace).unwrap_or((behind, ""));
        escape = match word {
            "default" => Escape::Default,
            "json" => Escape::Json,
            "none" => Escape::None,
            _ => return Err(LogTemplateError::Escape),
        };
        rest = behind.trim_start();
    }
    let text = if is_directive || rest.starts_with('\'') { Cow::Owned(unquoted(rest)?) } else { Cow::Borrowed(rest) };
    Ok((escape, text))
}

/// The strings of a directive, one behind the other. A backslash before a quote or a backslash is taken away, as nginx does.
fn unquoted(text: &str) -> Result<String, LogTemplateError> {
    let mut out = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (None, ';') => return Ok(out),
            (None, _) if letter.is_whitespace() => {}
            (Some(open), _) if letter == open => quote = None,
            (_, '\\') => match letters.next() {
                Some(escaped @ ('\'' | '"' | '\\')) => out.push(escaped),
                Some('t') => out.push('\t'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            _ => out.push(letter),
        }
    }
    if quote.is_some() { Err(LogTemplateError::Quote) } else { Ok(out) }
}

/// Text and variables, `$name` or `${name}`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, LogTemplateError> {
    let mut tokens = Vec::new();
    let mut left = text;
    while let Some((literal, after)) = left.split_once('$') {
        push_literal(&mut tokens, literal);
        let in_braces = after.strip_prefix('{').map(|inside| inside.split_once('}').ok_or(LogTemplateError::Name));
        let (name, rest) = match in_braces.transpose()? {
            Some(found) => found,
            None => after.split_at(after.find(|c: char| !is_of_a_name(c)).unwrap_or(after.len())),
        };
        if name.is_empty() || !name.chars().all(is_of_a_name) {
            return Err(LogTemplateError::Name);
        }
        tokens.push(Token::Variable(name.to_ascii_lowercase()));
        left = rest;
    }
    push_literal(&mut tokens, left);
    Ok(tokens)
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn push_literal(tokens: &mut Vec<Token>, literal: &str) {
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal.as_bytes().to_vec()));
    }
}

/// What stands in a JSON string. What is no JSON stays as it is.
pub(super) fn from_json(written: &[u8]) -> Cow<'_, str> {
    if !written.contains(&b'\\') {
        return part::text(written);
    }
    let quoted = [b"\"", written, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| part::text(written), Cow::Owned)
}
