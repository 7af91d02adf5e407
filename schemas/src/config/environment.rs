//! Environment variables laid over the file.
#![expect(clippy::wildcard_enum_match_arm, reason = "what is not the wanted TOML type is a mistake, whichever it is")]

use std::borrow::Cow;

use toml_span::value::{Key, Table, ValueInner};
use toml_span::{Span, Value};

use super::mistake::{Flaws, variable_span};

const PREFIX: &str = "WHOPULLS_";
const SECTIONS: [&str; 8] = ["gateway", "cache", "privacy", "spool", "kafka", "enrich", "lake", "serve"];

/// Puts every `WHOPULLS_…` variable in its place in the tree, over what the file says there.
pub(super) fn overlay(root: &mut Value<'_>, text: &str, environment: &[(String, String)], flaws: &mut Flaws) {
    for (index, (name, value)) in environment.iter().enumerate() {
        let span = variable_span(text, index);
        let Some(path) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        if path == "config" || path == "log" {
            continue; // The command line's own.
        }
        put(root, &path, scalar(value, span), span, flaws);
    }
}

fn put<'de>(root: &mut Value<'de>, path: &str, value: Value<'de>, span: Span, flaws: &mut Flaws) {
    let ValueInner::Table(mut table) = root.take() else { return };
    let section = SECTIONS.iter().find_map(|section| Some((*section, path.strip_prefix(section)?.strip_prefix('_')?)));
    match section {
        None => replace(&mut table, path, value, span),
        Some((section, key)) => {
            let mut inner = table.remove(section).unwrap_or_else(|| Value::with_span(empty(), span));
            match inner.take() {
                ValueInner::Table(mut keys) => {
                    replace(&mut keys, key, value, span);
                    inner.set(ValueInner::Table(keys));
                }
                other => {
                    flaws.at(inner.span, format!("`{section}` is not a table"), format!("write [{section}]"));
                    inner.set(other);
                }
            }
            table.insert(Key { name: Cow::Borrowed(section), span: inner.span }, inner);
        }
    }
    root.set(ValueInner::Table(table));
}

fn replace<'de>(table: &mut Table<'de>, key: &str, value: Value<'de>, span: Span) {
    table.remove(key);
    table.insert(Key { name: Cow::Owned(key.to_owned()), span }, value);
}

fn empty<'de>() -> ValueInner<'de> {
    ValueInner::Table(Table::new())
}

/// A variable is a number or a flag where it reads as one, else text. A list is written with commas and taken apart by the
/// key's own reader.
fn scalar<'de>(value: &str, span: Span) -> Value<'de> {
    let inner = match value {
        "true" => ValueInner::Boolean(true),
        "false" => ValueInner::Boolean(false),
        number if number.parse::<i64>().is_ok() => ValueInner::Integer(number.parse().unwrap_or_default()),
        text => ValueInner::String(Cow::Owned(text.to_owned())),
    };
    Value::with_span(inner, span)
}
