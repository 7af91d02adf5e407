//! Certificates from a real ACME authority: Let's Encrypt's Pebble, which `scripts/pebble prepare` builds.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::secure::{FILES, Secure, exchange, handshake, is_served, written};
use crate::support::{client, is_here, until};

const NAME: &str = "get.example.org";

/// Where `scripts/pebble prepare` puts it.
#[expect(clippy::disallowed_methods, reason = "the place of caches is said in the environment")]
fn pebble() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/pebble");
    let text = fs::read_to_string(script).expect("the script is there");
    let version = text.lines().find_map(|line| line.strip_prefix("version=")).expect("it names a version");
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|_| std::env::var("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.expect("there is a home").join(format!("whopulls/pebble-{version}/pebble"))
}

/// The authority; ended by its id when dropped.
struct Authority {
    process: Child,
    directory: SocketAddr,
    management: SocketAddr,
    certificate: PathBuf,
}

/// The ports that the authority looks at, which are the gateway's.
#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    tls: u16,
}

impl Ports {
    fn free() -> Self {
        Self { plain: free_port().port(), tls: free_port().port() }
    }

    fn listen(self) -> String {
        format!("listen = \"127.0.0.1:{}\"\ntls_listen = \"127.0.0.1:{}\"", self.plain, self.tls)
    }

    fn tls_address(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.tls))
    }
}

fn free_port() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port")
}

impl Authority {
    /// An authority whose certificates are valid for so many seconds.
    async fn start(dir: &Path, ports: Ports, validity_s: u64) -> Self {
        let (directory, management) = (free_port(), free_port());
        let (certificate, _) = written(dir, "authority", &["localhost", "127.0.0.1"]);
        let config = dir.join("pebble.json");
        let text = serde_json::json!({"pebble": {
            "listenAddress": directory.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate,
            "privateKey": dir.join("authority.key"),
            "httpPort": ports.plain,
            "tlsPort": ports.tls,
            "profiles": {"default": {"description": "for tests", "validityPeriod": validity_s}},
        }});
        fs::write(&config, text.to_string()).expect("it is written");
        let process = Command::new(pebble())
            .arg("-config")
            .arg(&config)
            .args(["-strict", "-dnsserver", &names().await.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the authority starts");
        let authority = Self { process, directory, management, certificate };
        until("the authority answers", async || authority.root().await.is_some()).await;
        authority
    }

    /// What clients of the authority's certificates trust; it changes with each start.
    async fn root(&self) -> Option<Vec<u8>> {
        let own = fs::read(&self.certificate).expect("it is there");
        let own = reqwest::Certificate::from_pem(&own).expect("it is a certificate");
        let client = reqwest::Client::builder().no_proxy().add_root_certificate(own).build().expect("a client");
        let answer = client.get(format!("https://{}/roots/0", self.management)).send().await.ok()?;
        Some(answer.bytes().await.expect("a body").to_vec())
    }

    fn section(&self, challenge: &str) -> String {
        // A rule that answers every path must not answer the authority.
        let all = "[[route]]\nid = \"all\"\nkind = \"file\"\nmatch = \"/{a}/{b}/{c}\"\nto = \"https://all.example.org/{a}\"\n";
        format!(
            "[tls.acme]\ndomains = [\"{NAME}\"]\ncontact = \"ops@example.org\"\nchallenge = \"{challenge}\"\n\
             directory = \"https://{}/dir\"\nca_file = \"{}\"\n{all}{FILES}",
            self.directory,
            self.certificate.display()
        )
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.process.kill().expect("the authority is ours to end");
        self.process.wait().expect("the authority ends");
    }
}

/// A name server to which every name is this machine, by IPv4 only. The authority asks it by TCP.
async fn names() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Each message has its length before it.
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    stream.read_exact(&mut query).await.expect("a query");
                    let answer = answer(&query).expect("it is a question");
                    stream.write_u16(u16::try_from(answer.len()).expect("it is short")).await.expect("it is sent");
                    stream.write_all(&answer).await.expect("it is sent");
                }
            });
        }
    });
    address
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name_bytes = query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(12..12 + name_bytes + 4)?;
    let asks_for_ipv4 = question.get(name_bytes..name_bytes + 2)? == [0, 1];
    // One question; one answer or none; neither authorities nor additions.
    let mut answer = [query.get(..2)?, &[0x81, 0x80, 0, 1, 0, u8::from(asks_for_ipv4), 0, 0, 0, 0], question].concat();
    if asks_for_ipv4 {
        // The name is that of the question; an address, for a minute, of four bytes.
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    }
    Some(answer)
}

const DAY_S: u64 = 86_400;

/// The certificate that is served: its serial number, its beginning and its end.
async fn served(address: SocketAddr, root: &[u8]) -> (Vec<u8>, i64, i64) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let stream = handshake(stream, NAME, root, &[b"http/1.1"]).await.expect("it shakes hands");
    let chain = stream.get_ref().1.peer_certificates().expect("there is a certificate");
    let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0]).expect("it is X.509");
    let validity = certificate.validity();
    (certificate.raw_serial().to_vec(), validity.not_before.timestamp(), validity.not_after.timestamp())
}

async fn check_challenge(challenge: &str) {
    if !is_here(&pebble()) {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ports = Ports::free();
    let authority = Authority::start(dir.path(), ports, 90 * DAY_S).await;
    let mut gateway = Secure::start(dir.path(), &ports.listen(), &authority.section(challenge)).await;
    let root = authority.root().await.expect("the authority answers");
    let address = ports.tls_address();
    until("a client that trusts the authority is served", async || is_served(address, NAME, &root).await).await;
    let stream = TcpStream::connect(address).await.expect("it listens");
    let stream = handshake(stream, NAME, &root, &[]).await.expect("it shakes hands");
    let answer = exchange(stream, b"GET /f/tool HTTP/1.1\r\nHost: get.example.org\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    let paths: Vec<_> = gateway.records().into_iter().map(|record| record.path).collect();
    assert_eq!(paths, ["/f/tool"], "the authority's questions are not recorded");
    // What was shown to the authority is gone.
    let stream = TcpStream::connect(address).await.expect("it listens");
    assert!(handshake(stream, NAME, &root, &[b"acme-tls/1"]).await.is_err());

    let kept = dir.path().join("data/acme");
    assert_eq!(fs::metadata(&kept).expect("it is there").permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&kept).expect("it is a folder") {
        let facts = entry.expect("an entry").metadata().expect("it is there");
        assert_eq!(facts.permissions().mode() & 0o777, 0o600);
    }
    let first = served(address, &root).await;
    assert_eq!((gateway.metrics.connection.acme_orders.get(), gateway.metrics.connection.acme_failures.get()), (1, 0));
    gateway.stop().await;

    let again = Secure::start(dir.path(), &ports.listen(), &authority.section(challenge)).await;
    assert_eq!(served(address, &root).await, first, "it is served from the first moment on");
    assert_eq!(again.metrics.connection.acme_orders.get(), 0, "without another order");
    again.stop().await;
}

#[tokio::test]
async fn a_certificate_is_given_by_http_01_and_kept() {
    check_challenge("http-01").await;
}

#[tokio::test]
async fn a_certificate_is_given_by_tls_alpn_01_and_kept() {
    check_challenge("tls-alpn-01").await;
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends() {
    if !is_here(&pebble()) {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ports = Ports::free();
    // Renewed when a third is left: after some eight seconds.
    let authority = Authority::start(dir.path(), ports, 12).await;
    let gateway = Secure::start(dir.path(), &ports.listen(), &authority.section("http-01")).await;
    let root = authority.root().await.expect("the authority answers");
    let address = ports.tls_address();
    until("the first is served", async || is_served(address, NAME, &root).await).await;
    let first = served(address, &root).await;
    let mut second = first.clone();
    until("another one is served", async || {
        second = served(address, &root).await;
        second.0 != first.0
    })
    .await;
    assert!(second.1 < first.2, "it was given before the first ended: {first:?} {second:?}");
    assert!(gateway.metrics.connection.acme_orders.get() >= 2);
    gateway.stop().await;
}

#[tokio::test]
async fn an_authority_that_does_not_answer_is_tried_again_and_downloads_go_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (certificate, _) = written(dir.path(), "authority", &["localhost"]);
    let section = format!(
        "[tls.acme]\ndomains = [\"{NAME}\"]\nchallenge = \"http-01\"\ndirectory = \"https://{}/dir\"\nca_file = \"{}\"\n{FILES}",
        free_port(),
        certificate.display()
    );
    let listen = "listen = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"";
    let gateway = Secure::start(dir.path(), listen, &section).await;
    until("the failure is counted", async || gateway.metrics.connection.acme_failures.get() == 1).await;
    let path = format!("http://{}/f/tool", gateway.address);
    assert_eq!(client().get(path).send().await.expect("an answer").status(), 302);
    // A path of challenges that nobody waits for is routed like any other.
    let path = format!("http://{}/.well-known/acme-challenge/x", gateway.address);
    assert_eq!(client().get(path).send().await.expect("an answer").status(), 404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let section = format!(
        "[tls.acme]\ndomains = [\"{NAME}\"]\nchallenge = \"http-01\"\nca_file = \"{}\"\n{FILES}",
        dir.path().join("none.pem").display()
    );
    let opened = Secure::try_start(dir.path(), "listen = \"127.0.0.1:0\"", &section).await;
    let text = format!("{:#}", opened.err().expect("it is refused"));
    assert!(text.contains("none.pem") && text.contains("No such file"), "{text}");
}
