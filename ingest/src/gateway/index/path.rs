//! What is asked of an index, by the path behind its prefix.

use super::{npm, pypi, segment, segment_text};

/// The kinds of index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexKind {
    Helm,
    Pypi,
    Npm,
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A document of the index.
    Document(Document),
    /// A file that a document names.
    File {
        /// The document.
        document: Document,
        version: Option<String>,
        /// The last segment of the path.
        file: String,
    },
    /// The client is sent to this path, relative to the one it asked for.
    Moved { to: String, package: Option<String> },
    /// npm's question whether somebody is there.
    Ping,
    /// Nothing that this index has.
    Unknown,
}

/// A document of an upstream's index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Document {
    /// Its path behind the upstream's URL.
    pub(crate) path: String,
    pub(crate) package: Option<String>,
    pub(crate) rewriting: Rewriting,
}

/// How a document is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rewriting {
    Helm,
    PypiList,
    PypiProject,
    Npm,
    /// Not at all.
    None,
}

/// Reads a path. It begins behind the rule's prefix, with its slash.
pub(crate) fn parse(kind: IndexKind, path: &str) -> Asked {
    let asked = match kind {
        IndexKind::Helm => helm(path),
        IndexKind::Pypi => pypi(path),
        IndexKind::Npm => npm(path),
    };
    asked.unwrap_or(Asked::Unknown)
}

fn helm(path: &str) -> Option<Asked> {
    let document = |package| Document { path: "/index.yaml".to_owned(), package, rewriting: Rewriting::Helm };
    let path = path.strip_prefix('/')?;
    if path == "index.yaml" {
        return Some(Asked::Document(document(None)));
    }
    let [chart, version, file] = segments(path)?;
    Some(Asked::File { document: document(Some(chart)), version: Some(version), file })
}

fn pypi(path: &str) -> Option<Asked> {
    let path = path.strip_prefix('/')?;
    if path == "simple" {
        return Some(Asked::Moved { to: "simple/".to_owned(), package: None });
    }
    if let Some(path) = path.strip_prefix("files/") {
        let [project, file] = segments(path)?;
        let project = Some(project).filter(|name| pypi::is_project(name)).map(|name| pypi::normalized(&name))?;
        let main = pypi::BESIDE.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(&file);
        let version = pypi::version(&project, main).map(String::from);
        return Some(Asked::File { document: pypi_project(project), version, file });
    }
    let path = path.strip_prefix("simple/")?;
    if path.is_empty() {
        let path = "/simple/".to_owned();
        return Some(Asked::Document(Document { path, package: None, rewriting: Rewriting::PypiList }));
    }
    let (name, slash) = path.strip_suffix('/').map_or((path, false), |name| (name, true));
    let name = segment_text(name).filter(|name| pypi::is_project(name))?;
    let project = pypi::normalized(&name);
    if slash && name == project {
        return Some(Asked::Document(pypi_project(project)));
    }
    let to = if slash { format!("../{project}/") } else { format!("{project}/") };
    Some(Asked::Moved { to, package: Some(project) })
}

fn pypi_project(project: String) -> Document {
    let path = format!("/simple/{project}/");
    Document { path, package: Some(project), rewriting: Rewriting::PypiProject }
}

fn npm(path: &str) -> Option<Asked> {
    let path = path.strip_prefix('/')?;
    if path == "-/ping" {
        return Some(Asked::Ping);
    }
    if let Some(name) = path.strip_prefix("-/package/").and_then(|path| path.strip_suffix("/dist-tags")) {
        let (name, "") = npm_name(name)? else { return None };
        let path = format!("/-/package/{}/dist-tags", npm_upstream(&name));
        return Some(Asked::Document(Document { path, package: Some(name), rewriting: Rewriting::None }));
    }
    if path.starts_with("-/") && !path.starts_with("-/-/") {
        return None;
    }
    let (name, rest) = npm_name(path)?;
    let document =
        Document { path: format!("/{}", npm_upstream(&name)), package: Some(name), rewriting: Rewriting::Npm };
    if rest.is_empty() {
        return Some(Asked::Document(document));
    }
    if let Some(file) = rest.strip_prefix("-/") {
        let file = segment_text(file)?;
        let name = document.package.as_deref().unwrap_or_default();
        let version = npm::version(name, &file).map(String::from);
        return Some(Asked::File { document, version, file });
    }
    // One version's document, by number or tag.
    let version = segment(&segment_text(rest)?);
    Some(Asked::Document(Document { path: format!("{}/{version}", document.path), ..document }))
}

/// A package's name and what follows it. The slash of a scope may be written `%2f`.
fn npm_name(path: &str) -> Option<(String, &str)> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let first = percent_encoding::percent_decode_str(first).decode_utf8().ok()?.into_owned();
    if !first.starts_with('@') || first.contains('/') {
        return npm::is_name(&first).then_some((first, rest));
    }
    let (second, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let name = format!("{first}/{}", segment_text(second)?);
    npm::is_name(&name).then_some((name, rest))
}

/// The name as npm itself asks a registry for it.
fn npm_upstream(name: &str) -> String {
    npm::path(name).replace('/', "%2f")
}

/// The segments of a path, as text, when there are exactly so many.
fn segments<const N: usize>(path: &str) -> Option<[String; N]> {
    let segments: Option<Vec<String>> = path.splitn(N + 1, '/').map(segment_text).collect();
    segments?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: IndexKind, path: &str, expected: &str) {
        let brief = match parse(kind, path) {
            Asked::Document(Document { path, package, .. }) => format!("document {path} {package:?}"),
            Asked::File { document, version, file } => {
                format!("file {file} of {:?} {version:?} in {}", document.package, document.path)
            }
            Asked::Moved { to, .. } => format!("moved {to}"),
            Asked::Ping => "ping".to_owned(),
            Asked::Unknown => "unknown".to_owned(),
        };
        assert_eq!(brief.replace("Some(", "(").replace("None", "-"), expected, "{path}");
    }

    #[test]
    fn a_chart_repository_has_an_index_and_files() {
        check(IndexKind::Helm, "/index.yaml", "document /index.yaml -");
        let file = r#"file app-1.0+b.tgz of ("app") ("1.0+b") in /index.yaml"#;
        check(IndexKind::Helm, "/app/1.0+b/app-1.0%2Bb.tgz", file);
        for path in ["", "/", "/app", "/app/1/x/y", "/app/../x", "/app/%2e%2e/x", "/app//x", "/a%2Fb/1/x"] {
            check(IndexKind::Helm, path, "unknown");
        }
    }

    #[test]
    fn a_python_index_has_a_list_projects_and_files() {
        check(IndexKind::Pypi, "/simple", "moved simple/");
        check(IndexKind::Pypi, "/simple/", "document /simple/ -");
        check(IndexKind::Pypi, "/simple/holy-grail/", r#"document /simple/holy-grail/ ("holy-grail")"#);
        check(IndexKind::Pypi, "/simple/holy-grail", "moved holy-grail/");
        check(IndexKind::Pypi, "/simple/Holy_.Grail/", "moved ../holy-grail/");
        check(IndexKind::Pypi, "/simple/Holy_.Grail", "moved holy-grail/");
        let file = r#"file p-1.0-py3-none-any.whl.metadata of ("p") ("1.0") in /simple/p/"#;
        check(IndexKind::Pypi, "/files/P/p-1.0-py3-none-any.whl.metadata", file);
        for path in
            ["/", "/simple//", "/simple/../x/", "/simple/a%2fb/", "/simple/a/b", "/files/p", "/files/p/a/b", "/p/"]
        {
            check(IndexKind::Pypi, path, "unknown");
        }
    }

    #[test]
    fn an_npm_registry_has_documents_and_tarballs() {
        let scoped = r#"document /@acme%2ftiny ("@acme/tiny")"#;
        for path in ["/@acme/tiny", "/@acme%2ftiny", "/@acme%2Ftiny", "/%40acme%2ftiny"] {
            check(IndexKind::Npm, path, scoped);
        }
        check(IndexKind::Npm, "/tiny", r#"document /tiny ("tiny")"#);
        check(IndexKind::Npm, "/tiny/latest", r#"document /tiny/latest ("tiny")"#);
        check(IndexKind::Npm, "/@acme/tiny/1.0.0", r#"document /@acme%2ftiny/1.0.0 ("@acme/tiny")"#);
        check(IndexKind::Npm, "/tiny/-/tiny-1.0.0.tgz", r#"file tiny-1.0.0.tgz of ("tiny") ("1.0.0") in /tiny"#);
        let file = r#"file tiny-1.0.0.tgz of ("@acme/tiny") ("1.0.0") in /@acme%2ftiny"#;
        check(IndexKind::Npm, "/@acme%2ftiny/-/tiny-1.0.0.tgz", file);
        check(IndexKind::Npm, "/-/-/--1.0.0.tgz", r#"file --1.0.0.tgz of ("-") ("1.0.0") in /-"#);
        check(IndexKind::Npm, "/-/ping", "ping");
        let tags = r#"document /-/package/@acme%2ftiny/dist-tags ("@acme/tiny")"#;
        check(IndexKind::Npm, "/-/package/@acme%2ftiny/dist-tags", tags);
        for path in ["/", "/-/v1/search", "/-/whoami", "/@acme", "/.hidden", "/a/b/c", "/tiny/-/a/b", "/tiny/.."] {
            check(IndexKind::Npm, path, "unknown");
        }
    }
}
