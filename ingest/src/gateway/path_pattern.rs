//! How a file's path is read: by a pattern, or by a regular expression with named groups.

use regex::{Regex, RegexBuilder};

use super::pattern::{Pattern, PatternError, VARIABLES_MAX, Variables, decoded};

/// A compiled expression, in bytes. One that is larger counts repetitions of repetitions.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A compiled way to read a path.
#[derive(Debug)]
pub(crate) enum PathPattern {
    Path(Pattern),
    Regex(RegexPattern),
}

impl PathPattern {
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Path(pattern) => pattern.names().collect(),
            Self::Regex(pattern) => pattern.names.iter().map(String::as_str).collect(),
        }
    }

    /// The variables when the whole path fits.
    pub(crate) fn matches<'a>(&'a self, path: &'a str) -> Option<Variables<'a>> {
        match self {
            Self::Path(pattern) => pattern.matches(path),
            Self::Regex(pattern) => pattern.matches(path),
        }
    }
}

/// A regular expression over the whole path.
#[derive(Debug)]
pub(crate) struct RegexPattern {
    regex: Regex,
    names: Vec<String>,
}

impl RegexPattern {
    pub(crate) fn compile(text: &str) -> Result<Self, PatternError> {
        let build = |text: &str| {
            let built = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
            built.map_err(|error| PatternError::Regex(error.to_string()))
        };
        // By itself first: `a)|(b` is none, although it would be one between parentheses.
        build(text)?;
        let regex = build(&format!(r"\A(?:{text})\z"))?;
        let names: Vec<String> = regex.capture_names().flatten().map(String::from).collect();
        if names.len() > VARIABLES_MAX {
            return Err(PatternError::TooMany);
        }
        let plain = |name: &&String| !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match names.iter().find(plain) {
            Some(odd) => Err(PatternError::Name(odd.clone())),
            None => Ok(Self { regex, names }),
        }
    }

    /// A group that took nothing gives no variable. Values are decoded, and none climbs, as with [`Pattern::matches`].
    fn matches<'a>(&'a self, path: &'a str) -> Option<Variables<'a>> {
        let captures = self.regex.captures(path)?;
        let groups = self.names.iter().filter_map(|name| {
            let value = captures.name(name)?.as_str();
            (!value.is_empty()).then_some((name.as_str(), value))
        });
        groups.map(|(name, value)| Some((name, decoded(value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(regex: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let pattern = PathPattern::Regex(RegexPattern::compile(regex).expect("a regular expression"));
        let found = pattern.matches(path);
        let found: Option<Vec<_>> = found.as_ref().map(|v| v.iter().map(|(n, value)| (*n, value.as_ref())).collect());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn named_groups_over_the_whole_path_are_variables() {
        let nightly = r"/nightly/(?P<version>[0-9-]+)/app(?:-(?P<os>\w+))?\.zip";
        check(nightly, "/nightly/2024-05-01/app-linux.zip", Some(&[("version", "2024-05-01"), ("os", "linux")]));
        check(nightly, "/nightly/2024-05-01/app.zip", Some(&[("version", "2024-05-01")]));
        check(nightly, "/nightly/2024-05-01/app.zip/x", None);
        check(nightly, "/x/nightly/2024-05-01/app.zip", None);
        check("/a|/b", "/ab", None);
        check("(?P<all>.*)", "/a%20b", Some(&[("all", "/a b")]));
    }

    #[test]
    fn values_never_climb() {
        for path in ["/f/..", "/f/%2e%2e/x", "/f/a%2f..%2fb", "/f/%ff"] {
            check("/f/(?P<rest>.+)", path, None);
        }
    }

    #[test]
    fn a_bad_expression_is_refused() {
        for bad in ["(", "a)|(b", "(?P<v>a", r"(?P<a>x{1000}){1000}{1000}"] {
            assert!(matches!(RegexPattern::compile(bad), Err(PatternError::Regex(_))), "{bad}");
        }
        assert!(matches!(RegexPattern::compile("(?P<a.b>x)"), Err(PatternError::Name(_))));
    }
}
