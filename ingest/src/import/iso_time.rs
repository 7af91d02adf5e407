//! Times as ISO 8601 and RFC 3339 write them: `2024-01-16T23:53:20.460557177Z`, `2024-01-16 23:53:20 +0100`.

use whopulls_schemas::UnixMicros;

use super::clf_time::{days_in, days_since_epoch, number};

/// The moment, in UTC where no offset is given; `None` for what is no time of this form.
pub(super) fn parse(text: &[u8]) -> Option<UnixMicros> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
    of_parts(date, time)
}

/// The same where date and time stand apart.
pub(super) fn of_parts(date: &[u8], time: &[u8]) -> Option<UnixMicros> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let &[h1, h2, b':', n1, n2, b':', s1, s2, ref rest @ ..] = time else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    // A leap second is written as 60.
    let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_us, zone) = fraction(rest)?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(UnixMicros((seconds - offset_seconds(zone)?) * 1_000_000 + fraction_us))
}

/// Microseconds of `.123456789`, rounded down, and what comes after.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else { return Some((0, text)) };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let shown = digits.get(..6).unwrap_or(digits);
    let missing = u32::try_from(6 - shown.len()).ok()?;
    (!shown.is_empty()).then_some((number(shown)? * 10_i64.pow(missing), rest))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let zone = zone.strip_prefix(b" ").unwrap_or(zone);
    let (ahead, digits) = match zone {
        [] | [b'Z' | b'z'] | [b'U', b'T', b'C'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match *digits {
        [h1, h2] => (number(&[h1, h2])?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (number(&[h1, h2])?, number(&[m1, m2])?),
        _ => return None,
    };
    Some(ahead * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, micros: Option<i64>) {
        assert_eq!(parse(text.as_bytes()), micros.map(UnixMicros));
    }

    #[test]
    fn times_with_and_without_their_offset_are_moments() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2024-01-16T23:53:20.460557177Z", Some(1_705_449_200_460_557));
        check("2024-01-16 23:53:20", Some(1_705_449_200_000_000));
        check("2024-01-17T00:53:20.5+01:00", Some(1_705_449_200_500_000));
        check("2024-01-16T18:53:20-0500", Some(1_705_449_200_000_000));
        check("2024-01-16 23:53:20.46 UTC", Some(1_705_449_200_460_000));
        check("2024-02-29 00:00:00 +00", Some(1_709_164_800_000_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2024-01-16",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-00-10T00:00:00Z",
            "2024-01-16T24:00:00Z",
            "2024-01-16T23:53:20.Z",
            "2024-01-16T23:53:20X",
            "2024-01-16T23:53:20+1",
            "2024-01-16t23:53:20Z",
        ] {
            check(text, None);
        }
    }
}
