//! What a client takes, by its `Accept`.

use http::header::{self, HeaderMap};

/// The `Accept` of a client as one text.
pub(crate) fn accept_of(headers: &HeaderMap) -> String {
    let values: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).map(str::trim).collect();
    values.join(", ")
}

/// The `Accept` of a client as it goes to an upstream: unchanged.
pub(crate) fn accept_unchanged(headers: &HeaderMap) -> HeaderMap {
    headers.get_all(header::ACCEPT).iter().map(|value| (header::ACCEPT, value.clone())).collect()
}

/// The ranges, each with its weight in thousandths.
fn ranges(accept: &str) -> impl Iterator<Item = (&str, u32)> {
    accept.split(',').map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (named, weight.map_or(1000, thousandths))
    })
}

/// How much a client wants a range that it names by this very name, in thousandths; `None` where it does not name it.
pub(crate) fn weight(accept: &str, named: &str) -> Option<u32> {
    ranges(accept).filter(|(range, _)| range.eq_ignore_ascii_case(named)).map(|(_, weight)| weight).max()
}

/// Whether a client takes a media type. One that says nothing takes everything.
pub(crate) fn accepts(accept: &str, media_type: &str) -> bool {
    let wanted = media_type.split(';').next().unwrap_or_default().trim();
    let is_of_kind = |range: &str| {
        let kind = range.strip_suffix("/*");
        kind.zip(wanted.split_once('/')).is_some_and(|(kind, (own, _))| own.eq_ignore_ascii_case(kind))
    };
    let fits = |range: &str| range == "*/*" || range.eq_ignore_ascii_case(wanted) || is_of_kind(range);
    accept.is_empty() || ranges(accept).any(|(range, weight)| weight > 0 && fits(range))
}

/// A weight as `0.25`. One that cannot be read counts as nothing.
fn thousandths(text: &str) -> u32 {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = || fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    match whole {
        "1" => 1000,
        "0" if digits().all(|b| b.is_ascii_digit()) => digits().fold(0, |sum, b| sum * 10 + u32::from(b - b'0')),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_what_it_names() {
        let index = "application/vnd.oci.image.index.v1+json";
        for (accept, expected) in [
            ("", true),
            ("*/*", true),
            ("application/*", true),
            ("text/*", false),
            ("application/vnd.oci.image.manifest.v1+json", false),
            ("application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json;q=0.5", true),
            ("application/vnd.oci.image.index.v1+json;q=0", false),
            ("APPLICATION/vnd.oci.image.INDEX.v1+json", true),
        ] {
            assert_eq!(accepts(accept, index), expected, "{accept}");
        }
        assert!(accepts(index, "application/vnd.oci.image.index.v1+json; charset=utf-8"));
    }

    #[test]
    fn weights_are_read_by_name() {
        for (accept, expected) in [
            ("text/html", Some(1000)),
            ("a/b, TEXT/html;q=0.25", Some(250)),
            ("text/html;level=1;Q=0.5", Some(500)),
            ("text/html;q=0.1, text/html;q=0.7", Some(700)),
            ("text/html;q=high", Some(0)),
            ("text/html;q=0", Some(0)),
            ("text/*", None),
            ("", None),
        ] {
            assert_eq!(weight(accept, "text/html"), expected, "{accept}");
        }
    }
}
