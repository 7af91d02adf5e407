//! Which form of a document a client wants, of the few that an index has: a cache keeps no more than these.

use http::header::{HeaderMap, HeaderValue};

use super::super::accept::{accept_of, weight};
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
    let accept = accept_of(headers);
    let quality = |named: &str| weight(&accept, named).unwrap_or(0);
    match document.rewriting {
        Rewriting::PypiList | Rewriting::PypiProject => {
            let best = |types: &[&str]| types.iter().map(|wanted| quality(wanted)).max().unwrap_or(0);
            let (json, html) = (best(&PYPI_JSON), best(&PYPI_HTML));
            if json > 0 && json >= html { Variant::PypiJson } else { Variant::PypiHtml }
        }
        Rewriting::Npm if quality(NPM_ABBREVIATED) > quality("application/json") => Variant::NpmAbbreviated,
        Rewriting::Npm => Variant::NpmFull,
        Rewriting::Helm | Rewriting::None => Variant::Plain,
    }
}

#[cfg(test)]
mod tests {
    use http::header;

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
