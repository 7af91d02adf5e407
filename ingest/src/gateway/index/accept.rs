//! Which form of a document a client wants, of the few that an index has: a cache keeps no more than these.

use http::header::{self, HeaderMap, HeaderValue};

use super::path::{Document, Rewriting};

/// A form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// The only one.
    Plain,
    /// Python's JSON (PEP 691).
    PypiJson,
    /// Python's HTML (PEP 503).
    PypiHtml,
    /// npm's document with what an installation needs.
    NpmAbbreviated,
    /// npm's whole document.
    NpmFull,
}

const PYPI_JSON: [&str; 2] = ["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json"];
const PYPI_HTML: [&str; 5] =
    ["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html", "text/html", "text/*", "*/*"];
const NPM_ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

impl Variant {
    /// A word for the cache's key.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::PypiJson => "json",
            Self::PypiHtml => "html",
            Self::NpmAbbreviated => "abbreviated",
            Self::NpmFull => "full",
        }
    }

    /// What the upstream is asked for. One that knows a single form answers that.
    pub(crate) fn accept(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Plain => "*/*",
            Self::PypiJson => "application/vnd.pypi.simple.v1+json, text/html;q=0.1",
            Self::PypiHtml => "application/vnd.pypi.simple.v1+html, text/html;q=0.9",
            Self::NpmAbbreviated => "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8",
            Self::NpmFull => "application/json",
        })
    }

    /// Whether the upstream's `Content-Type` depends on what is asked for.
    pub(crate) fn varies(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// The form that a client wants.
pub(crate) fn variant(document: &Document, headers: &HeaderMap) -> Variant {
    match document.rewriting {
        Rewriting::PypiList | Rewriting::PypiProject => {
            let best = |types: &[&str]| types.iter().map(|wanted| quality(headers, wanted)).max().unwrap_or(0);
            let (json, html) = (best(&PYPI_JSON), best(&PYPI_HTML));
            if json > 0 && json >= html { Variant::PypiJson } else { Variant::PypiHtml }
        }
        Rewriting::Npm if quality(headers, NPM_ABBREVIATED) > quality(headers, "application/json") => {
            Variant::NpmAbbreviated
        }
        Rewriting::Npm => Variant::NpmFull,
        Rewriting::Helm | Rewriting::None => Variant::Plain,
    }
}

/// How much a client wants a media type that it names, in thousandths.
fn quality(headers: &HeaderMap, wanted: &str) -> u32 {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let entries = values.flat_map(|value| value.split(','));
    let qualities = entries.filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        parts.next().filter(|media_type| media_type.eq_ignore_ascii_case(wanted))?;
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(q.map_or(1000, thousandths))
    });
    qualities.max().unwrap_or(0)
}

/// `0.25` as 250; what is no quality as 0.
fn thousandths(q: &str) -> u32 {
    let (whole, part) = q.trim().split_once('.').unwrap_or((q.trim(), ""));
    let digits = || part.bytes().chain(std::iter::repeat(b'0')).take(3);
    match whole {
        "1" => 1000,
        "0" if digits().all(|b| b.is_ascii_digit()) => digits().fold(0, |sum, b| sum * 10 + u32::from(b - b'0')),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rewriting: Rewriting, accept: &str, expected: Variant) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a value"))]);
        let document = Document { path: String::new(), package: None, rewriting };
        assert_eq!(variant(&document, &headers), expected, "{accept}");
    }

    #[test]
    fn each_client_gets_the_form_that_it_wants() {
        let project = Rewriting::PypiProject;
        let pip = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01";
        check(project, pip, Variant::PypiJson);
        check(project, "text/html;q=0.5, application/vnd.pypi.simple.v1+json;q=0.25", Variant::PypiHtml);
        check(project, "application/vnd.pypi.simple.latest+json", Variant::PypiJson);
        check(project, "application/vnd.pypi.simple.v1+json;q=0, */*", Variant::PypiHtml);
        check(project, "text/html", Variant::PypiHtml);
        check(project, "*/*", Variant::PypiHtml);
        let npm = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";
        check(Rewriting::Npm, npm, Variant::NpmAbbreviated);
        check(Rewriting::Npm, "application/json", Variant::NpmFull);
        check(Rewriting::Npm, "*/*", Variant::NpmFull);
        check(Rewriting::Helm, "application/json", Variant::Plain);
    }
}
