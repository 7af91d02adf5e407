//! A Helm repository behind the gateway, with helm itself where `scripts/clients` has made it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use whopulls_schemas::raw::Kind;

use crate::kind_upstream::{Upstream, brief, run};
use crate::support::{Running, client, header};

/// helm is a Go program that only the clients' own test needs; its absence is said and is no failure here.
#[expect(clippy::disallowed_methods, reason = "the cache's place is in the environment")]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn helm_program() -> Option<PathBuf> {
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cache"))).ok()?;
    let entries = std::fs::read_dir(cache.join("whopulls")).ok()?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin/helm")));
    let found = folders.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: helm is missing");
    }
    found
}

fn rule(upstream: &Upstream) -> String {
    format!(
        "[[route]]\nid = \"charts\"\nkind = \"helm\"\nprefix = \"/charts\"\nupstream = \"{}\"\n",
        upstream.url("/stable")
    )
}

fn index(upstream: &Upstream, extra: &str) -> String {
    let storage = upstream.url("/storage");
    format!(
        "apiVersion: v1\n# kept\nentries:\n  app:\n  - apiVersion: v2\n    name: app\n    version: 1.0.0+b.1\n    \
         urls:\n    - {storage}/app-1.0.0+b.1.tgz\n    digest: DIGEST\n  - apiVersion: v2\n    name: app\n    version: 0.9.0\n    \
         urls:\n    - charts/app-0.9.0.tgz\n{extra}generated: \"2024-05-01T00:00:00Z\"\n"
    )
}

fn helm_command(helm: &Path, home: &Path) -> Command {
    let mut command = Command::new(helm);
    command.env("HOME", home).env("HELM_CACHE_HOME", home.join("cache"));
    command.env("HELM_CONFIG_HOME", home.join("config")).env("HELM_DATA_HOME", home.join("data"));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_adds_the_repository_and_pulls_a_chart_with_its_signature() {
    let Some(helm) = helm_program() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let chart = dir.path().join("app");
    std::fs::create_dir_all(chart.join("templates")).expect("a folder");
    let metadata = "apiVersion: v2\nname: app\nversion: 1.0.0+b.1\n";
    std::fs::write(chart.join("Chart.yaml"), metadata).expect("written");
    run(helm_command(&helm, dir.path()).arg("package").arg(&chart).arg("-d").arg(dir.path())).await;
    let packed = std::fs::read(dir.path().join("app-1.0.0+b.1.tgz")).expect("the chart is packed");

    let upstream = Upstream::start().await;
    upstream.put("/stable/index.yaml", "text/yaml", index(&upstream, "").replace("    digest: DIGEST\n", ""));
    upstream.put("/storage/app-1.0.0+b.1.tgz", "application/gzip", packed.clone());
    upstream.put("/storage/app-1.0.0+b.1.tgz.prov", "text/plain", "a signature");
    let mut gateway = Running::start("", &rule(&upstream)).await;
    run(helm_command(&helm, dir.path()).args(["repo", "add", "here", &gateway.url("/charts")])).await;
    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("a folder");
    let pull = ["pull", "here/app", "--version", "1.0.0+b.1", "--prov", "-d"];
    run(helm_command(&helm, dir.path()).args(pull).arg(&out)).await;
    let find = |ending: &str| {
        let entries = std::fs::read_dir(&out).expect("a folder").filter_map(|entry| Some(entry.ok()?.path()));
        let found = entries.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).expect("it was pulled");
        std::fs::read(found).expect("readable")
    };
    assert_eq!((find(".tgz"), find(".prov")), (packed, b"a signature".to_vec()));
    let records = gateway.records();
    assert!(
        records.iter().all(|r| r.kind == Kind::Helm && r.user_agent.as_deref().is_some_and(|a| a.starts_with("Helm/")))
    );
    assert_eq!(
        records.iter().map(brief).collect::<Vec<_>>(),
        [
            "GET /charts/index.yaml 200 proxied - -",
            "GET /charts/app/1.0.0+b.1/app-1.0.0+b.1.tgz 302 redirected app 1.0.0+b.1",
            "GET /charts/app/1.0.0+b.1/app-1.0.0+b.1.tgz.prov 302 redirected app 1.0.0+b.1",
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn an_index_keeps_its_lines_and_its_charts_are_found() {
    let upstream = Upstream::start().await;
    let text = index(&upstream, "");
    upstream.put("/stable/index.yaml", "text/yaml", text.clone());
    let mut gateway = Running::start("", &rule(&upstream)).await;
    let got = client().get(gateway.url("/charts/index.yaml")).send().await.expect("an answer");
    assert_eq!((header(&got, "content-type"), header(&got, "vary")), (Some("text/yaml"), None));
    let got = got.text().await.expect("a body");
    let changed: Vec<_> =
        text.lines().zip(got.lines()).filter(|(before, after)| before != after).map(|(_, new)| new).collect();
    assert_eq!(changed, ["    - \"app/1.0.0+b.1/app-1.0.0+b.1.tgz\"", "    - \"app/0.9.0/app-0.9.0.tgz\""]);
    for (path, to) in [
        ("app/1.0.0+b.1/app-1.0.0+b.1.tgz", upstream.url("/storage/app-1.0.0+b.1.tgz")),
        ("app/0.9.0/app-0.9.0.tgz", upstream.url("/stable/charts/app-0.9.0.tgz")),
        ("app/0.9.0/app-0.9.0.tgz.prov", upstream.url("/stable/charts/app-0.9.0.tgz.prov")),
    ] {
        let file = client().get(gateway.url(&format!("/charts/{path}"))).send().await.expect("an answer");
        assert_eq!((file.status().as_u16(), header(&file, "location")), (302, Some(to.as_str())));
    }
    for missing in ["/charts/app/2/app-2.tgz", "/charts/", "/charts/app"] {
        assert_eq!(client().get(gateway.url(missing)).send().await.expect("an answer").status(), 404);
    }
    assert_eq!(gateway.records().len(), 7);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_ten_megabytes_is_rewritten_once() {
    let upstream = Upstream::start().await;
    let mut extra = String::from("  many:\n");
    for version in 0..40_000 {
        let written = write!(
            extra,
            "  - name: many\n    description: \"A chart among many, with a text as long as they have: {version}\"\n    \
             digest: 705ebc5d83a1b4ee1ff5e4c5d6b7a5be5fe6ba8a3ef5f5d5b5b5b5b5b5b5b5b5\n    version: 1.{version}.0\n    \
             urls:\n    - https://storage.example.org/many-1.{version}.0.tgz\n"
        );
        written.expect("a text takes all");
    }
    let text = index(&upstream, &extra);
    assert!(text.len() > 10_000_000, "{}", text.len());
    upstream.put("/stable/index.yaml", "text/yaml", text);
    let mut gateway = Running::start("", &rule(&upstream)).await;
    let url = gateway.url("/charts/index.yaml");
    let all: Vec<_> = (0..8).map(|_| tokio::spawn(client().get(&url).send())).collect();
    for one in all {
        let got = one.await.expect("it ends").expect("an answer").text().await.expect("a body");
        assert!(got.contains("- \"many/1.39999.0/many-1.39999.0.tgz\"\n"), "the last one is rewritten");
    }
    let file = client().get(gateway.url("/charts/many/1.777.0/many-1.777.0.tgz")).send().await.expect("an answer");
    assert_eq!(header(&file, "location"), Some("https://storage.example.org/many-1.777.0.tgz"));
    assert_eq!(upstream.asked(), ["GET /stable/index.yaml 200"], "many who ask at once are one request");
    assert_eq!(gateway.records().len(), 9);
    gateway.stop().await;
}
