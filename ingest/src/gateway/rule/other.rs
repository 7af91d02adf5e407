//! `kind = "other"`: a redirect for whatever no other rule knows.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use whopulls_schemas::config::OtherRoute;
use whopulls_schemas::raw::Kind;

use super::super::expansion::text_of;
use super::super::outgoing::{fixed_host, push_query};
use super::super::pattern::{PatternError, decoded};
use super::KeyError;
use super::file::FileTarget;

/// What a path may not hold as it is; a percent sign stays, since the path is still encoded.
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');
/// As RFC 6570 expands `{path}`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path is put into the URL as it was asked for: taking its percent signs away and setting them again would change it.
#[derive(Debug)]
pub(super) struct OtherRule {
    parts: Vec<Part>,
    status: u16,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// `{path}`
    Value,
    /// `{+path}`
    Path,
}

impl OtherRule {
    pub(super) fn compile(rule: &OtherRoute) -> Result<Self, KeyError> {
        fixed_host(&rule.to).map_err(|error| ("to", error))?;
        let mut parts = Vec::new();
        let mut left = rule.to.as_str();
        while let Some((text, after)) = left.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(("to", PatternError::Brace))?;
            parts.push(Part::Text(text_of(text).map_err(|error| ("to", error))?));
            parts.push(match name {
                "path" => Part::Value,
                "+path" => Part::Path,
                unknown => return Err(("to", PatternError::Unknown(unknown.to_owned()))),
            });
            left = after;
        }
        parts.push(Part::Text(text_of(left).map_err(|error| ("to", error))?));
        Ok(Self { parts, status: rule.status })
    }

    pub(super) fn find<'a>(&'a self, path: &'a str, query: Option<&str>) -> Option<FileTarget<'a>> {
        let path = path.strip_prefix('/')?;
        let plain = decoded(path)?;
        let mut location = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => location.push_str(text),
                Part::Value => location.extend(utf8_percent_encode(&plain, VALUE)),
                Part::Path => location.extend(utf8_percent_encode(path, PATH)),
            }
        }
        push_query(&mut location, query);
        Some(FileTarget {
            kind: Kind::Other,
            status: self.status,
            location,
            proxy: None,
            package: None,
            version: None,
            variables: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(to: &str, path: &str, query: Option<&str>, expected: Option<&str>) {
        let rule = OtherRule::compile(&OtherRoute { to: to.to_owned(), status: 302 }).expect("a good rule");
        assert_eq!(rule.find(path, query).map(|target| target.location).as_deref(), expected);
    }

    #[test]
    fn the_path_and_query_go_along_and_the_host_stays() {
        let to = "https://www.example.org/{+path}";
        check(to, "/a/b%2Fc%25", Some("q=1"), Some("https://www.example.org/a/b%2Fc%25?q=1"));
        check(to, "/", None, Some("https://www.example.org/"));
        check(to, "//evil.example.net/x", None, Some("https://www.example.org//evil.example.net/x"));
        check(to, "/\\evil", None, Some("https://www.example.org/%5Cevil"));
        check(
            "https://www.example.org/?from={path}",
            "/a b/c",
            Some("x"),
            Some("https://www.example.org/?from=a%20b%2Fc&x"),
        );
        check("https://www.example.org/moved", "/anything", None, Some("https://www.example.org/moved"));
        check(to, "/a%0d%0ab", None, Some("https://www.example.org/a%0d%0ab"));
    }

    #[test]
    fn a_path_does_not_climb() {
        for path in ["/..", "/a/../b", "/%2e%2E/b", "/a%2f..%2fb", "*", "/%ff"] {
            check("https://www.example.org/docs/{+path}", path, None, None);
        }
    }

    #[test]
    fn a_template_knows_the_path_alone() {
        let compile = |to: &str| OtherRule::compile(&OtherRoute { to: to.to_owned(), status: 302 }).map(|_| ());
        assert_eq!(compile("https://h.example.org/{x}"), Err(("to", PatternError::Unknown("x".to_owned()))));
        assert_eq!(compile("https://h.example.org/{path"), Err(("to", PatternError::Brace)));
        assert_eq!(compile("https://h.example.org{+path}"), Err(("to", PatternError::Host)));
        assert_eq!(compile("{+path}"), Err(("to", PatternError::Host)));
        for odd in ["https://h.example.org/a b", "https://h.example.org/{path}#a ", "https://h.example.org/\u{1}"] {
            assert!(matches!(compile(odd), Err(("to", PatternError::Uri(_)))), "{odd:?}");
        }
    }
}
