//! A Python index behind the gateway, with pip and uv: wheels with their metadata, checked against the hashes of the index.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use whopulls_schemas::raw::Kind;

use crate::kind_upstream::{Upstream, brief, python_program, run, sorted};
use crate::registry::digest_of;
use crate::support::{Running, client, header};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Builds a wheel with the Python at hand: a wheel is an archive.
const WHEEL: &str = r#"
import sys, zipfile
out, name, requires = sys.argv[1:]
meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {requires}\n" if requires else "")
module = name.replace("-", "_")
info = f"{module}-1.0.dist-info"
with zipfile.ZipFile(out, "w") as wheel:
    wheel.writestr(f"{module}.py", f"NAME = '{name}'\n")
    wheel.writestr(f"{info}/METADATA", meta)
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
print(meta, end="")
"#;

struct Index {
    upstream: Upstream,
    /// By project.
    hashes: Vec<(&'static str, String)>,
}

fn sha256(bytes: &[u8]) -> String {
    digest_of(bytes).trim_start_matches("sha256:").to_owned()
}

/// `tiny-app`, which needs `tiny-dep`, in HTML and in JSON.
async fn index(python: &Path, dir: &Path) -> Index {
    let upstream = Upstream::start().await;
    let mut hashes = Vec::new();
    for (project, requires) in [("tiny-app", "tiny-dep>=1"), ("tiny-dep", "")] {
        let file = format!("{}-1.0-py3-none-any.whl", project.replace('-', "_"));
        let wheel = dir.join(&file);
        let metadata = run(Command::new(python).args(["-c", WHEEL]).arg(&wheel).args([project, requires])).await;
        let wheel = std::fs::read(wheel).expect("the wheel is there");
        let (hash, beside) = (sha256(&wheel), sha256(metadata.as_bytes()));
        let url = format!("../../packages/5e/{file}");
        let html = format!(
            "<!DOCTYPE html><html><body><a href=\"{url}#sha256={hash}\" data-requires-python=\"&gt;=3.7\" \
             data-core-metadata=\"sha256={beside}\">{file}</a></body></html>"
        );
        let json = serde_json::json!({
            "meta": {"api-version": "1.1"}, "name": project, "versions": ["1.0"],
            "files": [{
                "filename": file, "url": url, "hashes": {"sha256": hash}, "requires-python": ">=3.7",
                "core-metadata": {"sha256": beside}, "size": wheel.len(), "yanked": false,
            }],
        });
        let page = format!("/simple/{project}/");
        upstream.put(&page, "text/html", html);
        upstream.put(&page, JSON, json.to_string());
        upstream.put(&format!("/packages/5e/{file}"), "application/octet-stream", wheel);
        upstream.put(&format!("/packages/5e/{file}.metadata"), "text/plain", metadata);
        hashes.push((project, hash));
    }
    upstream.put("/simple/", "text/html", "<a href=\"/simple/tiny-app/\">tiny-app</a>");
    Index { upstream, hashes }
}

fn rule(upstream: &Upstream) -> String {
    format!("[[route]]\nid = \"python\"\nkind = \"pypi\"\nprefix = \"/pypi\"\nupstream = \"{}\"\n", upstream.url(""))
}

/// What an installation of `tiny-app` leaves in the records, whoever installs.
const INSTALLED: [&str; 6] = [
    "GET /pypi/files/tiny-app/tiny_app-1.0-py3-none-any.whl 302 redirected tiny-app 1.0",
    "GET /pypi/files/tiny-app/tiny_app-1.0-py3-none-any.whl.metadata 302 redirected tiny-app 1.0",
    "GET /pypi/files/tiny-dep/tiny_dep-1.0-py3-none-any.whl 302 redirected tiny-dep 1.0",
    "GET /pypi/files/tiny-dep/tiny_dep-1.0-py3-none-any.whl.metadata 302 redirected tiny-dep 1.0",
    "GET /pypi/simple/tiny-app/ 200 proxied tiny-app -",
    "GET /pypi/simple/tiny-dep/ 200 proxied tiny-dep -",
];

fn requirements(dir: &Path, index: &Index) -> PathBuf {
    let lines = index.hashes.iter().map(|(project, hash)| format!("{project}==1.0 --hash=sha256:{hash}\n"));
    let path = dir.join("requirements.txt");
    std::fs::write(&path, lines.collect::<String>()).expect("the requirements are written");
    path
}

fn installed(target: &Path) -> bool {
    let module = |name: &str| std::fs::read_to_string(target.join(name)).unwrap_or_default();
    module("tiny_app.py") == "NAME = 'tiny-app'\n" && module("tiny_dep.py") == "NAME = 'tiny-dep'\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pip_installs_with_hashes_from_json() {
    let (Some(python), Some(pip)) = (python_program("python"), python_program("pip")) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let index = index(&python, dir.path()).await;
    let mut gateway = Running::start("", &rule(&index.upstream)).await;
    let index_url = gateway.url("/pypi/simple/");
    let pip = |target: &str| {
        let mut command = Command::new(&pip);
        command.env("HOME", dir.path()).env("PIP_CONFIG_FILE", "/dev/null").args(["--isolated", "install"]);
        command.args(["--no-cache-dir", "--disable-pip-version-check", "--no-compile", "--index-url"]);
        command.arg(&index_url).arg("--target").arg(dir.path().join(target));
        command
    };
    run(pip("plain").arg("Tiny_App")).await;
    assert!(installed(&dir.path().join("plain")));
    assert_eq!(sorted(&gateway.records()), INSTALLED);

    run(pip("hashed").arg("--require-hashes").arg("-r").arg(requirements(dir.path(), &index))).await;
    assert!(installed(&dir.path().join("hashed")));
    let records = gateway.records();
    assert!(
        records.iter().all(|r| r.kind == Kind::Pypi && r.user_agent.as_deref().is_some_and(|a| a.starts_with("pip/")))
    );
    let pages: Vec<_> = records.iter().filter(|r| r.status == 200).map(brief).collect();
    assert_eq!(pages.len(), 2);
    assert!(pages.iter().all(|page| page.contains(" cached ")), "{pages:?}");
    assert!(records.iter().all(|r| r.status == 302 || r.media_type.as_deref() == Some(JSON)));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uv_installs_with_hashes() {
    let (Some(python), Some(uv)) = (python_program("python"), python_program("uv")) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let index = index(&python, dir.path()).await;
    let mut gateway = Running::start("", &rule(&index.upstream)).await;
    let target = dir.path().join("target");
    let mut command = Command::new(uv);
    // The file system of a test's folder may be another one than the cache's.
    command.env("HOME", dir.path()).env("UV_LINK_MODE", "copy").args(["pip", "install", "--no-config", "--no-cache"]);
    command
        .arg("--python")
        .arg(&python)
        .args(["--require-hashes", "--default-index"])
        .arg(gateway.url("/pypi/simple/"));
    command.arg("--target").arg(&target).arg("-r").arg(requirements(dir.path(), &index));
    run(&mut command).await;
    assert!(installed(&target));
    assert_eq!(sorted(&gateway.records()), INSTALLED);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pip_installs_from_an_index_that_has_html_alone() {
    let (Some(python), Some(pip)) = (python_program("python"), python_program("pip")) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let index = index(&python, dir.path()).await;
    for (project, _) in &index.hashes {
        let page = format!("/simple/{project}/");
        let html = client().get(index.upstream.url(&page)).header("accept", "text/html").send().await.expect("a page");
        let html = html.bytes().await.expect("a body");
        index.upstream.remove(&page);
        index.upstream.put(&page, "text/html", html);
    }
    let mut gateway = Running::start("", &rule(&index.upstream)).await;
    let mut command = Command::new(pip);
    command.env("HOME", dir.path()).env("PIP_CONFIG_FILE", "/dev/null").args(["--isolated", "download"]);
    command.args(["--no-cache-dir", "--disable-pip-version-check", "--require-hashes", "--index-url"]);
    command.arg(gateway.url("/pypi/simple/")).arg("--dest").arg(dir.path().join("wheels"));
    run(command.arg("-r").arg(requirements(dir.path(), &index))).await;
    for (project, hash) in &index.hashes {
        let file = format!("{}-1.0-py3-none-any.whl", project.replace('-', "_"));
        let wheel = std::fs::read(dir.path().join("wheels").join(file)).expect("the wheel is there");
        assert_eq!(&sha256(&wheel), hash);
    }
    let records = gateway.records();
    let pages: Vec<_> = records.iter().filter(|r| r.status == 200).filter_map(|r| r.media_type.as_deref()).collect();
    assert_eq!(pages, ["text/html", "text/html"]);
    gateway.stop().await;
}

#[tokio::test]
async fn names_are_normalized_lists_are_kept_and_what_is_missing_is_said() {
    let upstream = Upstream::start().await;
    upstream.put("/simple/", "text/html", "<a href=\"/simple/tiny-app/\">tiny-app</a>");
    upstream.put("/simple/tiny-app/", "text/html", "<a href=\"/x/tiny_app-1.0.tar.gz#sha256=aa\">x</a>");
    let mut gateway = Running::start("", &rule(&upstream)).await;
    let get = |path: &str| client().get(gateway.url(path)).send();
    for (asked, to) in [
        ("/pypi/simple", "simple/"),
        ("/pypi/simple/Tiny_.App/", "../tiny-app/"),
        ("/pypi/simple/tiny-app", "tiny-app/"),
    ] {
        let moved = get(asked).await.expect("an answer");
        assert_eq!((moved.status().as_u16(), header(&moved, "location")), (301, Some(to)), "{asked}");
    }
    let list = get("/pypi/simple/").await.expect("an answer").text().await.expect("a page");
    assert_eq!(list, "<a href=\"tiny-app/\">tiny-app</a>");
    let page = get("/pypi/simple/tiny-app/").await.expect("an answer");
    assert_eq!((header(&page, "vary"), header(&page, "set-cookie")), (Some("accept"), None));
    let tag = header(&page, "etag").expect("a tag").to_owned();
    let page = page.text().await.expect("a page");
    assert_eq!(page, "<a href=\"../../files/tiny-app/tiny_app-1.0.tar.gz#sha256=aa\">x</a>");
    let again = client().get(gateway.url("/pypi/simple/tiny-app/")).header("if-none-match", &tag).send();
    assert_eq!(again.await.expect("an answer").status(), 304);
    let file = get("/pypi/files/tiny-app/tiny_app-1.0.tar.gz").await.expect("an answer");
    assert_eq!(header(&file, "location"), Some(upstream.url("/x/tiny_app-1.0.tar.gz").as_str()));
    for missing in
        ["/pypi/simple/none/", "/pypi/files/tiny-app/other-1.0.tar.gz", "/pypi/", "/pypi/legacy/", "/pypix/simple/"]
    {
        assert_eq!(get(missing).await.expect("an answer").status(), 404, "{missing}");
    }
    let records: Vec<_> = gateway.records().iter().map(brief).collect();
    assert!(records.contains(&"GET /pypi/simple/Tiny_.App/ 301 redirected tiny-app -".to_owned()), "{records:?}");
    assert!(records.contains(&"GET /pypi/simple/tiny-app/ 304 cached tiny-app -".to_owned()), "{records:?}");
    assert!(records.contains(&"GET /pypi/simple/none/ 404 proxied none -".to_owned()), "{records:?}");
    gateway.stop().await;
}
