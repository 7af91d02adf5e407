//! Python's simple index: HTML (PEP 503) and JSON (PEP 691). File links lead to `files/<project>/<file>`, relative to the page.
//!
//! What stands beside a link stays: the hash in its fragment, `data-requires-python`, `data-yanked`, `data-core-metadata` and its older
//! name, `data-gpg-sig`. Relative links are allowed by both specifications.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use lol_html::html_content::Element;
use lol_html::{RewriteStrSettings, element, rewrite_str};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::object::{Object, read};
use super::{RewriteError, Rewritten, Splice, absolute, beside, file_name, segment};

/// From `<prefix>/simple/<project>/` up to `<prefix>/`.
const UP: &str = "../..";

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    files: Vec<Object<File<'a>>>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    url: &'a RawValue,
}

/// Rewrites the JSON page of a project, whose name is normalized, that was read from `page_url`. Links are found by file name.
///
/// # Errors
/// It is not a project's page.
pub fn rewrite_json(document: &[u8], page_url: &Url, project: &str) -> Result<Rewritten, RewriteError> {
    let (text, page): (_, Page<'_>) = read(document)?;
    let (mut splice, mut links) = (Splice::new(text), BTreeMap::new());
    for Object(File { url: written }) in page.files {
        let place = written.get().as_ptr().addr() - text.as_ptr().addr();
        let link: Option<String> = serde_json::from_str(written.get()).ok();
        let Some((own, file, url)) = link.and_then(|link| own_link(&link, page_url, project)) else { continue };
        if splice.replace(place..place + written.get().len(), &format!("\"{own}\"")) {
            links.entry(file).or_insert(url);
        }
    }
    Ok(splice.end(links))
}

/// Rewrites the HTML page of a project, as [`rewrite_json`].
///
/// # Errors
/// The page is not text, or the HTML rewriter gave up.
pub fn rewrite_html(document: &[u8], page_url: &Url, project: &str) -> Result<Rewritten, RewriteError> {
    let links = RefCell::new(BTreeMap::new());
    let text = rewrite_links(document, page_url, |link, base| {
        let (own, file, url) = own_link(link, base, project)?;
        links.borrow_mut().entry(file).or_insert(url);
        Some(own)
    })?;
    Ok(Rewritten { text: text.into(), base_at: Vec::new(), links: links.into_inner() })
}

/// Rewrites the HTML list of all projects: the links of some indexes begin at the root of their host.
///
/// # Errors
/// As [`rewrite_html`].
pub fn rewrite_list(document: &[u8], page_url: &Url) -> Result<Rewritten, RewriteError> {
    let text = rewrite_links(document, page_url, |link, base| {
        let url = absolute(link, base)?;
        let last = url.path_segments()?.rfind(|segment| !segment.is_empty())?.to_owned();
        is_project(&last).then(|| format!("{}/", normalized(&last)))
    })?;
    Ok(Rewritten::unchanged(text.into()))
}

/// Where a project's file is, or what lies beside it.
pub(crate) fn link(page: &Rewritten, file: &str) -> Option<String> {
    let found = page.link(file).map(String::from);
    found.or_else(|| BESIDE.iter().find_map(|ending| beside(page.link(file.strip_suffix(ending)?)?, ending)))
}

/// Gives each link of a page to `own`, with the address that it is relative to.
fn rewrite_links(
    document: &[u8],
    page_url: &Url,
    own: impl Fn(&str, &Url) -> Option<String>,
) -> Result<String, RewriteError> {
    let text = std::str::from_utf8(document).map_err(|_| RewriteError::Utf8)?;
    let base = RefCell::new(page_url.clone());
    let based = Cell::new(false);
    let on_base = |element: &mut Element<'_, '_>| {
        let href = element.get_attribute("href").unwrap_or_default();
        // The first one counts. Relative links of ours are relative to our page. The element stays: what stands on both its sides could
        // else become another one.
        if let (false, Ok(url)) = (based.replace(true), page_url.join(&unescaped(&href))) {
            base.replace(url);
        }
        element.remove_attribute("href");
        Ok(())
    };
    let on_link = |element: &mut Element<'_, '_>| {
        // Old pages link a project's home, and where else it may be downloaded.
        if matches!(element.get_attribute("rel").as_deref(), Some("homepage" | "download")) {
            return Ok(());
        }
        let href = element.get_attribute("href").unwrap_or_default();
        if let Some(own) = own(&unescaped(&href), &base.borrow()) {
            element.set_attribute("href", &own.replace('&', "&amp;"))?;
        }
        Ok(())
    };
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("base[href]", on_base))
        .append_element_content_handler(element!("a[href]", on_link));
    rewrite_str(text, settings).map_err(|error| RewriteError::Html(error.to_string()))
}

/// Our link for a link of a page, the file's name, and its URL.
fn own_link(link: &str, base: &Url, project: &str) -> Option<(String, String, String)> {
    let url = absolute(link, base)?;
    let file = file_name(&url)?;
    let fragment = link.split_once('#').map(|(_, fragment)| format!("#{}", harmless(fragment))).unwrap_or_default();
    let own = format!("{UP}/files/{}/{}{fragment}", segment(project), segment(&file));
    Some((own, file, url.into()))
}

/// A fragment without what could end the text that it stands in. A hash, which is what stands there, has nothing of that.
fn harmless(fragment: &str) -> String {
    fragment.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`')).collect()
}

/// An attribute's value without the references that stand in URLs. Others stay as they are.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::Borrowed(value.trim());
    }
    let mut text = String::with_capacity(value.len());
    let mut left = value.trim();
    while let Some((before, after)) = left.split_once('&') {
        text.push_str(before);
        let reference = after.split_once(';').filter(|(name, _)| name.len() <= 8);
        let known = reference.and_then(|(name, rest)| Some((character(name)?, rest)));
        let (character, rest) = known.unwrap_or(('&', after));
        text.push(character);
        left = rest;
    }
    text.push_str(left);
    Cow::Owned(text)
}

fn character(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "lt" => Some('<'),
        "gt" => Some('>'),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

/// A project's name by PEP 503: lower case, one `-` for each run of `-`, `_` and `.`.
pub(crate) fn normalized(name: &str) -> String {
    let mut normalized = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normalized.ends_with('-') => {}
            '-' | '_' | '.' => normalized.push('-'),
            c => normalized.push(c.to_ascii_lowercase()),
        }
    }
    normalized
}

/// A name by PEP 508.
pub(crate) fn is_project(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()].iter().all(|b| b.is_some_and(u8::is_ascii_alphanumeric));
    ends && name.len() <= 200 && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// The version in the name of a wheel (PEP 427), a source archive (PEP 625 and before) or an egg.
pub(crate) fn version<'a>(project: &str, file: &'a str) -> Option<&'a str> {
    const SOURCES: [&str; 7] = [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z", ".tar"];
    if let Some(stem) = file.strip_suffix(".whl").or_else(|| file.strip_suffix(".egg")) {
        let (name, rest) = stem.split_once('-')?;
        let version = rest.split('-').next()?;
        return (normalized(name) == project && !version.is_empty()).then_some(version);
    }
    let stem = SOURCES.iter().find_map(|ending| file.strip_suffix(ending))?;
    stem.match_indices('-')
        .filter_map(|(at, _)| Some((stem.get(..at)?, stem.get(at + 1..)?)))
        .find(|(name, version)| normalized(name) == project && !version.is_empty())
        .map(|(_, version)| version)
}

/// What is fetched beside a file: its metadata (PEP 658), a signature (PEP 503), its provenance (PEP 740).
pub(crate) const BESIDE: [&str; 3] = [".metadata", ".asc", ".provenance"];

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = include_str!("../../../tests/golden/pypi-project.html");
    const JSON: &str = include_str!("../../../tests/golden/pypi-project.json");

    fn page() -> Url {
        Url::parse("https://pypi.example.org/simple/holygrail/").expect("a URL")
    }

    #[test]
    fn only_the_links_of_a_real_page_change() {
        let rewritten = rewrite_html(HTML.as_bytes(), &page(), "holygrail").expect("a page");
        insta::assert_snapshot!("pypi_html", String::from_utf8_lossy(&rewritten.text("")));
        assert_eq!(rewritten.links(), 4);
        let wheel = "https://files.example.org/packages/5e/holygrail-1.0-py3-none-any.whl";
        assert_eq!(rewritten.link("holygrail-1.0-py3-none-any.whl"), Some(wheel));
        let signed = "https://pypi.example.org/get/holygrail-0.9.tar.gz?key=1&sig=2";
        assert_eq!(rewritten.link("holygrail-0.9.tar.gz"), Some(signed));
    }

    #[test]
    fn only_the_urls_of_a_real_json_page_change() {
        let rewritten = rewrite_json(JSON.as_bytes(), &page(), "holygrail").expect("a page");
        let text = String::from_utf8(rewritten.text("").to_vec()).expect("text");
        insta::assert_snapshot!("pypi_json", text);
        let changed = JSON.lines().zip(text.lines()).filter(|(before, after)| before != after).count();
        assert_eq!((JSON.lines().count(), changed, rewritten.links()), (text.lines().count(), 2, 2));
    }

    #[track_caller]
    fn check_html(document: &str, expected: &str) {
        let rewritten = rewrite_html(document.as_bytes(), &page(), "p").expect("a page");
        assert_eq!(String::from_utf8_lossy(&rewritten.text("")), expected);
    }

    #[test]
    fn a_base_element_is_heeded_and_means_nothing_any_more() {
        let document = r#"<base href="https://cdn.example.org/x/"><a href='p-1.tar.gz'>p</a>"#;
        check_html(document, r#"<base><a href="../../files/p/p-1.tar.gz">p</a>"#);
        let rewritten = rewrite_html(document.as_bytes(), &page(), "p").expect("a page");
        assert_eq!(rewritten.link("p-1.tar.gz"), Some("https://cdn.example.org/x/p-1.tar.gz"));
    }

    #[test]
    fn links_that_are_no_files_stay() {
        for kept in [
            r#"<a href="../">up</a>"#,
            r#"<a href="https://home.example.org/p" rel="homepage">home</a>"#,
            r#"<a href="javascript:alert(1)">x</a>"#,
            r#"<a name="p-1.tar.gz">x</a>"#,
            "<!-- <a href='p-1.tar.gz'> --><a",
        ] {
            check_html(kept, kept);
        }
    }

    #[test]
    fn a_link_cannot_break_out_of_its_quotes() {
        let document = r#"<a href="p-1.zip#&quot;&gt;&lt;script&gt;sha256=1&amp;egg=p">p</a>"#;
        check_html(document, r#"<a href="../../files/p/p-1.zip#scriptsha256=1&amp;egg=p">p</a>"#);
        let json = r#"{"files":[{"url":"p\"<-1.zip#\"x"}]}"#;
        let rewritten = rewrite_json(json.as_bytes(), &page(), "p").expect("a page");
        assert_eq!(rewritten.text(""), r#"{"files":[{"url":"../../files/p/p%22%3C-1.zip#x"}]}"#);
    }

    #[test]
    fn a_list_names_projects_below_itself() {
        let list = r#"<a href="/simple/Holy_Grail/">Holy_Grail</a><a href="spam">spam</a><a href="/">x</a>"#;
        let rewritten = rewrite_list(list.as_bytes(), &page().join("/simple/").expect("a URL")).expect("a page");
        let expected = r#"<a href="holy-grail/">Holy_Grail</a><a href="spam/">spam</a><a href="/">x</a>"#;
        assert_eq!(String::from_utf8_lossy(&rewritten.text("")), expected);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert_eq!(rewrite_html(b"\xff", &page(), "p"), Err(RewriteError::Utf8));
        for refused in ["", "{}", r#"{"files":{}}"#, r#"{"files":[{}]}"#, "<html>", "[[]]", r#"{"files":[["a"]]}"#] {
            assert!(matches!(rewrite_json(refused.as_bytes(), &page(), "p"), Err(RewriteError::Json(_))), "{refused}");
        }
    }

    #[test]
    fn names_are_normalized_and_versions_read() {
        assert_eq!(normalized("Holy-._Grail.X"), "holy-grail-x");
        assert!(is_project("Holy_Grail") && !is_project("-x") && !is_project("a/b") && !is_project(""));
        let cases = [
            ("holy-grail", "holy_grail-1.0-py3-none-any.whl", Some("1.0")),
            ("holy-grail", "Holy.Grail-1.0+local.1-1-cp312-cp312-manylinux_2_17_x86_64.whl", Some("1.0+local.1")),
            ("holy-grail", "holy_grail-1.0.tar.gz", Some("1.0")),
            ("holy-grail", "holy-grail-1.0-rc1.zip", Some("1.0-rc1")),
            ("holy-grail", "holy_grail-1.0-py3.8.egg", Some("1.0")),
            ("holy-grail", "other-1.0.tar.gz", None),
            ("holy-grail", "holy_grail-1.0.exe", None),
            ("holy-grail", "holy_grail-.tar.gz", None),
        ];
        for (project, file, expected) in cases {
            assert_eq!(version(project, file), expected, "{file}");
        }
    }
}
