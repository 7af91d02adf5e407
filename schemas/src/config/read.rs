//! Reading one table: required and optional keys, each with a reader that says what it expected.
#![expect(clippy::wildcard_enum_match_arm, reason = "what is not the wanted TOML type is a mistake, whichever it is")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use toml_span::value::{Table, ValueInner};
use toml_span::{Span, Value};
use url::Url;

use super::mistake::Flaws;
use super::secret::{Secret, SecretSource};

/// What a reader did not like.
pub(super) struct Fault {
    message: String,
    hint: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

pub(super) type Read<T> = Result<T, Fault>;

/// One table being read.
pub(super) struct Section<'de, 'f> {
    name: String,
    table: Table<'de>,
    span: Span,
    asked: Vec<&'static str>,
    flaws: &'f mut Flaws,
}

impl<'de, 'f> Section<'de, 'f> {
    pub(super) fn of(name: &str, mut value: Value<'de>, flaws: &'f mut Flaws) -> Option<Self> {
        match value.take() {
            ValueInner::Table(table) => {
                Some(Self { name: name.to_owned(), table, span: value.span, asked: Vec::new(), flaws })
            }
            other => {
                flaws.at(value.span, format!("`{name}` is {}", other.type_str()), format!("write [{name}]"));
                None
            }
        }
    }

    pub(super) const fn start(&self) -> usize {
        self.span.start
    }

    /// Whether the key is there, read or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The table `name` in this one, where it stands.
    pub(super) fn table(&mut self, name: &'static str) -> Option<Section<'de, '_>> {
        self.asked.push(name);
        let value = self.table.remove(name)?;
        Section::of(name, value, self.flaws)
    }

    /// The table `name` in this one, or an empty one.
    pub(super) fn table_or_empty(&mut self, name: &'static str) -> Option<Section<'de, '_>> {
        self.asked.push(name);
        let value =
            self.table.remove(name).unwrap_or_else(|| Value::with_span(ValueInner::Table(Table::new()), self.span));
        Section::of(name, value, self.flaws)
    }

    /// Reads each table of the list `[[name]]` with `read`.
    pub(super) fn each_table<T>(&mut self, name: &'static str, read: fn(Section<'de, '_>) -> Option<T>) -> Vec<T> {
        self.asked.push(name);
        let Some(mut value) = self.table.remove(name) else { return Vec::new() };
        match value.take() {
            ValueInner::Array(items) => {
                let flaws = &mut *self.flaws;
                items.into_iter().filter_map(|item| Section::of(name, item, flaws).and_then(read)).collect()
            }
            other => {
                let hint = format!("write [[{name}]], with two brackets, once for each");
                self.flaws.at(value.span, format!("`{name}` is {}", other.type_str()), hint);
                Vec::new()
            }
        }
    }

    pub(super) fn optional<T>(&mut self, key: &'static str, read: impl FnOnce(Value<'de>) -> Read<T>) -> Option<T> {
        self.asked.push(key);
        let value = self.table.remove(key)?;
        let span = value.span;
        match read(value) {
            Ok(read) => Some(read),
            Err(fault) => {
                self.flaws.at(span, format!("`{}`: {}", self.full(key), fault.message), fault.hint);
                None
            }
        }
    }

    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        read: impl FnOnce(Value<'de>) -> Read<T>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.asked.push(key);
            self.flaws.at(self.span, format!("`{}` is missing", self.full(key)), hint);
            return None;
        }
        self.optional(key, read)
    }

    /// A secret: `key` from the environment only, or `key_file`.
    pub(super) fn secret(&mut self, key: &'static str, key_file: &'static str) -> Option<SecretSource> {
        let in_file = self.table.get(key).map(|value| value.span).filter(|span| !is_variable(*span));
        if let Some(span) = in_file {
            let variable = format!("WHOPULLS_{}", self.full(key).replace('.', "_").to_ascii_uppercase());
            let message = format!("`{}` is a secret and must not stand in this file", self.full(key));
            self.flaws.at(span, message, format!("set {variable}, or name a file with `{key_file}`"));
        }
        let given = self.optional(key, any_text).map(|text| SecretSource::Given(Secret::new(text)));
        let file = self.optional(key_file, path).map(SecretSource::File);
        given.or(file)
    }

    pub(super) fn complain(&mut self, message: String, hint: &str) {
        self.flaws.at(self.span, message, hint);
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let near = nearest(&key.name, &self.asked);
            let hint = near.map_or_else(
                || format!("known here: {}", self.asked.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.flaws.at(key.span, format!("unknown key `{}`", self.full(&key.name)), hint);
        }
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// The environment's values carry spans of no length; everything in the file has a length.
const fn is_variable(span: Span) -> bool {
    span.start == span.end
}

fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &&str| edits(key.as_bytes(), other.as_bytes());
    known
        .iter()
        .map(|other| (distance(other), *other))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, near)| near)
}

/// The Levenshtein distance.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b) {
            let best = (diagonal + usize::from(from != to)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn wrong(expected: &str, found: &ValueInner<'_>) -> Fault {
    Fault::new(format!("expected {expected}, found {}", found.type_str()), "")
}

/// Text, not empty.
pub(super) fn text(value: Value<'_>) -> Read<String> {
    let text = any_text(value)?;
    if text.trim().is_empty() { Err(Fault::new("empty", "leave the key out or give it a value")) } else { Ok(text) }
}

/// Text as it is; a number or flag from the environment is taken as the text it was.
pub(super) fn any_text(mut value: Value<'_>) -> Read<String> {
    match value.take() {
        ValueInner::String(text) => Ok(text.into_owned()),
        ValueInner::Integer(number) if is_variable(value.span) => Ok(number.to_string()),
        ValueInner::Boolean(flag) if is_variable(value.span) => Ok(flag.to_string()),
        other => Err(wrong("text in \"quotes\"", &other)),
    }
}

pub(super) fn path(value: Value<'_>) -> Read<PathBuf> {
    text(value).map(PathBuf::from)
}

pub(super) fn flag(mut value: Value<'_>) -> Read<bool> {
    match value.take() {
        ValueInner::Boolean(flag) => Ok(flag),
        other => Err(wrong("true or false", &other)),
    }
}

/// A whole number in a range.
pub(super) fn number<'de>(range: RangeInclusive<u64>) -> impl FnOnce(Value<'de>) -> Read<u64> {
    move |mut value| match value.take() {
        ValueInner::Integer(number) => {
            u64::try_from(number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
                Fault::new(format!("{number} is out of range"), format!("from {} to {}", range.start(), range.end()))
            })
        }
        other => Err(wrong("a whole number", &other)),
    }
}

/// A whole number of things.
pub(super) fn count<'de>(range: RangeInclusive<u64>) -> impl FnOnce(Value<'de>) -> Read<usize> {
    move |value| {
        let number = number(range)(value)?;
        usize::try_from(number).map_err(|_| Fault::new(format!("{number} is out of range"), ""))
    }
}

/// A host name, without scheme, port and path.
pub(super) fn host(value: Value<'_>) -> Read<String> {
    let host = text(value)?.to_ascii_lowercase();
    if host.contains(['/', ':', '@']) {
        return Err(Fault::new(format!("`{host}` is not a host name"), "without scheme, port and path"));
    }
    Ok(host)
}

/// A list of host names.
pub(super) fn hosts(value: Value<'_>) -> Read<Vec<String>> {
    list(host)(value)
}

/// A list of what `item` reads.
pub(super) fn list<'de, T>(item: impl Fn(Value<'de>) -> Read<T>) -> impl FnOnce(Value<'de>) -> Read<Vec<T>> {
    move |mut value| match value.take() {
        ValueInner::Array(items) => items.into_iter().map(item).collect(),
        other => Err(wrong("a list", &other)),
    }
}

/// A number of bytes: a whole number, or text as `512 MiB`.
pub(super) fn bytes(mut value: Value<'_>) -> Read<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let hint = "a number of bytes, or as \"512 MiB\" or \"20 GB\"";
    match value.take() {
        ValueInner::Integer(number) => u64::try_from(number).map_err(|_| Fault::new("negative", hint)),
        ValueInner::String(text) => UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.trim().strip_suffix(unit)?, factor)))
            .and_then(|(number, factor)| number.trim().parse::<u64>().ok()?.checked_mul(*factor))
            .ok_or_else(|| Fault::new(format!("`{text}` is not a size"), hint)),
        other => Err(wrong("a size", &other)),
    }
}

/// `address:port`.
pub(super) fn socket(value: Value<'_>) -> Read<SocketAddr> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        Fault::new(format!("`{text}` is not an address and port"), "as \"127.0.0.1:8080\" or \"[::]:8080\"")
    })
}

/// An http or https URL without a query, its path without a trailing slash.
pub(super) fn http_url(value: Value<'_>) -> Read<Url> {
    let text = text(value)?;
    let hint = "as \"https://registry.example.org\"";
    let url = Url::parse(&text).map_err(|error| Fault::new(format!("`{text}` is not a URL: {error}"), hint))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Fault::new(format!("`{text}` is not an http or https URL"), hint));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("holds credentials", "leave them out of the URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new("has a query or fragment", hint));
    }
    Ok(url)
}

/// A list of texts; from the environment with commas between them.
pub(super) fn texts(mut value: Value<'_>) -> Read<Vec<String>> {
    match value.take() {
        ValueInner::Array(items) => items.into_iter().map(text).collect(),
        ValueInner::String(list) if is_variable(value.span) => Ok(list
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(Cow::from)
            .map(Cow::into_owned)
            .collect()),
        other => Err(wrong("a list of texts", &other)),
    }
}

/// A list of networks.
pub(super) fn networks(value: Value<'_>) -> Read<Vec<IpNet>> {
    let hint = "as \"10.0.0.0/8\", \"2001:db8::/32\" or a single address";
    texts(value)?
        .into_iter()
        .map(|text| {
            let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
            net.ok_or_else(|| Fault::new(format!("`{text}` is not a network"), hint))
        })
        .collect()
}

/// A table of texts, as it is.
pub(super) fn text_map(mut value: Value<'_>) -> Read<BTreeMap<String, String>> {
    match value.take() {
        ValueInner::Table(table) => table
            .into_iter()
            .map(|(key, mut value)| match value.take() {
                ValueInner::String(text) => Ok((key.name.into_owned(), text.into_owned())),
                ValueInner::Integer(number) => Ok((key.name.into_owned(), number.to_string())),
                ValueInner::Boolean(flag) => Ok((key.name.into_owned(), flag.to_string())),
                other => Err(wrong("text", &other)),
            })
            .collect(),
        other => Err(wrong("a table of texts", &other)),
    }
}

/// One of some words.
pub(super) fn word<'de, T: Copy>(words: &'static [(&'static str, T)]) -> impl FnOnce(Value<'de>) -> Read<T> {
    move |value| {
        let text = any_text(value)?;
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| Fault::new(format!("`{text}` is not known"), format!("one of: {}", known())))
    }
}
