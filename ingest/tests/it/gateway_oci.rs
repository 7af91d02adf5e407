//! Container images through the gateway, from a real registry behind it.

use std::process::Stdio;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use whopulls_schemas::raw::{Kind, Outcome, RawAccess};

use crate::registry::{INDEX, MANIFEST, Registry, TokenServer, digest_of};
use crate::support::{PATIENCE, Running, client, header, is_here, program};

/// The token server stands on this machine.
const LOOPBACK: &str = "upstream_networks = [\"127.0.0.0/8\"]";

fn route(upstream: &str) -> String {
    format!(
        "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image}}\"\nupstream = \"{upstream}\"\nname = \"up/{{image}}\"\n\
         [[route]]\nid = \"secrets\"\nkind = \"oci\"\nmatch = \"secret/{{image}}\"\nupstream = \"{upstream}\"\n"
    )
}

fn layer() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn brief(record: &RawAccess) -> (&str, &str, u16, &str) {
    let outcome = record.outcome.map_or("none", Outcome::as_str);
    (record.method.as_str(), record.reference.as_deref().unwrap_or("-"), record.status, outcome)
}

#[tokio::test]
async fn a_pull_gets_the_registrys_bytes_and_leaves_one_record_a_request() {
    if !is_here(&program("docker-registry")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    let (manifest, blob) = registry.push_image("up/app", "1.0", &layer()).await;
    let mut gateway = Running::start(LOOPBACK, &route(&registry.url(""))).await;
    let client = client();

    let base = client.get(gateway.url("/v2/")).send().await.expect("an answer");
    assert_eq!(base.status(), 200);
    assert_eq!(header(&base, "docker-distribution-api-version"), Some("registry/2.0"));

    let by_tag = gateway.url("/v2/acme/app/manifests/1.0");
    let head = client.head(&by_tag).header("accept", MANIFEST).send().await.expect("an answer");
    let direct = client.get(registry.url("/v2/up/app/manifests/1.0")).header("accept", MANIFEST);
    let body = direct.send().await.expect("an answer").bytes().await.expect("a body");
    assert_eq!(header(&head, "docker-content-digest"), Some(manifest.as_str()));
    assert_eq!(header(&head, "content-type"), Some(MANIFEST));
    assert_eq!(header(&head, "content-length"), Some(body.len().to_string().as_str()));

    let by_digest = gateway.url(&format!("/v2/acme/app/manifests/{manifest}"));
    let got = client.get(by_digest).header("accept", MANIFEST).send().await.expect("an answer");
    assert_eq!(header(&got, "docker-content-digest"), Some(manifest.as_str()));
    assert_eq!(got.bytes().await.expect("a body"), body);

    let url = gateway.url(&format!("/v2/acme/app/blobs/{blob}"));
    let whole = client.get(&url).send().await.expect("an answer").bytes().await.expect("a body");
    assert_eq!(digest_of(&whole), blob);
    let part = client.get(&url).header("range", "bytes=1000-1999").send().await.expect("an answer");
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, Some("bytes 1000-1999/400000")));
    assert_eq!(part.bytes().await.expect("a body"), whole.slice(1000..2000));

    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(brief).collect();
    assert_eq!(
        seen,
        [
            ("GET", "-", 200, "served"),
            ("HEAD", "1.0", 200, "proxied"),
            ("GET", manifest.as_str(), 200, "proxied"),
            ("GET", blob.as_str(), 200, "proxied"),
            ("GET", blob.as_str(), 206, "proxied"),
        ]
    );
    let get = &records[2];
    assert_eq!((get.kind, get.bytes, get.route.as_deref()), (Kind::Oci, body.len() as u64, Some("images")));
    assert_eq!((get.repository.as_deref(), get.package.as_deref()), (Some("acme/app"), Some("acme/app")));
    assert_eq!((get.media_type.as_deref(), get.accept.as_deref()), (Some(MANIFEST), Some(MANIFEST)));
    assert_eq!(get.upstream.as_deref(), Some(registry.address.to_string().as_str()));
    assert_eq!((get.upstream_status, records[1].bytes, records[3].bytes), (Some(200), 0, 400_000));
    assert_eq!((records[1].digest.as_deref(), records[4].range_start), (Some(manifest.as_str()), Some(1000)));
    gateway.stop().await;
}

#[tokio::test]
async fn an_index_is_recorded_with_its_children_and_tags_are_paged_under_the_public_name() {
    if !is_here(&program("docker-registry")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    let (manifest, _) = registry.push_image("up/app", "1.0-amd64", b"a layer").await;
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": manifest, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
    ]});
    registry.push_manifest("up/app", "1.0", INDEX, &index.to_string()).await;
    let mut gateway = Running::start(LOOPBACK, &route(&registry.url(""))).await;
    let request = client().get(gateway.url("/v2/acme/app/manifests/1.0")).header("accept", INDEX);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let records = gateway.records();
    let children: Vec<_> = records[0].children.iter().map(|c| (c.digest.as_str(), c.platform.as_deref())).collect();
    assert_eq!(children, [(manifest.as_str(), Some("linux/amd64"))]);

    let mut next = Some("/v2/acme/app/tags/list?n=1".to_owned());
    let mut tags = Vec::new();
    while let Some(path) = next {
        let page = client().get(gateway.url(&path)).send().await.expect("an answer");
        next = header(&page, "link").map(|link| {
            let target = link.strip_prefix('<').and_then(|l| l.split_once('>')).expect("a link").0;
            assert!(target.starts_with("/v2/acme/app/tags/list?"), "{link}");
            target.to_owned()
        });
        let page: serde_json::Value = serde_json::from_slice(&page.bytes().await.expect("a body")).expect("JSON");
        assert_eq!(page["name"], "acme/app", "the name that the client knows");
        tags.extend(page["tags"].as_array().expect("a list").iter().filter_map(|t| t.as_str().map(String::from)));
    }
    tags.sort();
    assert_eq!(tags, ["1.0", "1.0-amd64"]);
    for (path, status) in [("/v2/acme/app/manifests/9", 404), ("/v2/acme/other/tags/list", 404)] {
        let response = client().get(gateway.url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), status);
        assert!(response.text().await.expect("a body").contains("\"errors\""));
    }
    let put = client().put(gateway.url("/v2/acme/app/manifests/1.0")).send().await.expect("an answer");
    assert_eq!((put.status().as_u16(), header(&put, "allow")), (405, Some("GET, HEAD")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_wants_tokens_serves_clients_that_have_none() {
    if !is_here(&program("docker-registry")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let (_, blob) = Registry::start(storage.path(), None).push_image("up/app", "1.0", &layer()).await;
    let tokens = TokenServer::start(storage.path()).await;
    let registry = Registry::start(storage.path(), Some(&tokens));
    let direct = client().get(registry.url("/v2/up/app/manifests/1.0")).send().await.expect("an answer");
    assert_eq!(direct.status(), 401, "the registry wants no token");

    let mut gateway = Running::start(LOOPBACK, &route(&registry.url(""))).await;
    let pulls: Vec<_> = (0..20)
        .map(|_| {
            let request = client().get(gateway.url("/v2/acme/app/manifests/1.0")).header("accept", MANIFEST);
            // A client's credentials are for the gateway's operator, not for the upstream.
            tokio::spawn(request.header("authorization", "Bearer s3cret").send())
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.await.expect("the pull ends").expect("an answer").status(), 200);
    }
    let url = gateway.url(&format!("/v2/acme/app/blobs/{blob}"));
    let body = client().get(url).send().await.expect("an answer").bytes().await.expect("a body");
    assert_eq!(digest_of(&body), blob);
    assert_eq!(tokens.given.load(Ordering::SeqCst), 1, "one repository takes one token");
    assert_eq!(*tokens.scopes.lock().expect("no test panicked here"), ["repository:up/app:pull"]);

    let denied = client().get(gateway.url("/v2/secret/app/manifests/1.0")).send().await.expect("an answer");
    assert_eq!((denied.status().as_u16(), header(&denied, "www-authenticate")), (403, None));
    assert!(denied.text().await.expect("a body").contains("DENIED"));
    let records = gateway.records();
    assert_eq!(records.len(), 22);
    let last = records.last().map(|r| (r.status, r.outcome, r.upstream_status));
    assert_eq!(last, Some((403, Some(Outcome::UpstreamError), Some(401))));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_copies_an_image_from_a_registry_that_wants_tokens() {
    if !is_here(&program("docker-registry")) || !is_here(&program("skopeo")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let (manifest, blob) = Registry::start(storage.path(), None).push_image("up/app", "1.0", &layer()).await;
    let tokens = TokenServer::start(storage.path()).await;
    let registry = Registry::start(storage.path(), Some(&tokens));
    let mut gateway = Running::start(LOOPBACK, &route(&registry.url(""))).await;
    let target = gateway.dir.path().join("image");
    let copy = tokio::process::Command::new(program("skopeo"))
        .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
        .arg(format!("docker://{}/acme/app:1.0", gateway.address))
        .arg(format!("dir:{}", target.display()))
        .stdin(Stdio::null())
        .output();
    let copied = tokio::time::timeout(PATIENCE, copy).await.expect("in time").expect("skopeo starts");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let copied = std::fs::read(target.join("manifest.json")).expect("the manifest is there");
    assert_eq!(digest_of(&copied), manifest);
    let copied = std::fs::read(target.join(blob.trim_start_matches("sha256:"))).expect("the layer is there");
    assert_eq!(digest_of(&copied), blob);
    let records = gateway.records();
    let pulled = records.iter().filter(|r| r.reference.as_deref() == Some("1.0") && r.status == 200).count();
    assert_eq!(pulled, 1);
    assert!(records.iter().all(|r| r.user_agent.as_deref().is_some_and(|agent| agent.starts_with("skopeo/"))));
    gateway.stop().await;
}

#[tokio::test]
async fn a_blob_redirect_is_handed_on_with_an_absolute_target_and_no_length() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = upstream.local_addr().expect("an address");
    let mut gateway = Running::start("", &route(&format!("http://{address}"))).await;
    let digest = digest_of(b"x");
    let url = gateway.url(&format!("/v2/acme/app/blobs/{digest}"));
    let pull = tokio::spawn(client().get(url).send());
    let (mut asked, _peer) = upstream.accept().await.expect("the gateway asks");
    let mut request = [0; 4096];
    let read = asked.read(&mut request).await.expect("a request");
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    assert!(request.starts_with(&format!("GET /v2/up/app/blobs/{digest} HTTP/1.1\r\n")), "{request}");
    let answer = b"HTTP/1.1 302 Found\r\nlocation: /storage/x?sig=1\r\ncontent-length: 7\r\n\r\nmoved.\n";
    asked.write_all(answer).await.expect("the upstream answers");
    let response = pull.await.expect("the pull ends").expect("an answer");
    assert_eq!(response.status(), 307);
    assert_eq!(header(&response, "location"), Some(format!("http://{address}/storage/x?sig=1").as_str()));
    assert!(matches!(header(&response, "content-length"), None | Some("0")));
    let records = gateway.records();
    assert_eq!(records.iter().map(brief).collect::<Vec<_>>(), [("GET", digest.as_str(), 307, "redirected")]);
    assert_eq!(records[0].upstream_status, Some(302));
    assert!(!String::from_utf8_lossy(&records[0].encode()).contains("sig=1"), "a signed URL is a credential");
    gateway.stop().await;
}
