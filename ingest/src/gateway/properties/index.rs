//! Documents of package indexes. Their upstreams are trusted to name files, not to write well-formed documents, nor to send clients
//! anywhere but through the gateway.

use std::collections::BTreeSet;

use lol_html::{RewriteStrSettings, element, rewrite_str};
use saphyr_parser::{Event, Parser};
use serde_json::Value;
use url::Url;

use super::super::index::{Asked, IndexKind, Rewritten, helm, npm, parse, pypi};

/// Where the gateway serves the index.
const BASE: &str = "https://get.example.org/index";
const PROJECT: &str = "holygrail";
const PACKAGE: &str = "@acme/tiny";

/// A page of Python's simple index, read as HTML and as JSON. Nothing but links changes, and each link that changes leads to a file
/// that the gateway then finds where the page said.
pub fn a_python_pages_links_lead_back_to_its_files(bytes: &[u8]) {
    let (Ok(page_url), Ok(own_url)) = (
        Url::parse("https://pypi.example.org/simple/holygrail/"),
        Url::parse("https://get.example.org/index/simple/holygrail/"),
    ) else {
        return;
    };
    let own = Own { kind: IndexKind::Pypi, page: own_url };
    if let Ok(rewritten) = pypi::rewrite_json(bytes, &page_url, PROJECT) {
        let urls = |json: &mut Value| {
            let files = json.get_mut("files").and_then(Value::as_array_mut)?;
            Some(files.iter_mut().filter_map(|file| file.get_mut("url")).map(Value::take).collect())
        };
        own.check_json(bytes, &rewritten, &page_url, urls);
    }
    if let Ok(rewritten) = pypi::rewrite_html(bytes, &page_url, PROJECT) {
        let (before, after) = (hrefs(&String::from_utf8_lossy(bytes)), hrefs(&text(&rewritten)));
        assert!(before.is_empty() || before.len() == after.len(), "links came or went");
        for (_, after) in before.iter().zip(&after).filter(|(before, after)| before != after) {
            own.check_link(&rewritten, after, None);
        }
    }
    if let Ok(rewritten) = pypi::rewrite_list(bytes, &page_url) {
        let (before, after) = (hrefs(&String::from_utf8_lossy(bytes)), hrefs(&text(&rewritten)));
        for (_, after) in before.iter().zip(&after).filter(|(before, after)| before != after) {
            let name = after.strip_suffix('/').unwrap_or_default();
            assert!(pypi::is_project(name), "{after:?} is no project of the list");
        }
    }
}

/// npm's document of a package, as [`a_python_pages_links_lead_back_to_its_files`].
pub fn an_npm_documents_tarballs_are_found_again(bytes: &[u8]) {
    let (Ok(document_url), Ok(page)) = (Url::parse("https://npm.example.org/@acme%2ftiny"), Url::parse(BASE)) else {
        return;
    };
    let Ok(rewritten) = npm::rewrite(bytes, &document_url, PACKAGE) else { return };
    let urls = |json: &mut Value| {
        let mut urls = vec![take(json, "tarball")];
        let versions = json.get_mut("versions").and_then(Value::as_object_mut);
        urls.extend(versions.into_iter().flatten().map(|(_, version)| take(version, "tarball")));
        Some(urls)
    };
    Own { kind: IndexKind::Npm, page }.check_json(bytes, &rewritten, &document_url, urls);
}

/// Helm's index, as [`a_python_pages_links_lead_back_to_its_files`].
pub fn a_helm_indexs_charts_are_found_again(bytes: &[u8]) {
    let (Ok(index_url), Ok(page)) = (
        Url::parse("https://charts.example.org/stable/index.yaml"),
        Url::parse("https://get.example.org/index/index.yaml"),
    ) else {
        return;
    };
    let Ok(rewritten) = helm::rewrite(bytes, &index_url) else { return };
    let (before, after) = (String::from_utf8_lossy(bytes), text(&rewritten));
    let (before, after) = (scalars(&before), scalars(&after));
    assert_eq!(before.as_ref().map(Vec::len), after.as_ref().map(Vec::len), "values came or went");
    let own = Own { kind: IndexKind::Helm, page };
    for (_, after) in before.iter().flatten().zip(after.iter().flatten()).filter(|(before, after)| before != after) {
        own.check_link(&rewritten, after, None);
    }
}

/// Any path under any index: what is asked of an upstream is below the upstream's own address.
pub fn a_path_of_an_index_never_climbs(bytes: &[u8]) {
    let Ok(path) = str::from_utf8(bytes) else { return };
    for kind in [IndexKind::Helm, IndexKind::Pypi, IndexKind::Npm] {
        match parse(kind, path) {
            Asked::Document(document) | Asked::File { document, .. } => {
                let asked = format!("https://up.example.org/sub{}", document.path);
                let url = Url::parse(&asked).unwrap_or_else(|error| panic!("{asked:?} is no URL: {error}"));
                assert_eq!(url.as_str(), asked, "{path:?} is asked for in another form");
                assert!(url.path().starts_with("/sub/") && url.query().is_none(), "{path:?} asks for {url}");
            }
            Asked::Moved { to, .. } => {
                assert!(!to.starts_with('/') && !to.contains(':') && !to.contains('\\'), "{path:?} is sent to {to:?}");
                assert!(to.bytes().all(|byte| byte.is_ascii_graphic()), "{to:?} cannot be sent");
            }
            Asked::Ping | Asked::Unknown => {}
        }
    }
}

/// The gateway's own index.
struct Own {
    kind: IndexKind,
    page: Url,
}

impl Own {
    fn check_json(
        &self,
        bytes: &[u8],
        rewritten: &Rewritten,
        url: &Url,
        urls: impl Fn(&mut Value) -> Option<Vec<Value>>,
    ) {
        // A number of any size is passed on as it is, which this comparison cannot hold.
        let Ok(mut before) = serde_json::from_slice::<Value>(bytes) else { return };
        let mut after: Value = serde_json::from_slice(&rewritten.text(BASE)).expect("what came of it is JSON");
        let (old, new) = (urls(&mut before).unwrap_or_default(), urls(&mut after).unwrap_or_default());
        assert_eq!(before, after, "more than links changed");
        assert_eq!(old.len(), new.len(), "links came or went");
        let absolute = |link: &Value| {
            let mut url = url.join(link.as_str()?).ok()?;
            url.set_fragment(None);
            Some(String::from(url))
        };
        let named: BTreeSet<String> = old.iter().filter_map(absolute).collect();
        for (_, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
            self.check_link(rewritten, new.as_str().unwrap_or_default(), Some(&named));
        }
    }

    /// A link that was written leads below our index, to a file that is found.
    fn check_link(&self, rewritten: &Rewritten, link: &str, named: Option<&BTreeSet<String>>) {
        let led = self.page.join(link).unwrap_or_else(|error| panic!("{link:?} is no link: {error}"));
        let path = led.as_str().strip_prefix(BASE).unwrap_or_else(|| panic!("{link:?} leads to {led}"));
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let Asked::File { document, version, file } = parse(self.kind, path) else { panic!("{path:?} is no file") };
        let package = document.package.as_deref().unwrap_or_default();
        let version = version.as_deref().unwrap_or_default();
        let found = match self.kind {
            IndexKind::Helm => helm::link(rewritten, package, version, &file),
            IndexKind::Pypi => pypi::link(rewritten, &file),
            IndexKind::Npm => rewritten.link(version).map(String::from),
        };
        let found = found.unwrap_or_else(|| panic!("{path:?} is not found"));
        let url = Url::parse(&found).unwrap_or_else(|error| panic!("{found:?} is no URL: {error}"));
        assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty(), "{path:?} is at {found}");
        assert!(named.is_none_or(|named| named.contains(&found)), "{found} is not in the document");
    }
}

fn text(rewritten: &Rewritten) -> String {
    String::from_utf8(rewritten.text(BASE).to_vec()).expect("what came of a text is text")
}

fn take(json: &mut Value, key: &str) -> Value {
    json.get_mut("dist").and_then(|dist| dist.get_mut(key)).map(Value::take).unwrap_or_default()
}

/// The links of a page that can lead to files. None at all when a link has an attribute whose name holds a quotation mark or the like: the
/// HTML library writes such a name as it is, and then it is read as something else. No page is written so.
fn hrefs(page: &str) -> Vec<String> {
    let mut hrefs = Vec::new();
    let mut is_odd = false;
    let collect = element!("a[href]", |element| {
        is_odd |= element.attributes().iter().any(|attribute| attribute.name().contains(['"', '\'', '=', '<', '`']));
        hrefs.push(element.get_attribute("href").unwrap_or_default().replace("&amp;", "&"));
        Ok(())
    });
    let read = rewrite_str(page, RewriteStrSettings::new().append_element_content_handler(collect));
    if read.is_err() || is_odd { Vec::new() } else { hrefs }
}

fn scalars(yaml: &str) -> Result<Vec<String>, String> {
    let events = Parser::new_from_str(yaml).filter_map(|event| match event {
        Ok((Event::Scalar(text, ..), _)) => Some(Ok(text.into_owned())),
        Ok(_) => None,
        Err(error) => Some(Err(error.to_string())),
    });
    events.collect::<Result<Vec<String>, String>>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A real document with some of it replaced.
    fn changed(golden: &'static str, news: &'static str) -> impl Strategy<Value = String> {
        (any::<prop::sample::Index>(), news, 0..12_usize).prop_map(move |(at, new, gone)| {
            let at = golden.floor_char_boundary(at.index(golden.len()));
            let end = golden.ceil_char_boundary((at + gone).min(golden.len()));
            format!("{}{new}{}", golden.get(..at).unwrap_or_default(), golden.get(end..).unwrap_or_default())
        })
    }

    const LINK: &str = "(https?:)?/?/?[a-z.]{0,5}(/\\.\\.|%2e%2E|%2f|\\\\\\\\|&#x2f;|[a-z+@ ~é-]){0,6}";

    proptest! {
        #[test]
        fn holds_for_every_change_of_a_python_page(
            html in changed(include_str!("../../../tests/golden/pypi-project.html"), "[ -~]{0,4}|<base href='[a-z/:]{0,9}'>"),
            json in changed(include_str!("../../../tests/golden/pypi-project.json"), "[ -~]{0,4}"),
            link in LINK,
        ) {
            a_python_pages_links_lead_back_to_its_files(html.as_bytes());
            a_python_pages_links_lead_back_to_its_files(json.as_bytes());
            let made = serde_json::json!({"files": [{"url": link, "hashes": {"sha256": "a"}}, {"url": "x.whl"}], "n": 1});
            a_python_pages_links_lead_back_to_its_files(made.to_string().as_bytes());
            a_python_pages_links_lead_back_to_its_files(format!("<a href=\"{link}\">x</a><a href='{link}#sha256=a'>").as_bytes());
        }

        #[test]
        fn holds_for_every_change_of_an_npm_document(
            golden in changed(include_str!("../../../tests/golden/npm-document.json"), "[ -~]{0,4}"),
            version in "[0-9.]{1,5}|[ -~]{0,5}|\\PC{0,3}",
            link in LINK,
        ) {
            an_npm_documents_tarballs_are_found_again(golden.as_bytes());
            let made = serde_json::json!({"versions": {version: {"dist": {"tarball": link, "integrity": "x"}}}, "name": "n"});
            an_npm_documents_tarballs_are_found_again(made.to_string().as_bytes());
        }

        #[test]
        fn holds_for_every_change_of_a_helm_index(
            golden in changed(include_str!("../../../tests/golden/helm-index.yaml"), "[ -~]{0,4}|\n *|é"),
            chart in "[a-z]{1,3}|[ -~]{0,4}",
            version in "[0-9.+]{1,5}|[ -~]{0,4}",
            link in LINK,
        ) {
            a_helm_indexs_charts_are_found_again(golden.as_bytes());
            let made = serde_json::json!({"entries": {chart: [{"version": version, "urls": [link, "b.tgz"]}]}});
            a_helm_indexs_charts_are_found_again(made.to_string().as_bytes());
        }

        #[test]
        fn holds_for_paths_of_every_index(
            parts in prop::collection::vec("simple|files|-|package|dist-tags|index\\.yaml|@?[a-z._-]{1,5}|%2[eEfF]|%5c|%[0-9a-f]{2}|[ -~]{0,4}|\\PC{0,2}", 0..6),
        ) {
            a_path_of_an_index_never_climbs(format!("/{}", parts.join("/")).as_bytes());
        }
    }
}
