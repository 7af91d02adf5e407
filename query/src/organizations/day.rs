//! Days as people write them.

use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::Date32Type;

use crate::engine::QueryError;

/// Days since the epoch.
type Day = i32;

/// Both ends are included.
pub(crate) fn range(from: Option<&str>, to: Option<&str>) -> Result<(Option<Day>, Option<Day>), QueryError> {
    let first = from.map(|text| day("from", text)).transpose()?;
    let last = to.map(|text| day("to", text)).transpose()?;
    match (first, last) {
        (Some(first), Some(last)) if last < first => Err(QueryError::Parameter {
            parameter: "to",
            value: to.unwrap_or_default().to_owned(),
            expected: "on or after the day `from`",
        }),
        _ => Ok((first, last)),
    }
}

/// Days as the table writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayRange {
    from: Option<String>,
    to: Option<String>,
}

/// The days from one to another, both included; open where one is not given.
///
/// # Errors
/// A day that is not one, or an end before the beginning.
pub fn days_between(from: Option<&str>, to: Option<&str>) -> Result<DayRange, QueryError> {
    range(from, to)?;
    Ok(DayRange { from: from.map(str::to_owned), to: to.map(str::to_owned) })
}

impl DayRange {
    /// Whether a day as the table writes it is among them.
    pub fn contains(&self, day: &str) -> bool {
        // Days of this shape are in order as texts.
        self.from.as_deref().is_none_or(|from| from <= day) && self.to.as_deref().is_none_or(|to| day <= to)
    }
}

fn day(parameter: &'static str, text: &str) -> Result<Day, QueryError> {
    let shaped = text.len() == 10
        && text.chars().enumerate().all(|(index, letter)| match index {
            4 | 7 => letter == '-',
            _ => letter.is_ascii_digit(),
        });
    let day = if shaped { Date32Type::parse(text) } else { None };
    day.ok_or_else(|| QueryError::Parameter { parameter, value: text.to_owned(), expected: "a day as in 2026-11-24" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_four_two_and_two_digits_of_the_calendar() {
        assert_eq!(day("from", "1970-01-02").ok(), Some(1));
        assert_eq!(day("from", "2024-02-29").ok(), Some(19_782));
        for text in ["", "2026-1-1", "2026-13-01", "2026-02-29", "24.11.2026", "2026-11-24T00:00:00Z", "２０２６-11-24"]
        {
            assert!(day("from", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_does_not_end_before_it_begins() {
        assert!(range(Some("2026-11-24"), Some("2026-11-24")).is_ok());
        assert!(range(Some("2026-11-24"), Some("2026-11-23")).is_err());
        assert!(matches!(range(None, None), Ok((None, None))));
    }
}
