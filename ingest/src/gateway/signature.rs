//! How long a signed URL may be handed out: as long as its signature lives, where it says so.

use url::Url;
use whopulls_schemas::UnixMicros;

use crate::import::days_since_epoch;

/// Of a URL that does not say how long it lives.
const LIVES_S_DEFAULT: i64 = 300;
/// Of one that says it lives for long: a storage may take it back.
const LIVES_S_MAX: i64 = 3600;
/// Kept from the end, for the client's way to the storage.
const MARGIN_S: i64 = 30;

/// Until when `url`, received at `now`, may be handed out.
pub(crate) fn good_until(url: &Url, now: UnixMicros) -> UnixMicros {
    let now_s = now.0.div_euclid(1_000_000);
    let said_s = expiry_s(url).map(|until| until.saturating_sub(MARGIN_S));
    let until_s = said_s.unwrap_or(now_s + LIVES_S_DEFAULT).min(now_s + LIVES_S_MAX);
    UnixMicros(until_s.saturating_mul(1_000_000))
}

/// The second at which the signature ends, as the large storages write it.
fn expiry_s(url: &Url) -> Option<i64> {
    let value = |wanted: &str| {
        url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.into_owned())
    };
    let from_date = |date: &str, expires: &str| {
        let begin = moment_s(&value(date)?)?;
        Some(begin.saturating_add(value(expires)?.parse::<u32>().ok()?.into()))
    };
    from_date("X-Amz-Date", "X-Amz-Expires")
        .or_else(|| from_date("X-Goog-Date", "X-Goog-Expires"))
        .or_else(|| value("Expires")?.parse().ok())
        .or_else(|| moment_s(&value("se")?))
}

/// `20240102T030405Z` or `2024-01-02T03:04:05Z`
fn moment_s(text: &str) -> Option<i64> {
    let digits: Vec<i64> = text.bytes().filter(u8::is_ascii_digit).map(|digit| i64::from(digit - b'0')).collect();
    let shape = text.bytes().filter(|b| !b.is_ascii_digit()).all(|b| b"-:TZ".contains(&b));
    if !shape || digits.len() != 14 || !text.ends_with('Z') {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to).map(|d| d.iter().fold(0, |n, digit| n * 10 + digit));
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time = hour < 24 && minute < 60 && second <= 60;
    (is_date && is_time).then(|| days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-02T03:04:05Z
    const NOW_S: i64 = 1_704_164_645;

    #[track_caller]
    fn check(query: &str, lives_s: i64) {
        let url = Url::parse(&format!("https://storage.example.org/x?{query}")).expect("a URL");
        let until = good_until(&url, UnixMicros(NOW_S * 1_000_000));
        assert_eq!(until.0 / 1_000_000 - NOW_S, lives_s, "{query}");
    }

    #[test]
    fn a_signed_url_is_good_for_as_long_as_its_signature_lives() {
        check("X-Amz-Date=20240102T030405Z&X-Amz-Expires=1200", 1170);
        check("x-amz-date=20240102T030305Z&x-amz-expires=1200", 1110);
        check("X-Goog-Date=20240102T030405Z&X-Goog-Expires=60", 30);
        check(&format!("Expires={}&Signature=x", NOW_S + 600), 570);
        check("se=2024-01-02T03%3A14%3A05Z&sig=x", 570);
        check("X-Amz-Date=20240102T030405Z&X-Amz-Expires=604800", 3600);
        check("X-Amz-Date=20230102T030405Z&X-Amz-Expires=60", -31_536_000 + 30);
    }

    #[test]
    fn one_that_does_not_say_is_good_for_five_minutes() {
        for query in ["", "Expires=soon", "se=tomorrow", "X-Amz-Date=2024&X-Amz-Expires=5", "X-Amz-Expires=5"] {
            check(query, 300);
        }
    }
}
