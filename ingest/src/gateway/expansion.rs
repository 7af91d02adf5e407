//! The outgoing URL of a rule: an RFC 6570 template, taken apart once.
//!
//! `{name}` is filled here because nearly every rule has nothing else; what begins with `+` or `#` because the library panics there at a
//! character outside ASCII, which any client may send. It does so at prefixes (`{name:3}`) too, and they are refused. The rest is the library's.

use iri_string::spec::UriSpec;
use iri_string::template::UriTemplateString;
use iri_string::template::simple_context::SimpleContext;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::pattern::{PatternError, Variables, value_of};

/// What `{name}` encodes: all but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What `{+name}` encodes: it leaves the reserved ones too.
const ENCODED_BUT_RESERVED: &AsciiSet = &ENCODED
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'#')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// A template that is ready to be filled.
#[derive(Debug)]
pub(crate) struct Expansion(Vec<Segment>);

#[derive(Debug)]
enum Segment {
    Literal(String),
    Encoded(String),
    Reserved {
        first: &'static str,
        names: Vec<String>,
    },
    /// Any other expression, as a template of its own.
    Library(UriTemplateString),
}

impl Expansion {
    /// Compiles a template whose variables are all among `known`.
    pub(crate) fn compile(text: &str, known: &[&str]) -> Result<Self, PatternError> {
        let template = parsed(text)?;
        for variable in template.variables() {
            if !known.contains(&variable.as_str()) {
                return Err(PatternError::Unknown(variable.as_str().into()));
            }
        }
        let mut segments = Vec::new();
        let mut left = text;
        while let Some((literal, after)) = left.split_once('{') {
            let (expression, after) = after.split_once('}').ok_or(PatternError::Brace)?;
            segments.push(Segment::Literal(text_of(literal)?));
            segments.push(segment_of(expression)?);
            left = after;
        }
        segments.push(Segment::Literal(text_of(left)?));
        Ok(Self(segments))
    }

    /// The URL, where one can be made of these values.
    pub(crate) fn fill(&self, variables: &Variables<'_>) -> Option<String> {
        // Room for most URLs, so that they are not copied while they grow.
        let mut url = String::with_capacity(160);
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => url.push_str(text),
                Segment::Encoded(name) => url.extend(utf8_percent_encode(value_of(variables, name)?, ENCODED)),
                Segment::Reserved { first, names } => {
                    url.push_str(first);
                    for (index, name) in names.iter().enumerate() {
                        url.push_str(if index == 0 { "" } else { "," });
                        push_reserved(&mut url, value_of(variables, name)?);
                    }
                }
                Segment::Library(template) => url.push_str(&fill_by_library(template, variables)?),
            }
        }
        Some(url)
    }
}

fn fill_by_library(template: &UriTemplateString, variables: &Variables<'_>) -> Option<String> {
    let mut context = SimpleContext::new();
    for (name, value) in variables {
        context.insert(*name, value.as_ref());
    }
    Some(template.expand::<UriSpec, _>(&context).ok()?.to_string())
}

fn parsed(text: &str) -> Result<UriTemplateString, PatternError> {
    UriTemplateString::try_from(text).map_err(|e| PatternError::Uri(e.to_string()))
}

/// A template's text between variables, as the library writes it.
pub(super) fn text_of(text: &str) -> Result<String, PatternError> {
    fill_by_library(&parsed(text)?, &Vec::new()).ok_or_else(|| PatternError::Uri(text.into()))
}

fn segment_of(expression: &str) -> Result<Segment, PatternError> {
    let reserved = match expression.split_at_checked(1) {
        Some(("+", names)) => Some(("", names)),
        Some(("#", names)) => Some(("#", names)),
        _ => None,
    };
    if expression.contains(':') {
        return Err(PatternError::Uri(format!("`{{{expression}}}`: the first characters alone cannot be had")));
    }
    if let Some((first, names)) = reserved {
        // A value here is a text, which an asterisk does not change.
        let names = names.split(',').map(|name| name.trim_end_matches('*').to_owned()).collect();
        return Ok(Segment::Reserved { first, names });
    }
    let is_name = expression.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    Ok(if is_name {
        Segment::Encoded(expression.into())
    } else {
        Segment::Library(parsed(&format!("{{{expression}}}"))?)
    })
}

/// A triplet that is encoded already stays as it is.
fn push_reserved(url: &mut String, value: &str) {
    let mut left = value;
    while let Some((before, after)) = left.split_once('%') {
        url.extend(utf8_percent_encode(before, ENCODED_BUT_RESERVED));
        let is_triplet = after.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        url.push_str(if is_triplet { "%" } else { "%25" });
        left = after;
    }
    url.extend(utf8_percent_encode(left, ENCODED_BUT_RESERVED));
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 2] = ["a", "b"];

    const PIECES: [&str; 11] =
        ["{a}", "{b}", "{a,b}", "/", "-", "x%2Fy", "~", "?q=", "https://e.org/", "{?a,b}", "{/b*}"];
    const RESERVED: [&str; 5] = ["{+a}", "{+b*}", "{#b}", "{+a,b}", "{#a,b}"];

    fn template(pieces: impl Into<Vec<&'static str>>) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(pieces.into()), 0..8).prop_map(|pieces| pieces.concat())
    }

    /// No triplets beyond ASCII: of those the library loses some.
    fn ascii() -> impl Strategy<Value = String> {
        let char = prop_oneof![
            8 => proptest::char::range('\0', '$').prop_map(String::from),
            8 => proptest::char::range('&', '\x7f').prop_map(String::from),
            1 => proptest::sample::select(vec!["%41", "%2f", "%zz", "%4z"]).prop_map(String::from),
        ];
        proptest::collection::vec(char, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn value() -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect())
    }

    fn both(text: &str, a: &str, b: &str) -> (Option<String>, Option<String>) {
        let variables: Variables<'_> = vec![("a", Cow::Borrowed(a)), ("b", Cow::Borrowed(b))];
        (compiled(text).fill(&variables), fill_by_library(&parsed(text).expect("a template"), &variables))
    }

    fn compiled(text: &str) -> Expansion {
        Expansion::compile(text, &NAMES).expect("the template is good")
    }

    proptest! {
        #[test]
        fn a_compiled_template_gives_what_the_library_gives(text in template(PIECES), a in value(), b in value()) {
            let (ours, theirs) = both(&text, &a, &b);
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn so_does_one_with_reserved_characters_of_ascii(
            text in template([PIECES.as_slice(), &RESERVED].concat()), a in ascii(), b in ascii()
        ) {
            let (ours, theirs) = both(&text, &a, &b);
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn beyond_ascii_it_gives_what_the_library_gives_for_the_encoded_value(
            text in template(RESERVED), a in value(), b in value()
        ) {
            let encoded = |value: &str| utf8_percent_encode(value, percent_encoding::CONTROLS).to_string();
            let variables: Variables<'_> = vec![("a", Cow::Borrowed(&a)), ("b", Cow::Borrowed(&b))];
            let (_, theirs) = both(&text, &encoded(&a), &encoded(&b));
            prop_assert_eq!(compiled(&text).fill(&variables), theirs, "{}", text);
        }
    }

    #[test]
    fn triplets_stay_as_they_are_where_reserved_characters_do() {
        let filled = |value: &str| compiled("{+a}").fill(&vec![("a", Cow::Borrowed(value))]);
        assert_eq!(filled("%F2%222/%2f%").as_deref(), Some("%F2%222/%2f%25"));
    }

    #[test]
    fn the_usual_template_does_not_need_the_library() {
        let by_library = |text| compiled(text).0.iter().any(|segment| matches!(segment, Segment::Library(_)));
        assert!(!by_library("https://files.example.org/{a}/x-{b}.tar.gz"));
        assert!(!by_library("https://files.example.org/{+a}#{b}"));
        assert!(by_library("https://files.example.org/{?a,b}"));
    }

    #[test]
    fn a_template_that_cannot_be_filled_is_refused() {
        let refused = |text| Expansion::compile(text, &NAMES).err();
        assert_eq!(refused("/{c}"), Some(PatternError::Unknown("c".into())));
        assert_eq!(refused("/{?a,d}"), Some(PatternError::Unknown("d".into())));
        assert!(matches!(refused("/{a"), Some(PatternError::Uri(_))));
        assert!(matches!(refused("/{a:3}"), Some(PatternError::Uri(_))));
    }
}
