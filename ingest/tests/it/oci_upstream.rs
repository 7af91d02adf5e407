//! Upstreams that fail, lead astray or are asked too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use whopulls_schemas::raw::Outcome;

use crate::oci_cache::metric;
use crate::origin::{Origin, Reaction};
use crate::process::Process;
use crate::registry::{MANIFEST, digest_of};
use crate::secure::{Secure, written};
use crate::support::{Running, client, header, until};

const BODY: &[u8] = b"{\"schemaVersion\":2}";
const TAG: &str = "/v2/acme/app/manifests/1.0";

fn route(origin: &Origin, more: &str) -> String {
    format!(
        "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image}}\"\nname = \"up/{{image}}\"\nupstream = \"{}\"\n{more}\n",
        origin.url("")
    )
}

fn upstream(origin: &Origin, more: &str) -> String {
    let url = origin.url("");
    format!(
        "[[upstream]]\nid = \"up\"\nurl = \"{url}\"\n{more}\n[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image}}\"\nupstream = \"up\"\n"
    )
}

async fn get(gateway: &Running, path: &str) -> reqwest::Response {
    client().get(gateway.url(path)).send().await.expect("an answer")
}

fn manifest() -> Reaction {
    Reaction::of(MANIFEST, BODY)
}

/// Fails in this way `times` times, then answers.
async fn failing(times: usize, failure: Reaction) -> Origin {
    let seen = AtomicUsize::new(0);
    Origin::start(move |_| if seen.fetch_add(1, Ordering::SeqCst) < times { failure.clone() } else { manifest() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_by_itself_is_tried_again_and_a_refusal_is_not() {
    for (failure, status, asked) in [
        (Reaction::Reset, 200, 3),
        (Reaction::status(502), 200, 3),
        (Reaction::status(503), 200, 3),
        (Reaction::status(500), 502, 1),
        (Reaction::status(404), 404, 1),
        (Reaction::status(403), 403, 1),
        (Reaction::status(429), 429, 1),
    ] {
        let origin = failing(2, failure.clone()).await;
        let gateway = Running::start("", &route(&origin, "")).await;
        let response = get(&gateway, TAG).await;
        assert_eq!((response.status().as_u16(), origin.count()), (status, asked), "{failure:?}");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_body_that_breaks_off_is_asked_for_once_more() {
    let broken = Reaction::BreakOff { headers: Vec::new(), length: BODY.len(), body: BODY[..5].to_vec() };
    for (times, status, asked) in [(1, 200, 2), (2, 502, 2)] {
        let origin = failing(times, broken.clone()).await;
        let gateway = Running::start("", &route(&origin, "")).await;
        assert_eq!((get(&gateway, TAG).await.status().as_u16(), origin.count()), (status, asked));
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_have_an_end() {
    let origin = failing(usize::MAX, Reaction::Reset).await;
    let gateway = Running::start("", &upstream(&origin, "retries_max = 1")).await;
    assert_eq!((get(&gateway, TAG).await.status().as_u16(), origin.count()), (502, 2));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let origin = Origin::start(|_| {
        let refused = Reaction::status(429).with("retry-after", "77");
        refused.with("ratelimit-limit", "100;w=21600").with("ratelimit-remaining", "3;w=21600")
    })
    .await;
    let mut gateway = Running::start("admin_listen = \"127.0.0.1:0\"", &upstream(&origin, "")).await;
    let response = get(&gateway, TAG).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (429, Some("77")));
    assert!(response.text().await.expect("a body").contains("TOOMANYREQUESTS"));
    let remaining = "whopulls_upstream_ratelimit_remaining{upstream=\"up\"}";
    let admin = gateway.admin.expect("an address");
    assert_eq!(metric(admin, remaining).await, 3);
    assert_eq!(metric(admin, "whopulls_upstream_requests_total{upstream=\"up\",result=\"ratelimited\"}").await, 1);
    let records = gateway.records();
    assert_eq!((records[0].outcome, records[0].upstream_status), (Some(Outcome::UpstreamError), Some(429)));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_of_a_private_authority_is_trusted_when_its_certificate_is_named() {
    let origin = Origin::start(|_| manifest()).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (roots, certificates) = written(dir.path(), "one", &["localhost"]);
    let secure = Secure::start(dir.path(), "tls_listen = \"127.0.0.1:0\"", &(certificates + &route(&origin, ""))).await;
    let over_tls = |ca: &str| {
        let url = format!("https://localhost:{}", secure.tls_address().port());
        format!(
            "[[upstream]]\nid = \"up\"\nurl = \"{url}\"\nretries_max = 0\n{ca}\n\
             [[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image}}\"\nupstream = \"up\"\n"
        )
    };
    for (ca, status) in [(format!("ca_file = \"{}\"", roots.display()), 200), (String::new(), 502)] {
        let gateway = Running::start("", &over_tls(&ca)).await;
        assert_eq!(get(&gateway, TAG).await.status().as_u16(), status, "{ca}");
        gateway.stop().await;
    }
    secure.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_nearly_spent_is_said_once() {
    let origin =
        Origin::start(|_| manifest().with("ratelimit-limit", "100;w=21600").with("ratelimit-remaining", "9;w=21600"))
            .await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("whopulls.toml");
    let data = dir.path().display();
    let text = format!("data = \"{data}\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n{}", upstream(&origin, ""));
    std::fs::write(&config, text).expect("the configuration is written");
    let gateway = Process::start_with(&config);
    for tag in ["1.0", "2.0"] {
        let url = format!("http://{}/v2/acme/app/manifests/{tag}", gateway.address);
        assert_eq!(client().get(url).send().await.expect("an answer").status(), 200);
    }
    let said = "less than a tenth of its rate limit is left";
    until("it is said", async || gateway.log().contains(said)).await;
    assert_eq!(gateway.log().matches(said).count(), 1, "{}", gateway.log());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_upstream_answers_when_the_first_fails_also_for_digests() {
    let layer = vec![7; 2 << 20];
    let digest = digest_of(&layer);
    let path = format!("/v2/mirror/app/blobs/{digest}");
    let second = Origin::start(move |asked| {
        assert!(asked.path.starts_with("/v2/mirror/app/"), "{}", asked.path);
        if asked.path == path { Reaction::of("application/octet-stream", &layer) } else { manifest() }
    })
    .await;
    let first = Origin::start(|_| Reaction::status(500)).await;
    let more = format!("fallback = \"{}\"\nfallback_name = \"mirror/{{image}}\"", second.url(""));
    let mut gateway = Running::start("", &route(&first, &more)).await;
    let by_digest = format!("/v2/acme/app/manifests/{}", digest_of(BODY));
    assert_eq!(get(&gateway, TAG).await.status(), 200);
    assert_eq!(first.count(), 1);
    // Whether the first one is asked again is a matter of moments here; `cache_policy` and `health` have their own tests.
    assert_eq!(get(&gateway, &by_digest).await.status(), 200);
    let blob = get(&gateway, &format!("/v2/acme/app/blobs/{digest}")).await.bytes().await.expect("a body");
    assert_eq!(digest_of(&blob), digest);
    let records = gateway.records();
    assert!(
        records.iter().all(|record| record.upstream.as_deref() == Some(&second.address.to_string())),
        "{records:?}"
    );
    drop(first);
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/2.0").await.status(), 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_backs_off_is_asked_where_there_is_no_other_way() {
    let origin = failing(1, Reaction::status(500)).await;
    let gateway = Running::start("", &route(&origin, "")).await;
    assert_eq!(get(&gateway, TAG).await.status(), 502);
    assert_eq!(get(&gateway, TAG).await.status(), 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_an_upstream_are_bounded_and_waiting_ends() {
    let origin =
        Origin::start(
            |asked| {
                if asked.path.ends_with("/slow") { Reaction::Wait(Box::new(manifest())) } else { manifest() }
            },
        )
        .await;
    let settings = "requests_max = 1\ntimeout_s = 1\nretries_max = 0";
    let mut gateway = Running::start("", &upstream(&origin, settings)).await;
    let slow = tokio::spawn(client().get(gateway.url("/v2/acme/app/manifests/slow")).send());
    crate::support::until("the slow one is under way", async || origin.count() == 1).await;
    let second = get(&gateway, TAG).await;
    assert!([200, 504].contains(&second.status().as_u16()), "it waits for its turn, with a bound");
    assert_eq!(slow.await.expect("it ends").expect("an answer").status(), 504);
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/3.0").await.status(), 200);
    assert_eq!(gateway.records().len(), 3);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_realm_at_a_private_address_gets_no_request() {
    let inner = Origin::start(|_| Reaction::of("application/json", b"{\"token\":\"t\"}")).await;
    for realm in ["http://169.254.169.254/latest".to_owned(), inner.url("/token"), "http://localhost:1/x".to_owned()] {
        let origin = Origin::start(move |_| {
            Reaction::status(401).with("www-authenticate", format!("Bearer realm=\"{realm}\",service=\"s\""))
        })
        .await;
        let gateway = Running::start("admin_listen = \"127.0.0.1:0\"", &route(&origin, "")).await;
        assert_eq!(get(&gateway, TAG).await.status(), 502);
        assert_eq!(metric(gateway.admin.expect("an address"), "whopulls_upstream_forbidden_total").await, 1);
        assert_eq!(origin.count(), 1, "it is not tried again");
        gateway.stop().await;
    }
    assert_eq!(inner.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_a_private_address_is_followed_only_where_the_configuration_allows_it() {
    let body = vec![3; 2 << 20];
    let digest = digest_of(&body);
    let storage = Origin::start(move |asked| {
        assert_eq!(asked.header("authorization"), None, "a token went to the storage");
        match asked.header("range") {
            Some("bytes=5-9") => Reaction::Answer {
                status: 206,
                headers: vec![("content-range", "bytes 5-9/2097152".into()), ("etag", "\"e\"".into())],
                body: body[5..10].to_vec(),
            },
            Some(_) => Reaction::status(416).with("content-range", "bytes */2097152"),
            None => Reaction::of("application/octet-stream", &body),
        }
    })
    .await;
    let location = storage.url("/data?sig=s3cret");
    let origin = Origin::start(move |asked| match asked.header("authorization") {
        None => Reaction::status(401).with("www-authenticate", "Basic realm=\"r\""),
        Some(given) => {
            assert_eq!(given, "Basic dXNlcjpwYXNz");
            Reaction::status(307).with("location", location.clone())
        }
    })
    .await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "pass\n").expect("it can be written");
    let credentials = format!("username = \"user\"\npassword_file = \"{}\"", password.display());
    let rest = format!("{}blobs = \"proxy\"\n", upstream(&origin, &credentials));
    let path = format!("/v2/acme/app/blobs/{digest}");

    let gateway = Running::start("", &rest).await;
    assert_eq!(get(&gateway, &path).await.status(), 502);
    assert_eq!(storage.count(), 0);
    gateway.stop().await;

    let mut gateway = Running::start("upstream_networks = [\"127.0.0.0/8\"]", &rest).await;
    let whole = get(&gateway, &path).await;
    assert_eq!(header(&whole, "content-length"), Some("2097152"));
    assert_eq!(digest_of(&whole.bytes().await.expect("a body")), digest);
    let ask = |range| client().get(gateway.url(&path)).header("range", range).header("if-range", "\"e\"").send();
    let part = ask("bytes=5-9").await.expect("an answer");
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, Some("bytes 5-9/2097152")));
    assert_eq!(part.bytes().await.expect("a body").len(), 5);
    let beyond = ask("bytes=9999999-").await.expect("an answer");
    assert_eq!((beyond.status().as_u16(), header(&beyond, "content-range")), (416, Some("bytes */2097152")));
    assert!(storage.take().iter().skip(1).all(|asked| asked.header("if-range") == Some("\"e\"")));
    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(|r| (r.status, r.bytes, r.range_start)).collect();
    assert_eq!(seen, [(200, 2_097_152, None), (206, 5, Some(5)), (416, 0, Some(9_999_999))]);
    assert!(!records.iter().any(|r| String::from_utf8_lossy(&r.encode()).contains("s3cret")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_never_passed_on_as_a_whole() {
    let large = vec![1; 3 << 20];
    let origin = Origin::start(move |asked| {
        let (length, body) =
            if asked.path.contains("/blobs/") { (4 << 20, large.clone()) } else { (100, BODY.to_vec()) };
        Reaction::BreakOff { headers: vec![("content-type", MANIFEST.into())], length, body }
    })
    .await;
    let gateway = Running::start("", &upstream(&origin, "retries_max = 0")).await;
    let blob = get(&gateway, &format!("/v2/acme/app/blobs/{}", digest_of(b"x"))).await;
    assert_eq!(blob.status(), 200);
    assert!(blob.bytes().await.is_err(), "the client must see that it is not whole");
    assert_eq!(get(&gateway, TAG).await.status(), 502);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_of_a_manifest_are_followed_and_have_an_end() {
    let end = Arc::new(AtomicUsize::new(3));
    let until = Arc::clone(&end);
    let origin = Origin::start(move |asked| {
        let hop: usize = asked.path.rsplit("hop").next().and_then(|n| n.parse().ok()).unwrap_or(0);
        if hop < until.load(Ordering::SeqCst) {
            return Reaction::status(307).with("location", format!("/hop{}", hop + 1));
        }
        manifest()
    })
    .await;
    let gateway = Running::start("", &route(&origin, "")).await;
    assert_eq!((get(&gateway, TAG).await.status().as_u16(), origin.count()), (200, 4));
    end.store(100, Ordering::SeqCst);
    assert_eq!((get(&gateway, "/v2/acme/app/manifests/2.0").await.status().as_u16(), origin.count()), (502, 4 + 6));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_refuses_connections_is_said_in_the_registrys_shape() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let rule =
        format!("[[route]]\nid = \"i\"\nkind = \"oci\"\nmatch = \"{{name...}}\"\nupstream = \"http://{closed}\"\n");
    let gateway = Running::start("", &rule).await;
    for path in [TAG.to_owned(), "/v2/a/tags/list".to_owned(), format!("/v2/a/blobs/{}", digest_of(b"x"))] {
        let response = get(&gateway, &path).await;
        assert_eq!(response.status(), 502, "{path}");
        assert!(response.text().await.expect("a body").contains("UNAVAILABLE"));
    }
    gateway.stop().await;
}
