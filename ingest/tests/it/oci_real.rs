//! A real registry behind the gateway, and skopeo before it.

use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use whopulls_schemas::raw::Outcome;

use crate::origin::{Origin, Reaction};
use crate::registry::{MANIFEST, Registry, digest_of};
use crate::support::{PATIENCE, Running, client, is_here, program};

fn route(upstream: &str, more: &str) -> String {
    format!(
        "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image}}\"\nname = \"up/{{image}}\"\nupstream = \"{upstream}\"\n{more}\n"
    )
}

async fn skopeo(arguments: &[&str]) -> Output {
    let run = tokio::process::Command::new(program("skopeo")).args(arguments).stdin(Stdio::null()).output();
    tokio::time::timeout(PATIENCE, run).await.expect("in time").expect("skopeo starts")
}

async fn copy(gateway: &Running, to: &str, more: &[&str]) -> (Output, std::path::PathBuf) {
    let target = gateway.dir.path().join(to);
    let (from, dir) = (format!("docker://{}/acme/app:1.0", gateway.address), format!("dir:{}", target.display()));
    let mut arguments = vec!["--insecure-policy", "copy", "--src-tls-verify=false", &from, &dir];
    arguments.extend_from_slice(more);
    (skopeo(&arguments).await, target)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_was_seen_is_pulled_whole_after_the_registry_died_and_the_gateway_was_restarted() {
    if !is_here(&program("docker-registry")) || !is_here(&program("skopeo")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    let (manifest, layer) = registry.push_image("up/app", "1.0", b"a small layer").await;
    let cache = tempfile::tempdir().expect("a temporary directory");
    let rest = format!("[cache]\ndir = \"{}\"\nttl_s = 0\n{}", cache.path().display(), route(&registry.url(""), ""));
    let gateway = Running::start("", &rest).await;
    let (first, _) = copy(&gateway, "first", &[]).await;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    gateway.stop().await;
    drop(registry);

    let mut gateway = Running::start("", &rest).await;
    let (second, target) = copy(&gateway, "second", &[]).await;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(digest_of(&std::fs::read(target.join("manifest.json")).expect("the manifest is there")), manifest);
    let blob = std::fs::read(target.join(layer.trim_start_matches("sha256:"))).expect("the layer is there");
    assert_eq!(digest_of(&blob), layer);
    let records = gateway.records();
    let outcome = |reference: &str| {
        let record = records.iter().find(|r| r.reference.as_deref() == Some(reference)).expect("it was asked for");
        record.outcome
    };
    assert_eq!(outcome("1.0"), Some(Outcome::Stale));
    assert_eq!(outcome(&layer), Some(Outcome::Cached), "a digest is what it is");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_logs_in_through_the_gateway_to_a_private_registry() {
    if !is_here(&program("docker-registry")) || !is_here(&program("skopeo")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    let (manifest, _) = registry.push_image("up/app", "1.0", b"a small layer").await;
    // A front that wants the token of a token service, which wants a password.
    let behind = registry.address;
    let front = Origin::start(move |asked| {
        let basic = format!("Basic {}", STANDARD.encode("user:pass"));
        if asked.path.starts_with("/token") {
            return match asked.header("authorization") {
                Some(given) if given == basic => Reaction::of("application/json", b"{\"token\":\"good\"}"),
                _ => Reaction::status(401),
            };
        }
        let host = asked.header("host").expect("a host");
        if asked.header("authorization") != Some("Bearer good") {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"r\"");
            return Reaction::status(401).with("www-authenticate", challenge);
        }
        fetched(behind, &asked.method, &asked.path)
    })
    .await;
    let mut gateway = Running::start("", &route(&front.url(""), "token = \"own_realm\"")).await;
    let (anonymous, _) = copy(&gateway, "anonymous", &[]).await;
    assert!(!anonymous.status.success());
    let (wrong, _) = copy(&gateway, "wrong", &["--src-creds", "user:wrong"]).await;
    assert!(!wrong.status.success());
    let (good, target) = copy(&gateway, "good", &["--src-creds", "user:pass"]).await;
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert_eq!(digest_of(&std::fs::read(target.join("manifest.json")).expect("the manifest is there")), manifest);
    let authfile = gateway.dir.path().join("auth.json");
    let (host, authfile) = (gateway.address.to_string(), authfile.display().to_string());
    for (password, expected) in [("pass", true), ("wrong", false)] {
        let login = ["login", "--tls-verify=false", "--authfile", &authfile, "-u", "user", "-p", password, &host];
        assert_eq!(skopeo(&login).await.status.success(), expected, "{password}");
    }
    assert!(gateway.records().iter().all(|r| !String::from_utf8_lossy(&r.encode()).contains("good")));
    gateway.stop().await;
}

/// What the registry says, asked from a thread of its own: the origin reacts without waiting.
fn fetched(registry: std::net::SocketAddr, method: &str, path: &str) -> Reaction {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(registry).expect("the registry listens");
    let accept = format!("{MANIFEST}, */*");
    let request = format!("{method} {path} HTTP/1.0\r\nhost: r\r\naccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let value = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
        line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut headers = Vec::new();
    for name in ["content-type", "docker-content-digest", "content-length"] {
        if let Some(value) = value(name) {
            headers.push((name, value));
        }
    }
    Reaction::Answer { status, headers, body: answer[end + 4..].to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_proxy_streams_a_layer_of_a_real_registry_in_parts() {
    if !is_here(&program("docker-registry")) {
        return;
    }
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    let layer: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = registry.push_blob("up/app", &layer).await;
    let mut gateway = Running::start("", &route(&registry.url(""), "blobs = \"proxy\"")).await;
    let url = gateway.url(&format!("/v2/acme/app/blobs/{digest}"));
    let whole = client().get(&url).send().await.expect("an answer").bytes().await.expect("a body");
    assert_eq!(digest_of(&whole), digest);
    let part = client().get(&url).header("range", "bytes=1000-1999").send().await.expect("an answer");
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.expect("a body"), layer[1000..2000]);
    let head = client().head(&url).send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], "4000000");
    let seen: Vec<_> = gateway.records().iter().map(|r| (r.status, r.bytes)).collect();
    assert_eq!(seen, [(200, 4_000_000), (206, 1000), (200, 0)]);
    gateway.stop().await;
}
