//! A line that is a JSON object.

use serde_json::Value;
use whopulls_schemas::{RejectReason, Rejected, UnixMicros};

use super::super::iso_time;
use super::super::part::{micros, status_of, wrong};

/// A JSON object, or one within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a>(&'a Value);

/// The line as JSON.
pub(super) fn read(line: &[u8]) -> Result<Value, Rejected> {
    match serde_json::from_slice(line) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Rejected::whole(RejectReason::NotJson, "not a JSON object")),
        // Without the column: refused lines are counted by reason, and each would be one of its own.
        Err(_) => Err(Rejected::whole(RejectReason::NotJson, "not JSON")),
    }
}

impl<'a> Object<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        Self(value)
    }

    /// The object in this field; an empty one where there is none.
    pub(super) fn within(self, name: &str) -> Self {
        Self(self.0.get(name).unwrap_or(&Value::Null))
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The first of these fields that has text; `-` and nothing are absent.
    pub(super) fn text(self, names: &[&str]) -> Option<&'a str> {
        let texts = names.iter().filter_map(|name| self.0.get(*name)?.as_str());
        texts.into_iter().find(|text| !matches!(*text, "" | "-" | "(null)"))
    }

    pub(super) fn required_text(self, names: &[&str]) -> Result<&'a str, Rejected> {
        self.text(names).ok_or_else(|| wrong(names.first().unwrap_or(&""), "no text"))
    }

    /// A number, also one that was written as text.
    pub(super) fn number(self, names: &[&str]) -> Option<u64> {
        let values = names.iter().filter_map(|name| self.0.get(*name));
        values.into_iter().find_map(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    }

    pub(super) fn status(self, names: &[&str]) -> Result<u16, Rejected> {
        let number = self.number(names).and_then(|number| status_of(u16::try_from(number).ok()?));
        number.ok_or_else(|| wrong(names.first().unwrap_or(&""), "not a number from 100 to 599"))
    }

    /// A time as text, or as seconds since 1970.
    pub(super) fn time(self, names: &[&str]) -> Result<UnixMicros, Rejected> {
        let mut values = names.iter().filter_map(|name| self.0.get(*name));
        values.find_map(time).ok_or_else(|| wrong(names.first().unwrap_or(&""), "not a time"))
    }

    /// Seconds, or text as Go writes a duration.
    pub(super) fn duration_us(self, name: &str) -> u64 {
        let Some(value) = self.0.get(name) else { return 0 };
        value.as_f64().and_then(micros).or_else(|| go_duration_us(value.as_str()?)).unwrap_or_default()
    }

    /// The first value of a header field; fields are written in whatever case they came in.
    pub(super) fn header(self, name: &str) -> Option<&'a str> {
        let (_, values) = self.0.as_object()?.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        let first = values.as_array().map_or(values, |values| values.first().unwrap_or(&Value::Null));
        first.as_str().filter(|text| !text.is_empty())
    }
}

fn time(value: &Value) -> Option<UnixMicros> {
    match value {
        Value::String(text) => iso_time::parse(text.as_bytes()),
        Value::Number(seconds) => i64::try_from(micros(seconds.as_f64()?)?).ok().map(UnixMicros),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `1m2.5s`, `12.3ms`, `850.1µs`.
fn go_duration_us(text: &str) -> Option<u64> {
    let mut left = text;
    let mut sum = 0_u64;
    while !left.is_empty() {
        let digits = left.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(left.len());
        let (number, rest) = left.split_at_checked(digits)?;
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at_checked(unit_end)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "μs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum = sum.saturating_add(micros(number.parse::<f64>().ok()? * seconds)?);
        left = rest;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::go_duration_us;

    #[test]
    fn durations_are_as_go_writes_them() {
        for (text, expected) in [
            ("12.345678ms", Some(12_346)),
            ("1m2.5s", Some(62_500_000)),
            ("850.1µs", Some(850)),
            ("3.5s", Some(3_500_000)),
            ("12", None),
            ("ms", None),
            ("1x", None),
        ] {
            assert_eq!(go_duration_us(text), expected, "{text}");
        }
    }
}
