//! Helm's `index.yaml`: each version's `urls` lead to `<chart>/<version>/<file>` under the index's own address.
//!
//! The YAML is read as events with their places, and only the places of the URLs are replaced: nothing is held as a tree, an alias is
//! never expanded, and comments, order and unknown keys stay. Relative URLs are allowed by Helm, which takes them from the
//! repository's address.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use url::Url;

use super::{RewriteError, Rewritten, Splice, absolute, beside, file_name, is_one_segment, segment};

/// An index is five deep, with what vendors add to a version perhaps ten.
const DEPTH_MAX: usize = 64;

/// The ending of a chart's signature.
const PROVENANCE: &str = ".prov";

/// Rewrites an index that was read from `index_url`.
///
/// # Errors
/// It is not a Helm index.
pub fn rewrite(document: &[u8], index_url: &Url) -> Result<Rewritten, RewriteError> {
    let text = std::str::from_utf8(document).map_err(|_| RewriteError::Utf8)?;
    let mut walk = Walk::new(text, index_url);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| RewriteError::Yaml(error.to_string()))?;
        walk.take(event, span)?;
    }
    if walk.has_entries { Ok(walk.splice.end(walk.links)) } else { Err(RewriteError::Entries) }
}

/// The key of a chart's file in [`Rewritten::link`].
fn key(chart: &str, version: &str, file: &str) -> String {
    format!("{chart}/{version}/{file}")
}

/// Where a chart's file is; its signature is beside it.
pub(crate) fn link(index: &Rewritten, chart: &str, version: &str, file: &str) -> Option<String> {
    let found = |file| index.link(&key(chart, version, file));
    found(file).map(String::from).or_else(|| beside(found(file.strip_suffix(PROVENANCE)?)?, PROVENANCE))
}

/// Where the walk is: the containers that are open.
enum Frame {
    /// A mapping; `key` is that of the value under way, if it is text.
    Map {
        key: Option<String>,
        at_value: bool,
    },
    List,
}

struct Walk<'a> {
    text: &'a str,
    index_url: &'a Url,
    places: Places<'a>,
    frames: Vec<Frame>,
    has_entries: bool,
    version: Option<String>,
    /// The URLs of the version under way, with their places.
    urls: Vec<(String, Range<usize>)>,
    splice: Splice<'a>,
    links: BTreeMap<String, String>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str, index_url: &'a Url) -> Self {
        Self {
            text,
            index_url,
            places: Places { text, character: 0, byte: 0 },
            frames: Vec::new(),
            has_entries: false,
            version: None,
            urls: Vec::new(),
            splice: Splice::new(text),
            links: BTreeMap::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), RewriteError> {
        match event {
            Event::MappingStart(..) => self.open(Frame::Map { key: None, at_value: false })?,
            Event::SequenceStart(..) => self.open(Frame::List)?,
            Event::MappingEnd | Event::SequenceEnd => {
                if self.frames.len() == 4 {
                    self.end_version();
                }
                self.frames.pop();
                self.after_node(None);
            }
            Event::Scalar(text, style, ..) => {
                self.scalar(&text, style, span);
                self.after_node(Some(text.into_owned()));
            }
            Event::Alias(_) => self.after_node(None),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), RewriteError> {
        if self.frames.len() == DEPTH_MAX {
            return Err(RewriteError::Deep(DEPTH_MAX));
        }
        self.has_entries |= self.is_at(&["entries"]) && matches!(frame, Frame::Map { .. });
        self.frames.push(frame);
        Ok(())
    }

    /// A node is complete: in a mapping it was a key or a value.
    fn after_node(&mut self, text: Option<String>) {
        if let Some(Frame::Map { key, at_value }) = self.frames.last_mut() {
            if !*at_value {
                *key = text;
            }
            *at_value = !*at_value;
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) {
        if self.is_at(&["entries", "*", "-", "version"]) {
            self.version = Some(text.to_owned());
        } else if self.is_at(&["entries", "*", "-", "urls", "-"]) {
            // Where it is not sure which bytes are the URL, it stays: a download past the gateway is better than a broken one. An item
            // without text has no bytes of its own.
            let place = self.places.of(span).filter(|place| !text.is_empty() && self.is_whole(place, text, style));
            if let Some(place) = place {
                self.urls.push((text.to_owned(), place));
            }
        }
    }

    /// Whether these bytes are the scalar, with its quotation marks.
    fn is_whole(&self, place: &Range<usize>, text: &str, style: ScalarStyle) -> bool {
        let written = self.text.get(place.clone()).unwrap_or_default();
        let quoted = |mark| written.len() >= 2 && written.starts_with(mark) && written.ends_with(mark);
        match style {
            ScalarStyle::Plain => written == text,
            ScalarStyle::SingleQuoted => quoted('\''),
            ScalarStyle::DoubleQuoted => quoted('"'),
            ScalarStyle::Literal | ScalarStyle::Folded => false,
        }
    }

    /// Whether the node that comes stands at this place: a key, `*` for any key, `-` for an item of a list.
    fn is_at(&self, place: &[&str]) -> bool {
        self.frames.len() == place.len()
            && self.frames.iter().zip(place).all(|(frame, wanted)| match frame {
                Frame::Map { key, at_value } => {
                    *at_value && key.as_deref().is_some_and(|key| *wanted == "*" || *wanted == key)
                }
                Frame::List => *wanted == "-",
            })
    }

    fn end_version(&mut self) {
        let (version, urls) = (self.version.take(), std::mem::take(&mut self.urls));
        let chart = match self.frames.get(1) {
            Some(Frame::Map { key: Some(chart), .. }) => chart.clone(),
            _ => return,
        };
        let Some(version) = version.filter(|version| is_one_segment(version) && is_one_segment(&chart)) else { return };
        for (written, place) in urls {
            let Some(url) = absolute(&written, self.index_url) else { continue };
            let Some(file) = file_name(&url) else { continue };
            let own = format!("\"{}/{}/{}\"", segment(&chart), segment(&version), segment(&file));
            if self.splice.replace(place, &own) {
                self.links.entry(key(&chart, &version, &file)).or_insert_with(|| url.into());
            }
        }
    }
}

/// From the parser's places, which count characters, to bytes. Places are asked for from front to back.
struct Places<'a> {
    text: &'a str,
    character: usize,
    byte: usize,
}

impl Places<'_> {
    fn of(&mut self, span: Span) -> Option<Range<usize>> {
        let start = self.byte_of(span.start.index())?;
        Some(start..self.byte_of(span.end.index())?)
    }

    fn byte_of(&mut self, character: usize) -> Option<usize> {
        let ahead = character.checked_sub(self.character)?;
        let rest = self.text.get(self.byte..)?;
        let bytes = if ahead == 0 { 0 } else { rest.char_indices().nth(ahead).map_or(rest.len(), |(byte, _)| byte) };
        (self.character, self.byte) = (character, self.byte + bytes);
        Some(self.byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the example in Helm's documentation of chart repositories, with what real ones add.
    const INDEX: &str = include_str!("../../../tests/golden/helm-index.yaml");

    fn base() -> Url {
        Url::parse("https://charts.example.org/stable/index.yaml").expect("a URL")
    }

    #[test]
    fn only_the_urls_of_a_real_index_change() {
        let rewritten = rewrite(INDEX.as_bytes(), &base()).expect("an index");
        let text = String::from_utf8(rewritten.text("").to_vec()).expect("text");
        insta::assert_snapshot!("helm_index", text);
        let changed = INDEX.lines().zip(text.lines()).filter(|(before, after)| before != after).count();
        assert_eq!((INDEX.lines().count(), changed), (text.lines().count(), 5));
    }

    #[test]
    fn a_charts_file_is_where_the_index_said() {
        let index = rewrite(INDEX.as_bytes(), &base()).expect("an index");
        let found = |chart, version, file| link(&index, chart, version, file);
        let alpine = Some("https://storage.example.org/charts/alpine-0.2.0.tgz".to_owned());
        assert_eq!(found("alpine", "0.2.0", "alpine-0.2.0.tgz"), alpine);
        assert_eq!(found("alpine", "0.2.0", "alpine-0.2.0.tgz.prov"), alpine.map(|url| url + ".prov"));
        let relative = Some("https://charts.example.org/stable/charts/nginx-1.1.0%2Bbuild.5.tgz".to_owned());
        assert_eq!(found("nginx", "1.1.0+build.5", "nginx-1.1.0+build.5.tgz"), relative);
        assert_eq!(found("alpine", "9", "alpine-0.2.0.tgz"), None);
    }

    #[track_caller]
    fn check(document: &str, expected: Result<&str, RewriteError>) {
        let rewritten = rewrite(document.as_bytes(), &base());
        let text = rewritten.map(|r| String::from_utf8_lossy(&r.text("")).into_owned());
        assert_eq!(text, expected.map(String::from));
    }

    #[test]
    fn json_quotes_and_other_alphabets_are_read() {
        check(
            r#"{"entries":{"ä":[{"version":"1","urls":["a/x.tgz"]}]}}"#,
            Ok(r#"{"entries":{"ä":[{"version":"1","urls":["%C3%A4/1/x.tgz"]}]}}"#),
        );
        check(
            "# ünï\nentries:\n  a:\n  - urls: ['x.tgz', \"y.tgz\"]\n    version: 1.10\n",
            Ok("# ünï\nentries:\n  a:\n  - urls: [\"a/1.10/x.tgz\", \"a/1.10/y.tgz\"]\n    version: 1.10\n"),
        );
    }

    #[test]
    fn what_is_not_a_file_behind_http_stays() {
        let document =
            "entries:\n  a:\n  - version: 1\n    urls: [\"oci://r.example.org/a:1\", \"https://h.example.org/\"]\n";
        check(document, Ok(document));
        check("entries: {}\n", Ok("entries: {}\n"));
    }

    #[test]
    fn what_is_no_index_is_refused() {
        check("<html><body>not here</body></html>", Err(RewriteError::Entries));
        check("", Err(RewriteError::Entries));
        check("entries: []", Err(RewriteError::Entries));
        assert!(matches!(rewrite(b"entries: [", &base()), Err(RewriteError::Yaml(_))));
        assert_eq!(rewrite(b"\xff", &base()), Err(RewriteError::Utf8));
        assert_eq!(rewrite("[".repeat(100).as_bytes(), &base()), Err(RewriteError::Deep(64)));
    }

    #[test]
    fn a_version_that_cannot_stand_in_a_path_keeps_its_link() {
        let index = "entries:\n  a/b:\n  - version: 1\n    urls: [x.tgz]\n  c:\n  - version: ..\n    urls: [y.tgz]\n";
        assert_eq!(rewrite(index.as_bytes(), &base()).expect("an index").text(""), index);
    }

    #[test]
    fn an_item_without_text_stays() {
        let index = "entries:\n  a:\n  - version: 1\n    urls:\n    -\n    name: a\n";
        assert_eq!(rewrite(index.as_bytes(), &base()).expect("an index").text(""), index);
    }
}
