//! What a rule may ask for: whose token, which redirects, which notices.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use whopulls_schemas::raw::Outcome;

use crate::origin::{Asked, Origin, Reaction};
use crate::registry::{INDEX, MANIFEST, digest_of};
use crate::support::{Running, client, header};

const BODY: &[u8] = b"{\"schemaVersion\":2}";

fn rule(name: &str, upstream: &str, more: &str) -> String {
    format!(
        "[[route]]\nid = \"{name}\"\nkind = \"oci\"\nmatch = \"{name}/{{image}}\"\nname = \"up/{{image}}\"\nupstream = \"{upstream}\"\n{more}\n"
    )
}

async fn get(gateway: &Running, path: &str, authorization: Option<&str>) -> reqwest::Response {
    let mut request = client().get(gateway.url(path));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.send().await.expect("an answer")
}

async fn json(response: reqwest::Response) -> serde_json::Value {
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

/// A private registry with its token service: `user` with `pass` gets a token for `up/…`, nobody else does.
fn private(asked: &Asked) -> Reaction {
    if asked.path.starts_with("/token?") {
        let basic = format!("Basic {}", STANDARD.encode("user:pass"));
        if asked.header("authorization") != Some(&basic) {
            return Reaction::status(401);
        }
        let text = r#"{"access_token":"good","expires_in":120,"issued_at":"2024-01-02T03:04:05Z"}"#;
        return Reaction::of("application/json", text.as_bytes());
    }
    if asked.header("authorization") == Some("Bearer good") {
        return Reaction::of(MANIFEST, BODY).with("docker-content-digest", digest_of(BODY));
    }
    let host = asked.header("host").expect("a host");
    // Some registries name a placeholder in the scope of `/v2/`.
    let challenge =
        format!("Bearer realm=\"http://{host}/token\",service=\"reg\",scope=\"repository:user/image:pull\"");
    Reaction::status(401).with("www-authenticate", challenge)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_log_in_at_the_gateways_own_realm_and_their_password_goes_to_the_upstreams() {
    let origin = Origin::start(private).await;
    let mut gateway = Running::start("", &rule("acme", &origin.url(""), "token = \"own_realm\"")).await;
    let realm = format!("Bearer realm=\"{}\",service=\"{}\"", gateway.url("/v2/token"), gateway.address);
    let base = get(&gateway, "/v2/", None).await;
    assert_eq!((base.status().as_u16(), header(&base, "www-authenticate")), (401, Some(realm.as_str())));
    let refused = get(&gateway, "/v2/acme/app/manifests/1.0", None).await;
    let scoped = format!("{realm},scope=\"repository:acme/app:pull\"");
    assert_eq!((refused.status().as_u16(), header(&refused, "www-authenticate")), (401, Some(scoped.as_str())));

    let path = "/v2/token?service=x&account=user&scope=repository:acme/app:pull,push";
    let wrong = format!("Basic {}", STANDARD.encode("user:wrong"));
    assert_eq!(get(&gateway, path, Some(&wrong)).await.status(), 401);
    let basic = format!("Basic {}", STANDARD.encode("user:pass"));
    origin.take();
    let given = json(get(&gateway, path, Some(&basic)).await).await;
    assert_eq!((given["token"].as_str(), given["access_token"].as_str()), (Some("good"), Some("good")));
    assert_eq!((given["expires_in"].as_u64(), given["issued_at"].as_str()), (Some(120), Some("2024-01-02T03:04:05Z")));
    assert_eq!(origin.lines(), ["GET /token?service=reg&scope=repository%3Aup%2Fapp%3Apull"]);
    let post = client().post(gateway.url("/v2/token")).send().await.expect("an answer");
    assert_eq!((post.status().as_u16(), header(&post, "allow")), (405, Some("GET, HEAD")));

    let pulled = get(&gateway, "/v2/acme/app/manifests/1.0", Some("Bearer good")).await;
    assert_eq!(pulled.bytes().await.expect("a body"), BODY);
    for record in gateway.records() {
        let text = String::from_utf8(record.encode()).expect("text");
        for secret in ["good", "pass", &basic] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_without_a_repository_is_good_when_the_upstream_takes_the_password() {
    let origin = Origin::start(private).await;
    let rules = rule("acme", &origin.url(""), "token = \"own_realm\"") + &rule("open", &origin.url(""), "");
    let gateway = Running::start("", &rules).await;
    let (good, wrong) = (STANDARD.encode("user:pass"), STANDARD.encode("user:wrong"));
    let login = |password: &str| {
        let authorization = format!("Basic {password}");
        let gateway = &gateway;
        async move { get(gateway, "/v2/token?account=user&service=x", Some(&authorization)).await }
    };
    assert_eq!(login(&wrong).await.status(), 401);
    let token = json(login(&good).await).await["token"].as_str().expect("a token").to_owned();
    assert_eq!(get(&gateway, "/v2/", Some(&format!("Bearer {token}"))).await.status(), 200);
    assert_eq!(get(&gateway, "/v2/", Some("Bearer other")).await.status(), 401);
    // Open and unknown repositories get a token of ours, without the upstream; anonymous clients too.
    origin.take();
    for name in ["open/app", "nobody/knows"] {
        let given = get(&gateway, &format!("/v2/token?scope=repository:{name}:pull"), None).await;
        let token = json(given).await["token"].as_str().expect("a token").to_owned();
        assert_eq!(get(&gateway, "/v2/", Some(&format!("Bearer {token}"))).await.status(), 200);
    }
    assert_eq!(origin.count(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_private_is_served_only_after_the_upstreams_yes_and_never_stale() {
    let origin = Origin::start(private).await;
    let rules = rule("acme", &origin.url(""), "token = \"own_realm\"");
    let mut gateway = Running::start("", &rules).await;
    let digest = digest_of(BODY);
    for reference in ["1.0", "1.0", &digest, &digest] {
        let path = format!("/v2/acme/app/manifests/{reference}");
        assert_eq!(get(&gateway, &path, Some("Bearer good")).await.status(), 200);
    }
    let asked: Vec<_> = origin.take().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(asked, ["GET", "HEAD", "HEAD", "HEAD"], "each pull has its yes");
    for authorization in [None, Some("Bearer stolen")] {
        let path = format!("/v2/acme/app/manifests/{digest}");
        assert_eq!(get(&gateway, &path, authorization).await.status(), 401);
    }
    assert_eq!(origin.count(), 2);
    drop(origin);
    let path = format!("/v2/acme/app/manifests/{digest}");
    assert_eq!(get(&gateway, &path, Some("Bearer good")).await.status(), 502);
    let records = gateway.records();
    let outcomes: Vec<_> = records.iter().filter_map(|r| r.outcome.map(Outcome::as_str)).collect();
    let error = "upstream_error";
    assert_eq!(outcomes, ["proxied", "cached", "cached", "cached", error, error, error]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_may_send_clients_to_the_upstream_without_asking_it() {
    let origin = Origin::start(|_| Reaction::of(MANIFEST, BODY)).await;
    let rules = rule("blobs", &origin.url(""), "token = \"redirect\"")
        + &rule("all", &origin.url(""), "token = \"redirect\"\nmanifests = \"redirect\"");
    let mut gateway = Running::start("", &rules).await;
    let blob = format!("blobs/{}", digest_of(b"x"));
    for (name, path) in
        [("blobs", blob.as_str()), ("all", blob.as_str()), ("all", "manifests/1.0"), ("all", "tags/list?n=1")]
    {
        let response = get(&gateway, &format!("/v2/{name}/app/{path}"), None).await;
        assert_eq!(response.status(), 307);
        assert_eq!(header(&response, "location"), Some(origin.url(&format!("/v2/up/app/{path}")).as_str()));
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(get(&gateway, "/v2/blobs/app/manifests/1.0", None).await.status(), 200);
    assert_eq!(get(&gateway, "/v2/", None).await.status(), 200);
    assert!(gateway.records()[..4].iter().all(|r| r.outcome == Some(Outcome::Redirected)));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_not_sent_below_the_host_that_it_asked() {
    let digest = digest_of(BODY);
    let origin = Origin::start(|asked| {
        if asked.path.starts_with("/storage") {
            return Reaction::of("application/octet-stream", BODY);
        }
        Reaction::status(302).with("location", format!("http://{}/storage", asked.header("host").expect("a host")))
    })
    .await;
    let gateway = Running::start("", &rule("acme", &origin.url(""), "")).await;
    let ask = |host: &'static str| {
        let request = client().get(gateway.url(&format!("/v2/acme/app/blobs/{digest}")));
        request.header("host", host).send()
    };
    assert_eq!(ask("get.example.org").await.expect("an answer").status(), 307);
    // As 127.0.0.1 is written, it is below 0.0.1.
    let streamed = ask("0.0.1").await.expect("an answer");
    assert_eq!(streamed.status(), 200);
    assert_eq!(streamed.bytes().await.expect("a body"), BODY);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_tells_the_person_who_pulls_it_what_its_rule_says() {
    let origin = Origin::start(|_| Reaction::of(MANIFEST, BODY).with("warning", "299 - \"theirs\"")).await;
    let notices = "[[route.notices]]\ntags = [\"1.*\"]\ntext = \"1.x is no longer maintained\"";
    let gateway = Running::start("", &rule("acme", &origin.url(""), notices)).await;
    let digest = digest_of(BODY);
    let (ours, theirs) = ("299 - \"1.x is no longer maintained\"", "299 - \"theirs\"");
    for (reference, expected) in
        [("1.4", vec![theirs, ours]), ("1.4", vec![theirs, ours]), ("2.0", vec![theirs]), (&digest, vec![theirs])]
    {
        let response = get(&gateway, &format!("/v2/acme/app/manifests/{reference}"), None).await;
        let warnings: Vec<_> =
            response.headers().get_all("warning").iter().map(|v| v.to_str().expect("text")).collect();
        assert_eq!(warnings, expected, "{reference}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn referrers_keep_their_filter_and_a_404_passes() {
    let origin = Origin::start(|asked| {
        if asked.path.contains("artifactType") {
            return Reaction::of(INDEX, b"{\"manifests\":[]}").with("oci-filters-applied", "artifactType");
        }
        Reaction::Answer { status: 404, headers: vec![("content-type", "text/plain".into())], body: b"404".to_vec() }
    })
    .await;
    let mut gateway = Running::start("", &rule("acme", &origin.url(""), "")).await;
    let path = format!("/v2/acme/app/referrers/{}", digest_of(BODY));
    for _ in 0..2 {
        let filtered = get(&gateway, &format!("{path}?artifactType=a&ns=docker.io"), None).await;
        assert_eq!((filtered.status().as_u16(), header(&filtered, "oci-filters-applied")), (200, Some("artifactType")));
        assert_eq!(filtered.text().await.expect("a body"), "{\"manifests\":[]}");
    }
    assert_eq!(origin.lines(), [format!("GET /v2/up/app/referrers/{}?artifactType=a", digest_of(BODY))]);
    let unknown = get(&gateway, &path, None).await;
    assert_eq!((unknown.status().as_u16(), unknown.text().await.expect("a body")), (404, "404".to_owned()));
    let outcomes: Vec<_> = gateway.records().iter().filter_map(|r| r.outcome.map(Outcome::as_str)).collect();
    assert_eq!(outcomes, ["proxied", "cached", "proxied"]);
    gateway.stop().await;
}
