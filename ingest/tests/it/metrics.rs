//! The page of metrics: what Prometheus's own linter asks of names, units and texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Running, client};

const RULES: &str = r#"
[[route]]
id = "files"
kind = "file"
match = "/f/{package}"
to = "https://files.example.org/{package}"
"#;

async fn page(gateway: &Running) -> String {
    let admin = gateway.admin.expect("an address");
    let answer = client().get(format!("http://{admin}/metrics")).send().await.expect("an answer");
    answer.text().await.expect("text")
}

/// Endings that name a unit which is not a base unit, or which shortens one.
const BAD_UNITS: [&str; 12] = [
    "_ms",
    "_us",
    "_ns",
    "_milliseconds",
    "_microseconds",
    "_minutes",
    "_hours",
    "_days",
    "_kb",
    "_mb",
    "_kilobytes",
    "_megabytes",
];

#[tokio::test]
async fn every_metric_keeps_to_the_conventions() {
    let gateway = Running::start("admin_listen = \"127.0.0.1:0\"", RULES).await;
    for path in ["/f/x", "/f/y", "/nothing"] {
        client().get(gateway.url(path)).send().await.expect("an answer");
    }
    let page = page(&gateway).await;
    assert!(page.ends_with("# EOF\n"), "{page}");
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(helped.insert(name.to_owned()), "{name} is explained twice");
            assert!(help.len() > 10 && help.ends_with('.'), "{name}: {help}");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
        }
    }
    assert_eq!(kinds.keys().collect::<BTreeSet<_>>(), helped.iter().collect(), "each has a type and a text");
    for (name, kind) in &kinds {
        assert!(name.starts_with("whopulls_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        assert!(!BAD_UNITS.iter().any(|unit| name.ends_with(unit)), "{name} is not in a base unit");
        for word in ["counter", "gauge", "histogram", "total", "count", "sum", "bucket", "info"] {
            assert!(!name.ends_with(&format!("_{word}")), "{name} ends as a {word} of its own");
        }
        assert!(["counter", "gauge", "histogram", "info"].contains(&kind.as_str()), "{name} is a {kind}");
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let is_total = kinds.get(name.strip_suffix("_total").unwrap_or_default()).is_some_and(|k| k == "counter");
        let is_counter = kinds.get(name).is_some_and(|kind| kind == "counter");
        assert!(!is_counter && (is_total || !name.ends_with("_total")), "{line}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn requests_are_counted_by_rule_outcome_and_status_and_bytes_by_rule() {
    let gateway = Running::start("admin_listen = \"127.0.0.1:0\"", RULES).await;
    for path in ["/f/x", "/f/y", "/nothing", "/healthz"] {
        client().get(gateway.url(path)).send().await.expect("an answer");
    }
    client().post(gateway.url("/f/x")).send().await.expect("an answer");
    let page = page(&gateway).await;
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "whopulls_gateway_requests_total{route=\"files\",outcome=\"redirected\",status=\"3xx\"} 2",
        "whopulls_gateway_requests_total{route=\"files\",outcome=\"refused\",status=\"4xx\"} 1",
        "whopulls_gateway_requests_total{route=\"none\",outcome=\"refused\",status=\"4xx\"} 1",
        "whopulls_gateway_sent_bytes_total{route=\"none\"} 31",
        "whopulls_config_last_reload_successful 1",
        &format!("whopulls_build_info{{version=\"{version}\"}} 1"),
    ] {
        assert!(page.lines().any(|found| found == line), "`{line}` is not in\n{page}");
    }
    gateway.stop().await;
}
