//! Package indexes: documents that name files by URL, rewritten so that the files are fetched through the gateway. Pure.
//!
//! Only the URLs change. Every other byte of an upstream's JSON or YAML stays as it was: hashes, signatures and keys that nobody here
//! knows included. An HTML page goes through an HTML rewriter that touches the links alone.

pub mod helm;
pub mod npm;
pub mod pypi;

mod accept;
mod object;
mod path;

pub(crate) use accept::{Variant, variant};
pub(crate) use path::{Asked, Document, IndexKind, Rewriting, parse};

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// The largest index document that is read, in bytes: six times the largest public Helm index, twice the list of all Python projects.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Why a document cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Not text.
    #[error("the document is not UTF-8")]
    Utf8,
    /// Not JSON of the shape that the index's specification names.
    #[error("the document is not the JSON of an index: {0}")]
    Json(String),
    /// Not YAML.
    #[error("the document is not YAML: {0}")]
    Yaml(String),
    /// YAML, and no Helm index.
    #[error("the document has no `entries`")]
    Entries,
    /// Deeper than any index.
    #[error("the document is nested more than {0} deep")]
    Deep(usize),
    /// The HTML rewriter gave up.
    #[error("the page cannot be rewritten: {0}")]
    Html(String),
}

/// A document as clients get it, and where the files that it names are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewritten {
    text: Bytes,
    /// The places in the text, in order, where the gateway's own address goes.
    base_at: Vec<usize>,
    links: BTreeMap<String, String>,
}

impl Rewritten {
    /// A document that is passed on as it is.
    pub fn unchanged(text: Bytes) -> Self {
        Self { text, base_at: Vec::new(), links: BTreeMap::new() }
    }

    /// The text, with `base` in the places that need an absolute URL.
    pub fn text(&self, base: &str) -> Bytes {
        if self.base_at.is_empty() {
            return self.text.clone();
        }
        let mut whole = Vec::with_capacity(self.text.len() + self.base_at.len() * base.len());
        let mut from = 0;
        for &at in &self.base_at {
            whole.extend_from_slice(self.text.get(from..at).unwrap_or_default());
            whole.extend_from_slice(base.as_bytes());
            from = at;
        }
        whole.extend_from_slice(self.text.get(from..).unwrap_or_default());
        whole.into()
    }

    /// Whether the text names the gateway's own address.
    pub fn needs_base(&self) -> bool {
        !self.base_at.is_empty()
    }

    /// Where the file with this key is.
    pub fn link(&self, key: &str) -> Option<&str> {
        self.links.get(key).map(String::as_str)
    }

    /// How many files it names.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// About what it holds in memory: a map's entry costs some 100 bytes beside its texts.
    pub fn bytes(&self) -> usize {
        let links: usize = self.links.iter().map(|(key, url)| key.len() + url.len() + 100).sum();
        self.text.len() + self.base_at.len() * size_of::<usize>() + links
    }
}

/// A text under change: pieces of it are replaced from front to back.
#[derive(Debug)]
struct Splice<'a> {
    text: &'a str,
    done: usize,
    out: String,
    base_at: Vec<usize>,
}

impl<'a> Splice<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, done: 0, out: String::with_capacity(text.len()), base_at: Vec::new() }
    }

    /// Puts `new` in the place of `range`. A range that begins before the end of the last one, or that is no range of the text, is
    /// left alone.
    fn replace(&mut self, range: Range<usize>, new: &str) -> bool {
        let (Some(kept), true) = (self.text.get(self.done..range.start), self.text.is_char_boundary(range.end)) else {
            return false;
        };
        self.out.push_str(kept);
        self.out.push_str(new);
        self.done = range.end.max(range.start);
        true
    }

    /// As [`Self::replace`], with the gateway's own address behind the first byte of `new`, a quotation mark.
    fn replace_behind_base(&mut self, range: Range<usize>, new: &str) -> bool {
        let replaced = self.replace(range, new);
        if replaced {
            self.base_at.push(self.out.len() - new.len() + 1);
        }
        replaced
    }

    fn end(mut self, links: BTreeMap<String, String>) -> Rewritten {
        self.out.push_str(self.text.get(self.done..).unwrap_or_default());
        Rewritten { text: self.out.into(), base_at: self.base_at, links }
    }
}

/// What stays readable in a path segment: the unreserved characters, and `@` and `+`, which tools write there.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+').remove(b'!');

/// Text as one segment of a path.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// One segment of a path as text; none that is empty, climbs or hides a slash.
fn segment_text(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    is_one_segment(&text).then(|| text.into_owned())
}

/// Text that is found again after it stood in a path. What is none keeps the link that the document has.
fn is_one_segment(text: &str) -> bool {
    !text.is_empty() && !matches!(text, "." | "..") && !text.contains(['/', '\\'])
}

/// A link of a document as an absolute URL without fragment; only http and https lead to files.
fn absolute(link: &str, document: &Url) -> Option<Url> {
    let mut url = document.join(link).ok()?;
    url.set_fragment(None);
    let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    plain.then_some(url)
}

/// The URL of what lies beside a file, under the file's name and an ending.
fn beside(url: &str, ending: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    let path = format!("{}{ending}", url.path());
    url.set_path(&path);
    Some(url.into())
}

/// Rewrites a document that was read from `url`.
///
/// # Errors
/// It is not what its kind of index has there.
pub(crate) fn rewrite(
    document: &Document,
    body: &Bytes,
    media_type: &str,
    url: &Url,
) -> Result<Rewritten, RewriteError> {
    let package = document.package.as_deref().unwrap_or_default();
    let is_json = media_type.to_ascii_lowercase().contains("json");
    match document.rewriting {
        Rewriting::Helm => helm::rewrite(body, url),
        Rewriting::PypiProject if is_json => pypi::rewrite_json(body, url, package),
        Rewriting::PypiProject => pypi::rewrite_html(body, url, package),
        Rewriting::PypiList if !is_json => pypi::rewrite_list(body, url),
        Rewriting::Npm => npm::rewrite(body, url, package),
        Rewriting::PypiList | Rewriting::None => Ok(Rewritten::unchanged(body.clone())),
    }
}

/// Where a file is, by the document that names it.
pub(crate) fn link(document: &Document, rewritten: &Rewritten, version: Option<&str>, file: &str) -> Option<String> {
    let package = document.package.as_deref()?;
    match document.rewriting {
        Rewriting::Helm => helm::link(rewritten, package, version?, file),
        Rewriting::PypiProject => pypi::link(rewritten, file),
        Rewriting::Npm => rewritten.link(version?).map(String::from),
        Rewriting::PypiList | Rewriting::None => None,
    }
}

/// The last segment of a URL's path.
fn file_name(url: &Url) -> Option<String> {
    segment_text(url.path_segments()?.next_back()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that documents are made of, and some that break them.
    fn pieces() -> impl Strategy<Value = String> {
        const PIECES: [&str; 28] = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "'",
            "\n",
            "  ",
            "- ",
            "entries:",
            "urls:",
            "version: 1",
            "\"files\":",
            "\"url\":",
            "\"versions\":",
            "\"dist\":",
            "\"tarball\":",
            "\"https://h.example.org/a.tgz\"",
            "https://h.example.org/a.tgz",
            "ü",
            "<a href=",
            "<base href=",
            ">",
            "&amp;",
            "*a",
            "&a ",
        ];
        prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_document_makes_a_rewriting_panic(text in pieces(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let url = Url::parse("https://h.example.org/x/").expect("a URL");
            for document in [text.as_bytes(), &bytes] {
                let all = [
                    helm::rewrite(document, &url),
                    npm::rewrite(document, &url, "@a/b"),
                    pypi::rewrite_json(document, &url, "a"),
                    pypi::rewrite_html(document, &url, "a"),
                    pypi::rewrite_list(document, &url),
                ];
                for rewritten in all.into_iter().flatten() {
                    prop_assert!(std::str::from_utf8(&rewritten.text("http://h")).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_splice_keeps_what_it_does_not_replace() {
        let mut splice = Splice::new("a \"b\" ü \"c\"");
        assert!(splice.replace_behind_base(2..5, "\"/x\""));
        assert!(!splice.replace(3..4, "no"), "what is done stays");
        assert!(!splice.replace(7..100, "no"), "past the end");
        assert!(splice.replace_behind_base(9..12, "\"/y\""));
        let rewritten = splice.end(BTreeMap::new());
        assert_eq!(rewritten.text("http://h"), "a \"http://h/x\" ü \"http://h/y\"");
        assert_eq!(rewritten.text(""), "a \"/x\" ü \"/y\"");
    }

    #[test]
    fn a_segment_never_climbs_or_hides_a_slash() {
        for bad in ["", ".", "..", "%2e%2E", "a%2fb", "a%5Cb", "%ff"] {
            assert_eq!(segment_text(bad), None, "{bad}");
        }
        assert_eq!(segment_text("a%20b"), Some("a b".to_owned()));
        assert_eq!(segment("1.0.0+build/ü"), "1.0.0+build%2F%C3%BC");
    }
}
