//! Index documents in the cache: confirmed when due, answered when the upstream is down, and there after a restart.

use http::StatusCode;
use serde_json::json;

use crate::kind_upstream::{Upstream, brief};
use crate::support::{Running, client, header};

fn rule(upstream: &Upstream, ttl_s: u64) -> String {
    let url = upstream.url("");
    format!("[[route]]\nid = \"npm\"\nkind = \"npm\"\nprefix = \"/npm\"\nupstream = \"{url}\"\nttl_s = {ttl_s}\n")
}

fn document(upstream: &Upstream, version: &str) -> String {
    json!({"versions": {version: {"dist": {"tarball": upstream.url(&format!("/files/{version}"))}}}}).to_string()
}

#[tokio::test]
async fn a_document_that_is_due_is_confirmed_by_its_tag_and_a_changed_one_is_taken() {
    let upstream = Upstream::start().await;
    upstream.put("/acme", "application/json", document(&upstream, "1.0.0"));
    let mut gateway = Running::start("", &rule(&upstream, 0)).await;
    let ask = || async {
        client().get(gateway.url("/npm/acme")).send().await.expect("an answer").text().await.expect("a body")
    };
    let first = ask().await;
    assert_eq!(ask().await, first);
    assert_eq!(upstream.asked(), ["GET /acme 200", "GET /acme 304"]);
    upstream.put("/acme", "application/json", document(&upstream, "1.1.0"));
    assert!(ask().await.contains("acme-1.1.0.tgz"));
    assert_eq!(upstream.asked(), ["GET /acme 200"]);
    upstream.remove("/acme");
    assert_eq!(client().get(gateway.url("/npm/acme")).send().await.expect("an answer").status(), 404);
    upstream.break_with(Some(StatusCode::SERVICE_UNAVAILABLE));
    let gone = client().get(gateway.url("/npm/acme")).send().await.expect("an answer");
    assert_eq!(gone.status(), 502, "what the upstream took back is not answered");
    let records: Vec<_> = gateway.records().iter().map(brief).collect();
    assert_eq!(
        records,
        [
            "GET /npm/acme 200 proxied acme -",
            "GET /npm/acme 200 cached acme -",
            "GET /npm/acme 200 proxied acme -",
            "GET /npm/acme 404 proxied acme -",
            "GET /npm/acme 502 upstream_error acme -",
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_newer_than_a_fresh_document_is_looked_for_anew() {
    let upstream = Upstream::start().await;
    upstream.put("/acme", "application/json", document(&upstream, "1.0.0"));
    let gateway = Running::start("", &rule(&upstream, 3600)).await;
    let file = |version: &str| {
        let request = client().get(gateway.url(&format!("/npm/acme/-/acme-{version}.tgz"))).send();
        async move { request.await.map(|r| header(&r, "location").map(String::from)).expect("an answer") }
    };
    assert_eq!(file("1.0.0").await, Some(upstream.url("/files/1.0.0")));
    assert_eq!(file("9.9.9").await, None);
    assert_eq!(file("9.9.9").await, None);
    assert_eq!(upstream.asked(), ["GET /acme 200"], "a document of this moment is not asked for again");
    gateway.stop().await;
}

#[tokio::test]
async fn while_the_upstream_is_down_documents_are_stale_and_files_still_found() {
    let upstream = Upstream::start().await;
    upstream.put("/acme", "application/json", document(&upstream, "1.0.0"));
    let rules =
        format!("{}[[upstream]]\nid = \"up\"\nurl = \"{}\"\nretries_max = 0\n", rule(&upstream, 0), upstream.url(""));
    let mut gateway = Running::start("", &rules).await;
    let ask = |path: &str| client().get(gateway.url(path)).send();
    assert_eq!(ask("/npm/acme").await.expect("an answer").status(), 200);
    assert_eq!(ask("/npm/acme/-/acme-1.0.0.tgz").await.expect("an answer").status(), 302);
    upstream.break_with(Some(StatusCode::SERVICE_UNAVAILABLE));
    let stale = ask("/npm/acme").await.expect("an answer");
    assert_eq!((stale.status().as_u16(), header(&stale, "warning")), (200, Some("110 - \"Response is Stale\"")));
    let file = ask("/npm/acme/-/acme-1.0.0.tgz").await.expect("an answer");
    assert_eq!(header(&file, "location"), Some(upstream.url("/files/1.0.0").as_str()));
    assert_eq!(ask("/npm/other").await.expect("an answer").status(), 502);
    // Where npm's registry has a tarball is known even without the document.
    let file = ask("/npm/other/-/other-1.0.0.tgz").await.expect("an answer");
    assert_eq!(header(&file, "location"), Some(upstream.url("/other/-/other-1.0.0.tgz").as_str()));
    let records = gateway.records();
    let stale: Vec<_> = records.iter().map(brief).filter(|record| record.contains("stale")).collect();
    assert_eq!(stale, ["GET /npm/acme 200 stale acme -"]);
    assert!(records.iter().all(|r| r.upstream.as_deref() == Some("up")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_the_documents() {
    let upstream = Upstream::start().await;
    upstream.put("/acme", "application/json", document(&upstream, "1.0.0"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cache = format!("[cache]\ndir = \"{}\"\n", dir.path().join("cache").display());
    let rules = format!("{cache}{}", rule(&upstream, 3600));
    let first = Running::start("", &rules).await;
    assert_eq!(client().get(first.url("/npm/acme")).send().await.expect("an answer").status(), 200);
    first.stop().await;
    upstream.break_with(Some(StatusCode::SERVICE_UNAVAILABLE));
    let mut second = Running::start("", &rules).await;
    let kept = client().get(second.url("/npm/acme")).send().await.expect("an answer");
    assert_eq!(kept.status(), 200);
    assert!(kept.text().await.expect("a body").contains("/npm/acme/-/acme-1.0.0.tgz"));
    assert_eq!(second.records().iter().map(brief).collect::<Vec<_>>(), ["GET /npm/acme 200 cached acme -"]);
    second.stop().await;
}

#[tokio::test]
async fn what_is_no_document_is_an_error_of_the_upstream() {
    let upstream = Upstream::start().await;
    upstream.put("/acme", "application/json", "<html>maintenance</html>");
    let mut gateway = Running::start("", &rule(&upstream, 60)).await;
    let refused = client().get(gateway.url("/npm/acme")).send().await.expect("an answer");
    assert_eq!(refused.status(), 502);
    assert!(!refused.text().await.expect("a body").contains("maintenance"));
    assert_eq!(gateway.records().iter().map(brief).collect::<Vec<_>>(), ["GET /npm/acme 502 upstream_error acme -"]);
    gateway.stop().await;
}

#[tokio::test]
async fn files_of_an_upstream_with_credentials_pass_through_and_the_credentials_stay() {
    let upstream = Upstream::start().await;
    upstream.ask_for("Basic dXNlcjpzM2NyZXQ=");
    upstream.put("/acme", "application/json", document(&upstream, "1.0.0"));
    upstream.put("/files/1.0.0", "application/octet-stream", "the tarball");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "s3cret\n").expect("written");
    let url = upstream.url("");
    let named = format!(
        "[[upstream]]\nid = \"up\"\nurl = \"{url}\"\nusername = \"user\"\npassword_file = \"{}\"\n",
        password.display()
    );
    let mut gateway = Running::start("", &format!("{}{named}", rule(&upstream, 60))).await;
    let ask = |path: &str| client().get(gateway.url(path)).header("authorization", "Bearer own").send();
    let document = ask("/npm/acme").await.expect("an answer").text().await.expect("a body");
    assert!(document.contains("/npm/acme/-/acme-1.0.0.tgz") && !document.contains("s3cret"), "{document}");
    let file = ask("/npm/acme/-/acme-1.0.0.tgz").await.expect("an answer");
    assert_eq!(file.status(), 200);
    assert_eq!(file.text().await.expect("a body"), "the tarball");
    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(brief).collect();
    assert_eq!(seen, ["GET /npm/acme 200 proxied acme -", "GET /npm/acme/-/acme-1.0.0.tgz 200 proxied acme 1.0.0"]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_first_rule_in_the_file_answers_whatever_its_kind() {
    let upstream = Upstream::start().await;
    upstream.put("/acme", "application/json", document(&upstream, "1.0.0"));
    let file = "[[route]]\nid = \"file\"\nkind = \"file\"\nmatch = \"/npm/{package}\"\nto = \"https://example.org/{package}\"\n";
    for (rules, status) in
        [(format!("{file}{}", rule(&upstream, 60)), 302), (format!("{}{file}", rule(&upstream, 60)), 200)]
    {
        let gateway = Running::start("", &rules).await;
        assert_eq!(client().get(gateway.url("/npm/acme")).send().await.expect("an answer").status(), status);
        gateway.stop().await;
    }
}
