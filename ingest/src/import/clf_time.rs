//! The time of the common log format: `17/May/2015:08:05:32 +0000`.

use whopulls_schemas::UnixMicros;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The moment, or `None` for what is no time of this form.
pub(super) fn parse(text: &[u8]) -> Option<UnixMicros> {
    let text: &[u8; 26] = text.try_into().ok()?;
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if separators.iter().any(|(at, separator)| text[*at] != *separator) {
        return None;
    }
    let day = number(&text[0..2])?;
    let month = MONTHS.iter().position(|name| *name == &text[3..6])?;
    let year = number(&text[7..11])?;
    let (hour, minute, second) = (number(&text[12..14])?, number(&text[15..17])?, number(&text[18..20])?);
    let offset_minutes = number(&text[22..24])? * 60 + number(&text[24..26])?;
    let ahead = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let month = i64::try_from(month).ok()? + 1;
    // A leap second is written as 60.
    if hour > 23 || minute > 59 || second > 60 || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(UnixMicros((seconds - ahead * offset_minutes * 60) * 1_000_000))
}

pub(super) fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

pub(super) fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March.
pub(crate) fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<i64>) {
        assert_eq!(parse(text.as_bytes()), seconds.map(|s| UnixMicros(s * 1_000_000)));
    }

    #[test]
    fn times_with_their_offset_are_moments() {
        check("01/Jan/1970:00:00:00 +0000", Some(0));
        check("17/May/2015:08:05:32 +0000", Some(1_431_849_932));
        check("17/May/2015:10:05:32 +0200", Some(1_431_849_932));
        check("17/May/2015:02:35:32 -0530", Some(1_431_849_932));
        check("29/Feb/2024:23:59:59 +0000", Some(1_709_251_199));
        check("31/Dec/2016:23:59:60 +0000", Some(1_483_228_800));
    }

    #[test]
    fn what_is_no_time_is_none() {
        check("29/Feb/2023:00:00:00 +0000", None);
        check("17/Mai/2015:08:05:32 +0000", None);
        check("17/May/2015 08:05:32 +0000", None);
        check("17/May/2015:24:05:32 +0000", None);
        check("17/May/2015:08:05:32 0000", None);
        check("", None);
    }
}
