//! HTTPS: versions, names, and certificates that change.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use whopulls_ingest::gateway::connection_metrics::CertificateLabels;
use whopulls_schemas::raw::HttpVersion;

use crate::registry::Registry;
use crate::secure::{FILES, Pem, Secure, check_status, exchange_plain, files, handshake, is_served, section, written};
use crate::support::{PATIENCE, is_here, program, until};

const TLS: &str = "tls_listen = \"127.0.0.1:0\"";
const NAME: &str = "get.example.org";

async fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    tokio::time::timeout(PATIENCE, output).await.expect("it ends in time").expect("it starts")
}

async fn curl(address: SocketAddr, roots: &Path, arguments: &[&str]) -> String {
    let port = address.port();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--output", "/dev/null", "--cacert"]).arg(roots);
    command.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), "--write-out", "%{http_code} %{http_version}"]);
    let output = run(command.args(arguments).arg(format!("https://{NAME}:{port}/f/tool"))).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

async fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-servername", NAME]);
    let output = run(command.args(arguments)).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn curl_is_served_by_http_2_and_1_1_and_the_record_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (roots, certificates) = written(dir.path(), "one", &[NAME]);
    let mut gateway = Secure::start(dir.path(), TLS, &(certificates + FILES)).await;
    assert_eq!(curl(gateway.tls_address(), &roots, &["--http2"]).await, "302 2");
    assert_eq!(curl(gateway.tls_address(), &roots, &["--http1.1", "--tlsv1.2", "--tls-max", "1.2"]).await, "302 1.1");
    let records = gateway.records();
    let seen: Vec<_> = records.iter().map(|r| (r.tls, r.http_version, r.host.as_deref())).collect();
    let expected = [(true, Some(HttpVersion::Http2), Some(NAME)), (true, Some(HttpVersion::Http11), Some(NAME))];
    assert_eq!(seen, expected);
    gateway.stop().await;
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (_, certificates) = written(dir.path(), "one", &[NAME]);
    let gateway = Secure::start(dir.path(), TLS, &(certificates + FILES)).await;
    for (argument, expected) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = s_client(gateway.tls_address(), &[argument, "-alpn", "h2,http/1.1"]).await;
        assert!(said.contains(expected) && said.contains("ALPN protocol: h2"), "{said}");
    }
    // OpenSSL itself allows the old version only at this level.
    let old = s_client(gateway.tls_address(), &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
    assert!(old.contains("no peer certificate available"), "{old}");
    until("the failed handshake is counted", async || gateway.ended("tls_handshake") == 1).await;
    // Without TLS there is no answer on that port, and no record.
    let plain = exchange_plain(gateway.tls_address(), b"GET /f/tool HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    gateway.stop().await;
}

#[tokio::test]
async fn the_name_that_a_client_gives_chooses_the_certificate() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (first, one) = written(dir.path(), "first", &["a.example.org", "unknown.example.org"]);
    let (second, two) = written(dir.path(), "second", &["b.example.org", "*.example.net"]);
    let gateway = Secure::start(dir.path(), TLS, &(one + &two + FILES)).await;
    let roots = |path: &Path| std::fs::read(path).expect("it is there");
    let (first, second) = (roots(&first), roots(&second));
    assert!(is_served(gateway.tls_address(), "a.example.org", &first).await);
    assert!(is_served(gateway.tls_address(), "b.example.org", &second).await);
    assert!(is_served(gateway.tls_address(), "any.example.net", &second).await);
    // A name that no certificate has gets the first; this client finds it in it, since it is listed there too.
    assert!(is_served(gateway.tls_address(), "unknown.example.org", &first).await);
    assert!(!is_served(gateway.tls_address(), "b.example.org", &first).await);
    gateway.stop().await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_all_named_at_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mixed, old, none) = (files(dir.path(), "mixed"), files(dir.path(), "old"), files(dir.path(), "none"));
    Pem { key: Pem::new(&[NAME]).key, ..Pem::new(&[NAME]) }.write(&mixed);
    Pem::ending_in(&[NAME], 2021).write(&old);
    let sections = section(&mixed) + &section(&old) + &section(&none) + FILES;
    let opened = Secure::try_start(dir.path(), TLS, &sections).await.err().expect("they are refused");
    let text = format!("{opened:#}");
    for expected in [
        "3 of the certificates cannot be used",
        "mixed.crt",
        "the private key does not fit the certificate",
        "old.crt",
        "the certificate ended",
        "none.crt",
        "No such file or directory",
    ] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
}

#[tokio::test]
async fn a_changed_certificate_is_taken_over_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = files(dir.path(), "one");
    let (first, second) = (Pem::new(&[NAME]), Pem::new(&[NAME]));
    first.write(&place);
    let gateway = Secure::start(dir.path(), TLS, &(section(&place) + FILES)).await;
    let address = gateway.tls_address();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let kept = handshake(stream, NAME, first.chain.as_bytes(), &[b"http/1.1"]).await;
    let mut kept = kept.expect("the first is served");

    second.write(&place);
    until("the second is served", async || is_served(address, NAME, second.chain.as_bytes()).await).await;
    assert!(!is_served(address, NAME, first.chain.as_bytes()).await);
    kept.write_all(b"GET /f/tool HTTP/1.1\r\nHost: get.example.org\r\n\r\n").await.expect("it is sent");
    let mut answer = [0; 12];
    kept.read_exact(&mut answer).await.expect("a connection under way goes on");
    assert_eq!(&answer, b"HTTP/1.1 302");

    let label = CertificateLabels { file: place.cert_file.display().to_string() };
    let ends_s = gateway.metrics.connection.not_after.get_or_create(&label).get();
    assert_eq!(ends_s, 32_472_144_000, "the beginning of 2999");

    Pem { key: first.key.clone(), ..Pem::new(&[NAME]) }.write(&place);
    until("the bad one is refused", async || gateway.metrics.connection.reload_failures.get() == 1).await;
    assert!(is_served(address, NAME, second.chain.as_bytes()).await, "the old one stays");
    let refused = gateway.certificates.reload(std::slice::from_ref(&place)).expect_err("it is still bad");
    assert!(refused.to_string().contains("does not fit"), "{refused}");
    assert!(is_served(address, NAME, second.chain.as_bytes()).await, "the old one stays");

    first.write(&place);
    gateway.certificates.reload(&[place]).expect("it is good again");
    assert!(is_served(address, NAME, first.chain.as_bytes()).await, "at once");
    gateway.stop().await;
}

#[tokio::test]
async fn one_listener_serves_both_families_and_addresses_are_plain() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (roots, certificates) = written(dir.path(), "one", &[NAME]);
    let listen = "listen = \"[::]:0\"\ntls_listen = \"[::]:0\"";
    let mut gateway = Secure::start(dir.path(), listen, &(certificates + FILES)).await;
    let roots = std::fs::read(roots).expect("it is there");
    let request = b"GET /f/tool HTTP/1.1\r\nHost: get.example.org\r\nConnection: close\r\n\r\n";
    for host in ["127.0.0.1", "::1"] {
        let to = |port| SocketAddr::new(host.parse().expect("an address"), port);
        check_status(&exchange_plain(to(gateway.address.port()), request).await, 302);
        let stream = TcpStream::connect(to(gateway.tls_address().port())).await.expect("it listens");
        let secure = handshake(stream, NAME, &roots, &[]).await.expect("it shakes hands");
        check_status(&crate::secure::exchange(secure, request).await, 302);
    }
    let addresses: Vec<_> = gateway.records().iter().map(|r| r.client_ip.expect("known").to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1", "127.0.0.1", "::1", "::1"]);
    gateway.stop().await;
}

#[tokio::test]
async fn skopeo_pulls_over_https() {
    if !is_here(&program("docker-registry")) || !is_here(&program("skopeo")) {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (roots, certificates) = written(dir.path(), "one", &["localhost"]);
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    let (manifest, layer) = registry.push_image("app", "1.0", b"a layer").await;
    let route =
        format!("[[route]]\nid = \"i\"\nkind = \"oci\"\nmatch = \"{{image}}\"\nupstream = \"{}\"\n", registry.url(""));
    let mut gateway = Secure::start(dir.path(), TLS, &(certificates + &route)).await;
    let trusted = dir.path().join("trusted");
    std::fs::create_dir(&trusted).expect("a folder");
    std::fs::copy(roots, trusted.join("ca.crt")).expect("it is copied");
    let mut skopeo = Command::new(program("skopeo"));
    skopeo.args(["copy", "--insecure-policy", "--src-cert-dir"]).arg(&trusted);
    skopeo.arg(format!("docker://localhost:{}/app:1.0", gateway.tls_address().port()));
    let output = run(skopeo.arg(format!("dir:{}", dir.path().join("copy").display()))).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let blob = layer.strip_prefix("sha256:").expect("a digest");
    assert_eq!(std::fs::read(dir.path().join("copy").join(blob)).expect("the layer is there"), b"a layer");
    let records = gateway.records();
    assert!(records.iter().all(|r| r.tls && r.status == 200), "{records:?}");
    assert!(records.iter().any(|r| r.digest.as_deref() == Some(&manifest)), "{records:?}");
    gateway.stop().await;
}
