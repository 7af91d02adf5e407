//! An npm registry behind the gateway, with npm itself: tarballs that `npm pack` made, checked against their integrity.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use tokio::process::Command;
use whopulls_schemas::raw::Kind;

use crate::kind_upstream::{Upstream, run, sorted, system_program};
use crate::support::{Running, client, header};

/// A scoped package and the one that it needs, packed.
async fn registry(npm: &Path, dir: &Path) -> Upstream {
    let upstream = Upstream::start().await;
    let packages = [("@acme/tiny", json!({"tiny-dep": "^1.0.0"})), ("tiny-dep", json!({}))];
    for (name, dependencies) in packages {
        let bare = name.rsplit('/').next().expect("a name");
        let folder = dir.join(bare);
        std::fs::create_dir(&folder).expect("a folder");
        let manifest = json!({"name": name, "version": "1.0.0", "main": "index.js", "dependencies": dependencies});
        std::fs::write(folder.join("package.json"), manifest.to_string()).expect("written");
        std::fs::write(folder.join("index.js"), format!("module.exports = '{name}';\n")).expect("written");
        // What npm packs it keeps, and would then not download.
        let mut pack = npm_command(npm, dir);
        pack.env("npm_config_cache", dir.join("packing")).args(["pack", "--silent"]).current_dir(&folder);
        let packed = run(&mut pack).await;
        let tarball = std::fs::read(folder.join(packed.trim())).expect("the tarball is there");
        let path = format!("/files/{bare}.tgz");
        let integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(&tarball)));
        let mut version = manifest;
        version["dist"] = json!({"tarball": upstream.url(&path), "integrity": integrity});
        let document = json!({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}});
        let at = format!("/{}", name.replace('/', "%2f"));
        upstream.put(&at, "application/json", document.to_string());
        upstream.put(&format!("/-/package{at}/dist-tags"), "application/json", document["dist-tags"].to_string());
        upstream.put(&format!("{at}/1.0.0"), "application/json", document["versions"]["1.0.0"].to_string());
        upstream.put(&path, "application/octet-stream", tarball);
    }
    upstream
}

/// npm with a home, cache and settings of the test's own.
fn npm_command(npm: &Path, dir: &Path) -> Command {
    let mut command = Command::new(npm);
    command.env("HOME", dir).env("npm_config_cache", dir.join("cache")).env("npm_config_userconfig", "/dev/null");
    command.env("npm_config_update_notifier", "false").env("npm_config_fund", "false");
    command
}

fn rule(upstream: &Upstream) -> String {
    format!("[[route]]\nid = \"npm\"\nkind = \"npm\"\nprefix = \"/npm\"\nupstream = \"{}\"\n", upstream.url(""))
}

const DOWNLOADED: [&str; 2] = [
    "GET /npm/@acme/tiny/-/tiny-1.0.0.tgz 302 redirected @acme/tiny 1.0.0",
    "GET /npm/tiny-dep/-/tiny-dep-1.0.0.tgz 302 redirected tiny-dep 1.0.0",
];

fn project(dir: &Path) -> PathBuf {
    let project = dir.join("project");
    std::fs::create_dir(&project).expect("a folder");
    let manifest = json!({"name": "project", "version": "1.0.0", "dependencies": {"@acme/tiny": "1"}});
    std::fs::write(project.join("package.json"), manifest.to_string()).expect("written");
    project
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn npm_installs_and_installs_again_from_its_lock() {
    let Some(npm) = system_program("npm") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let upstream = registry(&npm, dir.path()).await;
    let mut gateway = Running::start("", &rule(&upstream)).await;
    let project = project(dir.path());
    let from = format!("--registry={}", gateway.url("/npm/"));
    run(npm_command(&npm, dir.path()).args(["install", &from]).current_dir(&project)).await;
    let installed = project.join("node_modules/@acme/tiny/index.js");
    assert_eq!(std::fs::read_to_string(installed).expect("it is installed"), "module.exports = '@acme/tiny';\n");

    let records = gateway.records();
    assert!(records.iter().all(|r| r.kind == Kind::Npm));
    let gets: Vec<_> = sorted(&records).into_iter().filter(|record| record.starts_with("GET")).collect();
    let documents = ["GET /npm/@acme%2ftiny 200 proxied @acme/tiny -", "GET /npm/tiny-dep 200 proxied tiny-dep -"];
    assert_eq!(gets, [documents[0], DOWNLOADED[0], documents[1], DOWNLOADED[1]]);
    // Its audit wants a POST, which a registry need not have.
    assert!(records.iter().filter(|r| r.method != "GET").all(|r| r.status == 405), "{records:?}");

    let lock: Value =
        serde_json::from_slice(&std::fs::read(project.join("package-lock.json")).expect("a lock")).expect("JSON");
    let resolved = lock["packages"]["node_modules/@acme/tiny"]["resolved"].as_str();
    assert_eq!(resolved, Some(gateway.url("/npm/@acme/tiny/-/tiny-1.0.0.tgz").as_str()));
    std::fs::remove_dir_all(dir.path().join("cache")).expect("the cache goes");
    run(npm_command(&npm, dir.path()).args(["ci", "--no-audit", &from]).current_dir(&project)).await;
    assert_eq!(sorted(&gateway.records()), DOWNLOADED);
    let ping = run(npm_command(&npm, dir.path()).args(["ping", "--json", &from])).await;
    assert!(ping.contains("registry"), "{ping}");
    assert_eq!(sorted(&gateway.records()), ["GET /npm/-/ping 200 served - -"]);
    let tags = run(npm_command(&npm, dir.path()).args(["dist-tag", "ls", "@acme/tiny", &from])).await;
    assert_eq!(tags.trim(), "latest: 1.0.0");
    assert_eq!(sorted(&gateway.records()), ["GET /npm/-/package/@acme%2ftiny/dist-tags 200 proxied @acme/tiny -"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_document_names_the_address_that_its_client_asked_for_or_the_configured_one() {
    let upstream = Upstream::start().await;
    let tarball = upstream.url("/files/5e1f");
    upstream.put(
        "/acme",
        "application/json",
        json!({"versions": {"1.0.0": {"dist": {"tarball": tarball}}}}).to_string(),
    );
    let named = |document: &[u8]| -> String {
        let document: Value = serde_json::from_slice(document).expect("JSON");
        document["versions"]["1.0.0"]["dist"]["tarball"].as_str().expect("a URL").to_owned()
    };
    for (public_url, expected) in
        [("", "http://get.example.org:81/npm"), ("https://npm.example.org", "https://npm.example.org/npm")]
    {
        let public = if public_url.is_empty() { String::new() } else { format!("public_url = \"{public_url}\"") };
        let gateway = Running::start(&public, &rule(&upstream)).await;
        let ask = |host: &'static str| client().get(gateway.url("/npm/acme")).header("host", host).send();
        let response = ask("get.example.org:81").await.expect("an answer");
        let first = header(&response, "etag").map(String::from);
        assert_eq!(named(&response.bytes().await.expect("a body")), format!("{expected}/acme/-/acme-1.0.0.tgz"));
        let other = ask("b.example.org").await.expect("an answer");
        assert_eq!(header(&other, "etag").map(String::from) == first, !public_url.is_empty());
        let file = client().get(gateway.url("/npm/acme/-/acme-1.0.0.tgz")).send().await.expect("an answer");
        assert_eq!(header(&file, "location"), Some(tarball.as_str()));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_a_registry_has_not_is_said_in_its_words() {
    let upstream = Upstream::start().await;
    let gateway = Running::start("", &rule(&upstream)).await;
    for path in ["/npm/none", "/npm/-/v1/search?text=x", "/npm/-/whoami", "/npm/", "/npm/none/-/none-1.0.0.tgz"] {
        let missing = client().get(gateway.url(path)).send().await.expect("an answer");
        assert_eq!(
            (missing.status().as_u16(), header(&missing, "content-type")),
            (404, Some("application/json")),
            "{path}"
        );
        assert!(missing.text().await.expect("a body").contains("\"error\""));
    }
    assert_eq!(client().put(gateway.url("/npm/none")).send().await.expect("an answer").status(), 405);
    gateway.stop().await;
}
