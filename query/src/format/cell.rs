//! Nested values as JSON text, and text that is safe to show on a terminal.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

/// Lists, maps and structs as JSON; other columns as they are.
pub(super) fn flat(field: &Arc<Field>, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !field.data_type().is_nested() {
        return Ok(Arc::clone(column));
    }
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, column, &options)?;
    let texts: Vec<Option<String>> = (0..column.len())
        .map(|row| {
            if encoder.is_null(row) {
                return None;
            }
            let mut json = Vec::new();
            encoder.encode(row, &mut json);
            Some(String::from_utf8_lossy(&json).into_owned())
        })
        .collect();
    Ok(Arc::new(StringArray::from(texts)))
}

/// The field that describes [`flat`]'s column.
pub(super) fn flat_field(field: &Arc<Field>) -> Arc<Field> {
    if field.data_type().is_nested() {
        Arc::new(Field::new(field.name(), DataType::Utf8, true))
    } else {
        Arc::clone(field)
    }
}

/// User agents and paths are written by strangers: their control characters must not reach a terminal.
pub(super) fn printable(text: &str) -> String {
    let unsafe_here =
        |letter: char| letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.chars().any(unsafe_here) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|letter| {
            let shown: Box<dyn Iterator<Item = char>> =
                if unsafe_here(letter) { Box::new(letter.escape_unicode()) } else { Box::new(std::iter::once(letter)) };
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(printable("pip/1\u{1b}[2J\n"), "pip/1\\u{1b}[2J\\u{a}");
        assert_eq!(printable("Zürich 日本"), "Zürich 日本");
    }
}
