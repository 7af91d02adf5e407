//! npm's package documents: `dist.tarball` of each version leads to `<package>/-/<name>-<version>.tgz` under the gateway's address.
//!
//! npm wants absolute URLs there. `integrity` and `signatures` are over the tarball and the name, not over its URL: they stay true.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::object::{Object, read};
use super::{RewriteError, Rewritten, Splice, absolute, is_one_segment, segment};

/// What a document of all versions and one of a single version have.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    versions: BTreeMap<String, Object<Version<'a>>>,
    #[serde(default)]
    version: Option<String>,
    #[serde(borrow, default)]
    dist: Option<Object<Dist<'a>>>,
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow, default)]
    dist: Option<Object<Dist<'a>>>,
}

#[derive(Deserialize)]
struct Dist<'a> {
    #[serde(borrow, default)]
    tarball: Option<&'a RawValue>,
}

/// Rewrites a document of the package `name` that was read from `document_url`. Its links are found by version.
///
/// # Errors
/// It is not a package document.
pub fn rewrite(document: &[u8], document_url: &Url, name: &str) -> Result<Rewritten, RewriteError> {
    let (text, Document { versions, version, dist }) = read(document)?;
    let all = versions.iter().map(|(version, entry)| (version, &entry.0.dist));
    let single = version.as_ref().map(|version| (version, &dist));
    let mut tarballs: Vec<(usize, &RawValue, &str)> = all
        .chain(single)
        .filter_map(|(version, dist)| {
            let tarball = dist.as_ref()?.0.tarball?;
            Some((place(text, tarball), tarball, version.as_str()))
        })
        .collect();
    tarballs.sort_unstable_by_key(|(place, ..)| *place);
    let (mut splice, mut links) = (Splice::new(text), BTreeMap::new());
    for (place, tarball, version) in tarballs {
        let written: Option<String> = serde_json::from_str(tarball.get()).ok();
        let Some(url) = written.and_then(|url| absolute(&url, document_url)) else { continue };
        let file = file(name, version);
        if !is_one_segment(&file) {
            continue;
        }
        let own = format!("\"/{}/-/{}\"", path(name), segment(&file));
        if splice.replace_behind_base(place..place + tarball.get().len(), &own) {
            links.entry(version.to_owned()).or_insert_with(|| url.into());
        }
    }
    Ok(splice.end(links))
}

/// Where in the text a value that was borrowed from it stands.
fn place(text: &str, value: &RawValue) -> usize {
    value.get().as_ptr().addr() - text.as_ptr().addr()
}

/// The file of a version's tarball, as the public registry names it.
pub(crate) fn file(name: &str, version: &str) -> String {
    format!("{}-{version}.tgz", bare(name))
}

/// The version in the name of a tarball.
pub(crate) fn version<'a>(name: &str, file: &'a str) -> Option<&'a str> {
    let version = file.strip_prefix(bare(name))?.strip_prefix('-')?.strip_suffix(".tgz")?;
    (!version.is_empty()).then_some(version)
}

/// The name without its scope.
fn bare(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_scope, bare)| bare)
}

/// The package in a path: `@scope/name`, each part encoded.
pub(crate) fn path(name: &str) -> String {
    name.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A package's name: at most 214 characters, a scope before at most one slash, nothing hidden and nothing that a URL does not carry.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~!'()*".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(good)
    };
    let parts = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, bare)| is_part(scope) && is_part(bare)),
        None => is_part(name),
    };
    parts && name.len() <= 214
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the registry's documentation of package metadata, in its full form.
    const PACKUMENT: &str = include_str!("../../../tests/golden/npm-document.json");

    fn base() -> Url {
        Url::parse("https://npm.example.org/@acme%2ftiny").expect("a URL")
    }

    #[test]
    fn only_the_tarballs_of_a_real_document_change() {
        let rewritten = rewrite(PACKUMENT.as_bytes(), &base(), "@acme/tiny").expect("a document");
        let text = String::from_utf8(rewritten.text("https://get.example.org/npm").to_vec()).expect("text");
        insta::assert_snapshot!("npm_document", text);
        let changed = PACKUMENT.lines().zip(text.lines()).filter(|(before, after)| before != after).count();
        assert_eq!((PACKUMENT.lines().count(), changed), (text.lines().count(), 2));
        let back = text.replace("https://get.example.org/npm/@acme/tiny/-/", "https://npm.example.org/@acme/tiny/-/");
        assert_eq!(back, PACKUMENT.replace(r"\/", "/"), "nothing but the address");
        assert_eq!(rewritten.link("1.0.1"), Some("https://npm.example.org/@acme/tiny/-/tiny-1.0.1.tgz"));
    }

    #[test]
    fn a_tarball_under_any_name_is_found_by_version() {
        let document = br#"{"version":"2.0.0","dist":{"tarball":"/download/acme/5e1f"},"name":"acme"}"#;
        let rewritten = rewrite(document, &base(), "acme").expect("a document");
        let expected = r#"{"version":"2.0.0","dist":{"tarball":"http://h/acme/-/acme-2.0.0.tgz"},"name":"acme"}"#;
        assert_eq!(rewritten.text("http://h"), expected);
        assert_eq!(rewritten.link("2.0.0"), Some("https://npm.example.org/download/acme/5e1f"));
    }

    #[test]
    fn odd_documents_stay_or_are_refused() {
        for kept in ["{}", r#"{"versions":{"1":{"dist":{"tarball":5}}}}"#, r#"{"versions":{"1":{"dist":null}}}"#] {
            let rewritten = rewrite(kept.as_bytes(), &base(), "a").expect("JSON");
            assert_eq!(rewritten.text("http://h"), kept);
        }
        for refused in ["", "[", "<html>", r#"{"versions":[]}"#, "[]", r#"{"versions":{"1":[{"tarball":"x"}]}}"#] {
            assert!(matches!(rewrite(refused.as_bytes(), &base(), "a"), Err(RewriteError::Json(_))), "{refused}");
        }
        let deep = format!(r#"{{"x":{}}}"#, "[".repeat(100_000));
        assert!(matches!(rewrite(deep.as_bytes(), &base(), "a"), Err(RewriteError::Json(_))));
    }

    #[test]
    fn names_and_versions_are_told_apart() {
        assert_eq!(version("@acme/tiny", "tiny-1.0.0-rc.1.tgz"), Some("1.0.0-rc.1"));
        assert_eq!(version("a-b", "a-b-1.0.0.tgz"), Some("1.0.0"));
        assert_eq!(version("a", "b-1.0.0.tgz"), None);
        for good in ["a", "@a/b", "lodash.merge", "JSONStream", "-"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "@a", "@/b", "a/b", "@a/b/c", ".a", "@a/..", "a b", "a%2fb", &"x".repeat(215)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_version_that_cannot_stand_in_a_path_keeps_its_link() {
        let document = r#"{"versions":{"1/2":{"dist":{"tarball":"https://npm.example.org/x.tgz"}}}}"#;
        let rewritten = rewrite(document.as_bytes(), &base(), "@acme/tiny").expect("a document");
        assert_eq!(rewritten.text("https://get.example.org"), document);
    }
}
