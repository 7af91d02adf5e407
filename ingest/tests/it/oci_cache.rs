//! What the gateway keeps of manifests, small blobs and lists, and when it answers from it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use whopulls_schemas::raw::{Outcome, RawAccess};

use crate::origin::{Asked, Origin, Reaction};
use crate::registry::{INDEX, MANIFEST, digest_of};
use crate::support::{Running, client, header};

const INDEX_BODY: &str = r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:aa","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}"#;

fn route(origin: &Origin, more: &str) -> String {
    format!(
        "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image}}\"\nname = \"up/{{image}}\"\nupstream = \"{}\"\n{more}\n",
        origin.url("")
    )
}

/// `text` under every tag of every repository, and under its digest.
fn registry(text: &Arc<Mutex<String>>) -> impl Fn(&Asked) -> Reaction + Send + Sync + 'static {
    let text = Arc::clone(text);
    move |asked: &Asked| {
        let body = text.lock().expect("no test panicked here").clone();
        let reference = asked.path.rsplit('/').next().unwrap_or_default();
        if reference.starts_with("sha256:") && reference != digest_of(body.as_bytes()) {
            return Reaction::status(404);
        }
        Reaction::of(INDEX, body.as_bytes()).with("docker-content-digest", digest_of(body.as_bytes()))
    }
}

async fn get(gateway: &Running, path: &str) -> (u16, Option<String>, String) {
    let response = client().get(gateway.url(path)).header("accept", INDEX).send().await.expect("an answer");
    let warning = header(&response, "warning").map(String::from);
    (response.status().as_u16(), warning, response.text().await.expect("a body"))
}

fn brief(record: &RawAccess) -> (&str, Option<u16>) {
    (record.outcome.map_or("none", Outcome::as_str), record.upstream_status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_is_asked_for_once_and_then_answered_from_the_cache() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let origin = Origin::start(registry(&text)).await;
    let mut gateway = Running::start("", &route(&origin, "")).await;
    for _ in 0..3 {
        assert_eq!(get(&gateway, "/v2/acme/app/manifests/1.0").await, (200, None, INDEX_BODY.to_owned()));
    }
    let digest = digest_of(INDEX_BODY.as_bytes());
    let by_digest = get(&gateway, &format!("/v2/acme/app/manifests/{digest}")).await;
    assert_eq!(by_digest, (200, None, INDEX_BODY.to_owned()));
    let head = client().head(gateway.url("/v2/acme/app/manifests/1.0")).header("accept", INDEX).send().await;
    let head = head.expect("an answer");
    assert_eq!(header(&head, "docker-content-digest"), Some(digest.as_str()));
    assert_eq!(header(&head, "content-type"), Some(INDEX));
    assert_eq!(header(&head, "content-length"), Some(INDEX_BODY.len().to_string().as_str()));
    assert_eq!(origin.lines(), ["GET /v2/up/app/manifests/1.0"]);
    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(brief).collect();
    let cached = ("cached", None);
    assert_eq!(seen, [("proxied", Some(200)), cached, cached, cached, cached]);
    for record in &records {
        assert_eq!((record.digest.as_deref(), record.media_type.as_deref()), (Some(digest.as_str()), Some(INDEX)));
        assert_eq!(record.children.len(), usize::from(record.method == "GET"), "{record:?}");
    }
    // Another `Accept` may get another manifest.
    let other = client().get(gateway.url("/v2/acme/app/manifests/1.0")).header("accept", MANIFEST).send().await;
    assert_eq!(other.expect("an answer").status(), 200);
    assert_eq!(origin.count(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_answered_from_the_cache_only_to_who_takes_its_type() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let origin = Origin::start(registry(&text)).await;
    let gateway = Running::start("", &route(&origin, "")).await;
    let path = format!("/v2/acme/app/manifests/{}", digest_of(INDEX_BODY.as_bytes()));
    for (accept, asked) in [(INDEX, 1), ("*/*", 0), (MANIFEST, 1), (INDEX, 0)] {
        let response = client().get(gateway.url(&path)).header("accept", accept).send().await.expect("an answer");
        assert_eq!((response.status().as_u16(), origin.take().len()), (200, asked), "{accept}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_due_is_confirmed_by_a_head_and_fetched_when_it_moved() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let origin = Origin::start(registry(&text)).await;
    let mut gateway = Running::start("", &route(&origin, "ttl_s = 0")).await;
    let path = "/v2/acme/app/manifests/1.0";
    assert_eq!(get(&gateway, path).await.2, INDEX_BODY);
    assert_eq!(get(&gateway, path).await.2, INDEX_BODY);
    let (asked_get, asked_head) = ("GET /v2/up/app/manifests/1.0", "HEAD /v2/up/app/manifests/1.0");
    assert_eq!(origin.lines(), [asked_get, asked_head]);
    let moved = INDEX_BODY.replace("aa", "bb");
    text.lock().expect("no test panicked here").clone_from(&moved);
    assert_eq!(get(&gateway, path).await.2, moved);
    assert_eq!(origin.lines(), [asked_head, asked_get]);
    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(brief).collect();
    assert_eq!(seen, [("proxied", Some(200)), ("cached", Some(200)), ("proxied", Some(200))]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_upstream_is_gone_a_stale_answer_is_marked_as_one() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let origin = Origin::start(registry(&text)).await;
    let mut gateway = Running::start("", &route(&origin, "ttl_s = 0")).await;
    let (tag, list) = ("/v2/acme/app/manifests/1.0", "/v2/acme/app/tags/list");
    assert_eq!(get(&gateway, tag).await.0, 200);
    assert_eq!(get(&gateway, list).await.0, 200);
    drop(origin);
    for _ in 0..2 {
        for path in [tag, list] {
            let (status, warning, body) = get(&gateway, path).await;
            assert_eq!((status, warning.as_deref()), (200, Some("110 - \"Response is Stale\"")), "{path}");
            assert_eq!(body, INDEX_BODY);
        }
    }
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/2.0").await.0, 502, "what was never seen");
    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(brief).collect();
    let (proxied, stale) = (("proxied", Some(200)), ("stale", None));
    assert_eq!(seen, [proxied, proxied, stale, stale, stale, stale, ("upstream_error", None)]);
    assert_eq!(records[2].children.len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_answer_does_not_hold_up_who_can_have_a_stale_answer() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let answer = registry(&text);
    let origin = Origin::start(move |asked| match asked.method.as_str() {
        "HEAD" => Reaction::Wait(Box::new(answer(asked))),
        _ => answer(asked),
    })
    .await;
    let mut gateway = Running::start("", &route(&origin, "ttl_s = 0")).await;
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/1.0").await.0, 200);
    // The upstream's timeout is 30 s.
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/1.0").await.0, 200);
    let records = gateway.records();
    assert_eq!(records[1].outcome, Some(Outcome::Stale));
    assert!(records[1].duration_us < 20_000_000, "{records:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_answer_has_an_end() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let origin = Origin::start(registry(&text)).await;
    let rest = format!("[cache]\nttl_s = 0\nstale_max_h = 0\n{}", route(&origin, ""));
    let gateway = Running::start("", &rest).await;
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/1.0").await.0, 200);
    drop(origin);
    assert_eq!(get(&gateway, "/v2/acme/app/manifests/1.0").await.0, 502);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_was_deleted_is_not_served_again() {
    let gone = Arc::new(AtomicUsize::new(0));
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let answer = registry(&text);
    let is_gone = Arc::clone(&gone);
    let origin = Origin::start(move |asked| match is_gone.load(Ordering::SeqCst) {
        0 => answer(asked),
        1 => Reaction::status(404),
        _ => Reaction::status(503),
    })
    .await;
    let gateway = Running::start("", &route(&origin, "ttl_s = 0")).await;
    let path = "/v2/acme/app/manifests/1.0";
    assert_eq!(get(&gateway, path).await.0, 200);
    gone.store(1, Ordering::SeqCst);
    let (status, _, body) = get(&gateway, path).await;
    assert_eq!(status, 404);
    assert!(body.contains("MANIFEST_UNKNOWN"), "{body}");
    gone.store(2, Ordering::SeqCst);
    assert_eq!(get(&gateway, path).await.0, 502);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_ask_at_once_are_one_request_to_the_upstream() {
    let text = Arc::new(Mutex::new(INDEX_BODY.to_owned()));
    let answer = registry(&text);
    let origin = Origin::start(move |asked| Reaction::Wait(Box::new(answer(asked)))).await;
    let mut gateway = Running::start("admin_listen = \"127.0.0.1:0\"", &route(&origin, "")).await;
    let admin = gateway.admin.expect("an address");
    let ask = || {
        let (url, client) = (gateway.url("/v2/acme/app/manifests/1.0"), client());
        tokio::spawn(async move { client.get(url).header("accept", INDEX).send().await.expect("an answer").status() })
    };
    let first = ask();
    crate::support::until("the first is under way", async || origin.count() == 1).await;
    first.abort();
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    crate::support::until("the others wait for it", async || {
        metric(admin, "whopulls_upstream_shared_total").await == 50
    })
    .await;
    origin.go_on();
    for other in others {
        assert_eq!(other.await.expect("it ends"), 200);
    }
    assert_eq!(origin.lines(), ["GET /v2/up/app/manifests/1.0"]);
    assert_eq!(gateway.records().len(), 50, "who went away was not answered");
    gateway.stop().await;
}

/// A metric without labels, or the first with these.
pub(crate) async fn metric(admin: std::net::SocketAddr, name: &str) -> i64 {
    let text = client().get(format!("http://{admin}/metrics")).send().await.expect("an answer").text().await;
    let text = text.expect("a body");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_blob_is_kept_and_a_redirect_is_remembered_while_it_lives() {
    let small = b"{\"config\":1}";
    let large = digest_of(b"large");
    let redirected = large.clone();
    let origin = Origin::start(move |asked| {
        if asked.path.ends_with(&redirected) {
            return Reaction::status(307)
                .with("location", "https://storage.example.org/x?Expires=99999999999&sig=s3cret");
        }
        Reaction::of("application/octet-stream", small)
    })
    .await;
    let mut gateway = Running::start("", &route(&origin, "")).await;
    let path = format!("/v2/acme/app/blobs/{}", digest_of(small));
    let large = format!("/v2/acme/app/blobs/{large}");
    assert_eq!(get(&gateway, &path).await.2.as_bytes(), small);
    assert_eq!(get(&gateway, &large).await.0, 307);
    assert_eq!(origin.count(), 2);
    drop(origin);
    assert_eq!(get(&gateway, &path).await, (200, None, String::from_utf8_lossy(small).into_owned()));
    let part = client().get(gateway.url(&path)).header("range", "bytes=3-").send().await.expect("an answer");
    assert_eq!(part.status(), 200, "the whole stands for a part that nobody can cut out");
    crate::support::until("the redirect is no longer fresh", async || {
        let (status, warning, _) = get(&gateway, &large).await;
        assert_eq!(status, 307);
        warning.is_some()
    })
    .await;
    let records = gateway.records();
    let outcomes: Vec<_> = records.iter().map(|r| brief(r).0).collect();
    assert_eq!(outcomes[..4], ["proxied", "redirected", "cached", "stale"]);
    assert_eq!(outcomes.last(), Some(&"stale"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_another_digest_is_never_served() {
    let origin = Origin::start(|asked| {
        let claimed = Reaction::of(INDEX, b"{\"evil\":1}");
        if asked.path.ends_with("/claims") { claimed.with("docker-content-digest", digest_of(b"x")) } else { claimed }
    })
    .await;
    let mut gateway = Running::start("admin_listen = \"127.0.0.1:0\"", &route(&origin, "")).await;
    let digest = digest_of(b"good");
    for path in [format!("manifests/{digest}"), "manifests/claims".to_owned(), format!("blobs/{digest}")] {
        let (status, _, body) = get(&gateway, &format!("/v2/acme/app/{path}")).await;
        assert_eq!(status, 502, "{path}");
        assert!(body.contains("DIGEST_INVALID") && !body.contains("evil"), "{body}");
    }
    let name = format!("whopulls_upstream_requests_total{{upstream=\"{}\",result=\"mismatch\"}}", origin.address);
    assert_eq!(metric(gateway.admin.expect("an address"), &name).await, 3);
    assert!(gateway.records().iter().all(|record| record.outcome == Some(Outcome::UpstreamError)));
    gateway.stop().await;
}
