//! Patterns over paths and names, compiled once: `/releases/{version}/app-{os}-{arch}.tar.gz`, `acme/{image}`, `{name...}`.
//!
//! A variable takes at least one character and no slash. Where a component leaves a choice, each variable but the last takes the
//! shortest text: `app-{os}-{arch}` reads `app-linux-gnu-arm` as `linux` and `gnu-arm`. A variable written `{name...}` is a whole
//! component at the end and takes one or more of them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The most variables of one pattern: the entries that a record holds.
pub(super) const VARIABLES_MAX: usize = 32;

/// Variables with their values, in the pattern's order.
pub(crate) type Variables<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Why a pattern or template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A brace without its other half.
    #[error("a brace is not closed or not opened")]
    Brace,
    /// An empty or odd name between braces.
    #[error("`{{{0}}}` is not a variable: use letters, digits and `_`")]
    Name(String),
    /// Twice the same name.
    #[error("the variable `{0}` stands twice")]
    Twice(String),
    /// Nothing between two variables tells where one ends.
    #[error("nothing stands between `{{{0}}}` and the variable before it")]
    Adjacent(String),
    /// `{name...}` not alone at the end.
    #[error("`{{{0}...}}` must be the last component, alone")]
    Rest(String),
    /// A template asks for what the pattern does not give.
    #[error("the variable `{0}` is not in the pattern")]
    Unknown(String),
    /// More variables than a record holds.
    #[error("more than {VARIABLES_MAX} variables")]
    TooMany,
    /// The outgoing URL is not an RFC 6570 template.
    #[error("not an RFC 6570 template: {0}")]
    Uri(String),
    /// The upstream is not in the configuration.
    #[error("no [[upstream]] of this id")]
    Upstream,
    /// Neither absolute path nor name where one is wanted.
    #[error("a file pattern begins with `/`")]
    Slash,
    /// Not a regular expression, or one too large.
    #[error("not a regular expression: {0}")]
    Regex(String),
    /// The outgoing URL's scheme or host is not written out: who asks could choose where the client is sent.
    #[error("the URL begins with http:// or https:// and a host without variables, and a `/` follows")]
    Host,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(String),
    Variable(String),
    Rest(String),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    components: Vec<Vec<Token>>,
    rest: Option<String>,
}

impl Pattern {
    pub(crate) fn compile(text: &str) -> Result<Self, PatternError> {
        let mut components = text.split('/').map(tokens).collect::<Result<Vec<_>, _>>()?;
        let rest = match components.last().map(Vec::as_slice) {
            Some([Token::Rest(name)]) => Some(name.clone()),
            _ => None,
        };
        if rest.is_some() {
            components.pop();
        }
        for component in &components {
            check_component(component)?;
        }
        let pattern = Self { components, rest };
        let mut names: Vec<&str> = pattern.names().collect();
        if names.len() > VARIABLES_MAX {
            return Err(PatternError::TooMany);
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[&str]>::first) {
            Some(twice) => Err(PatternError::Twice((*twice).into())),
            None => Ok(pattern),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let in_components = self.components.iter().flatten().filter_map(|token| match token {
            Token::Variable(name) | Token::Rest(name) => Some(name.as_str()),
            Token::Literal(_) => None,
        });
        in_components.chain(self.rest.as_deref())
    }

    /// The variables when the whole of `text` fits. Values are percent-decoded; one that is not UTF-8, or that names this or the
    /// parent directory, does not fit.
    pub(crate) fn matches<'a>(&'a self, text: &'a str) -> Option<Variables<'a>> {
        let mut variables = Vec::new();
        let mut left = Some(text);
        for tokens in &self.components {
            let (component, after) = match left?.split_once('/') {
                Some((component, after)) => (component, Some(after)),
                None => (left?, None),
            };
            match_component(tokens, component, &mut variables)?;
            left = after;
        }
        match (&self.rest, left) {
            (None, None) => Some(variables),
            (Some(name), Some(rest)) if !rest.is_empty() => {
                variables.push((name, decoded(rest)?));
                Some(variables)
            }
            _ => None,
        }
    }
}

fn match_component<'a>(tokens: &'a [Token], component: &'a str, variables: &mut Variables<'a>) -> Option<()> {
    if is_dots(component) {
        return None;
    }
    let mut left = component;
    let mut pending: Option<&str> = None;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Variable(name) | Token::Rest(name) => pending = Some(name),
            Token::Literal(literal) => {
                let last = index + 1 == tokens.len();
                let (value, after) = match pending {
                    None => ("", left.strip_prefix(literal.as_str())?),
                    Some(_) if last => (left.strip_suffix(literal.as_str())?, ""),
                    Some(_) => split_after_first_char(left, literal)?,
                };
                if let Some(name) = pending.take() {
                    variables.push((name, non_empty(value)?));
                }
                left = after;
            }
        }
    }
    match pending {
        Some(name) => variables.push((name, non_empty(left)?)),
        None if left.is_empty() => {}
        None => return None,
    }
    Some(())
}

/// Splits at the first `literal` that leaves at least one character before it.
fn split_after_first_char<'a>(text: &'a str, literal: &str) -> Option<(&'a str, &'a str)> {
    let first = text.chars().next()?.len_utf8();
    let at = first + text.get(first..)?.find(literal)?;
    Some((text.get(..at)?, text.get(at + literal.len()..)?))
}

fn non_empty(value: &str) -> Option<Cow<'_, str>> {
    if value.is_empty() { None } else { decoded(value) }
}

/// A value without its percent signs. One that climbs, also behind an encoded slash, is none.
pub(super) fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let decoded = percent_decode_str(value).decode_utf8().ok()?;
    (!decoded.split(['/', '\\']).any(is_dots)).then_some(decoded)
}

fn is_dots(component: &str) -> bool {
    matches!(component, "." | "..")
}

fn check_component(tokens: &[Token]) -> Result<(), PatternError> {
    let mut after_variable = false;
    for token in tokens {
        match token {
            Token::Rest(name) => return Err(PatternError::Rest(name.clone())),
            Token::Variable(name) if after_variable => return Err(PatternError::Adjacent(name.clone())),
            Token::Variable(_) => after_variable = true,
            Token::Literal(_) => after_variable = false,
        }
    }
    Ok(())
}

fn tokens(text: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut left = text;
    while let Some((literal, after)) = left.split_once('{') {
        push_literal(&mut tokens, literal)?;
        let (name, after) = after.split_once('}').ok_or(PatternError::Brace)?;
        let (name, rest) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
        let shaped = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !shaped {
            return Err(PatternError::Name(name.into()));
        }
        tokens.push(if rest { Token::Rest(name.into()) } else { Token::Variable(name.into()) });
        left = after;
    }
    push_literal(&mut tokens, left)?;
    Ok(tokens)
}

fn push_literal(tokens: &mut Vec<Token>, literal: &str) -> Result<(), PatternError> {
    if literal.contains('}') {
        return Err(PatternError::Brace);
    }
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal.into()));
    }
    Ok(())
}

/// Text with variables of a pattern in it, as `acme/{image}`.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Token>);

impl Template {
    pub(crate) fn compile(text: &str, pattern: &Pattern) -> Result<Self, PatternError> {
        Self::over(text, &pattern.names().collect::<Vec<_>>())
    }

    /// A template over variables of these names.
    pub(super) fn over(text: &str, names: &[&str]) -> Result<Self, PatternError> {
        let tokens = tokens(text)?;
        let unknown = tokens.iter().find_map(|token| match token {
            Token::Variable(name) | Token::Rest(name) => (!names.contains(&name.as_str())).then_some(name),
            Token::Literal(_) => None,
        });
        match unknown {
            Some(name) => Err(PatternError::Unknown(name.clone())),
            None => Ok(Self(tokens)),
        }
    }

    pub(crate) fn fill(&self, variables: &Variables<'_>) -> String {
        let mut text = String::new();
        for token in &self.0 {
            match token {
                Token::Literal(literal) => text.push_str(literal),
                Token::Variable(name) | Token::Rest(name) => {
                    text.push_str(value_of(variables, name).unwrap_or_default());
                }
            }
        }
        text
    }
}

pub(crate) fn value_of<'a>(variables: &'a Variables<'_>, name: &str) -> Option<&'a str> {
    variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: Option<&[(&str, &str)]>) {
        let pattern = Pattern::compile(pattern).expect("the pattern is good");
        let found = pattern.matches(text);
        let found: Option<Vec<(&str, &str)>> =
            found.as_ref().map(|v| v.iter().map(|(name, value)| (*name, value.as_ref())).collect());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_path_gives_its_variables() {
        let pattern = "/releases/{version}/app-{os}-{arch}.tar.gz";
        check(
            pattern,
            "/releases/1.2/app-linux-x86_64.tar.gz",
            Some(&[("version", "1.2"), ("os", "linux"), ("arch", "x86_64")]),
        );
        check(
            pattern,
            "/releases/1/app-linux-gnu-arm.tar.gz",
            Some(&[("version", "1"), ("os", "linux"), ("arch", "gnu-arm")]),
        );
        check(pattern, "/releases/1/app-linux-.tar.gz", None);
        check(pattern, "/releases/1/app--x.tar.gz", None);
        check(pattern, "/releases//app-linux-x.tar.gz", None);
        check(pattern, "/releases/1/app-linux-x.tar.gz/more", None);
        check(pattern, "/releases/1", None);
        check("/file", "/file", Some(&[]));
        check("/file", "/file2", None);
        check("/{a}.tar.{b}", "/x.tar.tar.gz", Some(&[("a", "x"), ("b", "tar.gz")]));
        check("/a{x}a", "/aa", None);
    }

    #[test]
    fn values_are_decoded_and_never_climb() {
        check("/d/{name}", "/d/a%20b%2Fc", Some(&[("name", "a b/c")]));
        check("/d/{name}", "/d/..", None);
        check("/d/{name}", "/d/%2e%2e", None);
        check("/d/{name}", "/d/%ff", None);
        check("/d/{path...}", "/d/a/../b", None);
        check("/d/{path...}", "/d/a/%2e%2E/b", None);
        check("/d/{name}", "/d/a%2F..%5cb", None);
    }

    #[test]
    fn the_rest_takes_one_or_more_components() {
        check("acme/{name...}", "acme/a/b/c", Some(&[("name", "a/b/c")]));
        check("acme/{name...}", "acme/", None);
        check("acme/{name...}", "acme", None);
        check("{name...}", "library/alpine", Some(&[("name", "library/alpine")]));
    }

    #[track_caller]
    fn refused(pattern: &str, expected: &PatternError) {
        assert_eq!(Pattern::compile(pattern).err().as_ref(), Some(expected));
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_reason() {
        refused("/a{b", &PatternError::Brace);
        refused("/a}b", &PatternError::Brace);
        refused("/{}", &PatternError::Name(String::new()));
        refused("/{a}{b}", &PatternError::Adjacent("b".into()));
        refused("/{a}/{a}", &PatternError::Twice("a".into()));
        refused("/{a...}/b", &PatternError::Rest("a".into()));
        refused("/x{a...}", &PatternError::Rest("a".into()));
    }

    #[test]
    fn a_template_is_filled_and_knows_only_the_patterns_variables() {
        let pattern = Pattern::compile("acme/{image}").expect("the pattern is good");
        let template = Template::compile("mirror/acme-{image}", &pattern).expect("the template is good");
        let variables = pattern.matches("acme/app").expect("it fits");
        assert_eq!(template.fill(&variables), "mirror/acme-app");
        assert_eq!(Template::compile("{tag}", &pattern).err(), Some(PatternError::Unknown("tag".into())));
    }
}
