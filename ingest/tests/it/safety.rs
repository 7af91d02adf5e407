//! Clients that are slow, greedy or sly, and upstreams that say too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::registry::{MANIFEST, Registry};
use crate::secure::{FILES, Secure, check_status, exchange, exchange_plain, written};
use crate::support::{PATIENCE, client, is_here, program, until};

const QUICK: &str = "listen = \"127.0.0.1:0\"\nheader_timeout_s = 1\nstall_timeout_s = 1";
/// What every HTTP/2 client begins with, and its empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET http://a/`, without Huffman.
const HEAD: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn head(stream: u32) -> Vec<u8> {
    frame(0x01, 0x05, stream, HEAD)
}

fn images(upstream: &str) -> String {
    format!("[[route]]\nid = \"i\"\nkind = \"oci\"\nmatch = \"{{image}}\"\nupstream = \"{upstream}\"\n")
}

/// An upstream that answers every connection with `answer`, and how many there were.
async fn upstream(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.expect("a request") > 0);
            stream.write_all(answer.as_bytes()).await.expect("it is sent");
        }
    });
    (url, asked)
}

#[tokio::test]
async fn who_does_not_finish_a_head_is_cut_off() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (_, certificates) = written(dir.path(), "one", &["get.example.org"]);
    let mut gateway =
        Secure::start(dir.path(), &format!("{QUICK}\ntls_listen = \"127.0.0.1:0\""), &(certificates + FILES)).await;
    exchange_plain(gateway.address, b"").await;
    exchange_plain(gateway.address, b"GET /f/tool HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    exchange_plain(gateway.address, b"PRI * HT").await;
    exchange_plain(gateway.address, PREFACE).await;
    // Of these, the library counts the one whose head began in HTTP/1.
    until("three are counted", async || gateway.ended("first_request_timeout") >= 3).await;
    exchange_plain(gateway.tls_address(), b"\x16\x03\x01").await;
    until("the handshake is counted", async || gateway.ended("handshake_timeout") == 1).await;
    assert_eq!(gateway.records().len(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_second_request_is_cut_off_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Secure::start(dir.path(), QUICK, FILES).await;
    let both = b"GET /f/tool HTTP/1.1\r\nHost: a\r\n\r\nGET /f/tool HTTP/1.1\r\nHost:";
    check_status(&exchange_plain(gateway.address, both).await, 302);
    gateway.stop().await;
}

#[tokio::test]
async fn an_http_2_connection_without_requests_is_ended() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Secure::start(dir.path(), QUICK, FILES).await;
    exchange_plain(gateway.address, &[PREFACE, &head(1)].concat()).await;
    assert_eq!(gateway.ended("idle"), 1);
    // A head that goes on for ever is no request either.
    let unfinished = frame(0x01, 0x00, 3, HEAD);
    exchange_plain(gateway.address, &[PREFACE, &head(1), &unfinished].concat()).await;
    assert_eq!(gateway.ended("idle"), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_off_and_who_reads_slowly_is_not() {
    if !is_here(&program("docker-registry")) {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let storage = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(storage.path(), None);
    // More than the sockets of the kernel hold between the two.
    let blob = registry.push_blob("big", &vec![7; 32 << 20]).await;
    let gateway = Secure::start(dir.path(), QUICK, &images(&registry.url(""))).await;
    let path = format!("/v2/big/blobs/{blob}");

    let mut still = TcpStream::connect(gateway.address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    still.write_all(request.as_bytes()).await.expect("it is sent");
    until("it is cut off", async || gateway.ended("stalled") == 1).await;

    let second = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let unread = second.get(format!("http://{}{path}", gateway.address)).send().await.expect("an answer");
    assert_eq!((unread.status(), unread.version()), (http::StatusCode::OK, http::Version::HTTP_2));
    until("it is cut off on HTTP/2", async || gateway.ended("stalled") == 2).await;

    // 24 pieces with a pause between them take longer than the patience, which each of them renews.
    let mut slow = client().get(format!("http://{}{path}", gateway.address)).send().await.expect("an answer");
    let (mut read, mut paused) = (0, 0);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    while let Some(piece) = slow.chunk().await.expect("it goes on") {
        read += piece.len();
        if read > (paused + 1) << 20 && paused < 24 {
            paused += 1;
            pace.tick().await;
        }
    }
    assert_eq!((read, paused), (32 << 20, 24));
    assert_eq!(gateway.ended("stalled"), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn who_asks_again_and_again_and_reads_nothing_is_cut_off() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Secure::start(dir.path(), QUICK, FILES).await;
    let stream = TcpStream::connect(gateway.address).await.expect("it listens");
    // Answers pile up until the kernel takes no more of them; then the gateway reads no more requests.
    let (read, mut write) = stream.into_split();
    let flood = "GET /f/tool HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000);
    let sent = tokio::time::timeout(PATIENCE, async { while write.write_all(flood.as_bytes()).await.is_ok() {} }).await;
    assert!(sent.is_ok(), "it is cut off in time");
    assert_eq!(gateway.ended("stalled"), 1);
    drop(read);
    gateway.stop().await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (url, asked) = upstream("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = Secure::start(dir.path(), QUICK, &images(&url)).await;
    let mut flood = PREFACE.to_vec();
    for request in 0..20_000 {
        flood.extend(head(2 * request + 1));
        flood.extend(frame(0x03, 0, 2 * request + 1, &8_u32.to_be_bytes()));
    }
    let mut stream = TcpStream::connect(gateway.address).await.expect("it listens");
    // It may be closed before all of it is sent.
    let sent = stream.write_all(&flood).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends in time");
    // GOAWAY with ENHANCE_YOUR_CALM, unless the close overtook it.
    let calm = answer.windows(4).any(|bytes| bytes == 11_u32.to_be_bytes());
    assert!(calm || sent.is_err() || read.is_err(), "{} bytes of answer", answer.len());
    assert!(asked.load(Ordering::SeqCst) < 200, "{} went upstream", asked.load(Ordering::SeqCst));
    check_status(
        &exchange_plain(gateway.address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await,
        404,
    );
    gateway.stop().await;
}

#[tokio::test]
async fn heads_and_paths_have_bounds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Secure::start(dir.path(), QUICK, FILES).await;
    let big = format!("GET /f/tool HTTP/1.1\r\nHost: a\r\nX-Big: {}\r\n\r\n", "x".repeat(40 << 10));
    check_status(&exchange_plain(gateway.address, big.as_bytes()).await, 431);
    let many = format!("GET /f/tool HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(500));
    check_status(&exchange_plain(gateway.address, many.as_bytes()).await, 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "x".repeat(9 << 10));
    check_status(&exchange_plain(gateway.address, long.as_bytes()).await, 414);
    gateway.stop().await;
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_goes_nowhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (url, asked) = upstream("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = Secure::start(dir.path(), QUICK, &images(&url)).await;
    let inner = "GET /v2/inner/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (what, head) in [
        ("two lengths", "Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n"),
        ("a length that is none", "Host: a\r\nContent-Length: +5\r\n"),
        ("a length and chunks", "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("chunks and a length", "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("an unknown coding", "Host: a\r\nTransfer-Encoding: xchunked\r\n"),
        ("a folded line", "Host: a\r\nX-Folded: b\r\n c\r\n"),
        ("a space before the colon", "Host: a\r\nTransfer-Encoding : chunked\r\n"),
        ("a bare carriage return", "Host: a\r\nX-Bare: b\rc\r\n"),
        ("a zero byte", "Host: a\r\nX-Zero: b\0c\r\n"),
        ("two hosts", "Host: a\r\nHost: b\r\n"),
        ("no host", "X-None: b\r\n"),
    ] {
        let text = format!("GET /v2/app/manifests/1 HTTP/1.1\r\n{head}\r\n{inner}");
        let answer = exchange_plain(gateway.address, text.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
    let other_host = format!("GET http://a/v2/app/manifests/1 HTTP/1.1\r\nHost: b\r\n\r\n{inner}");
    check_status(&exchange_plain(gateway.address, other_host.as_bytes()).await, 400);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing went upstream");
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_wanted_is_not_the_next_request() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Secure::start(dir.path(), QUICK, FILES).await;
    let inner = "GET /f/inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let text = format!("GET /f/outer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let answer = exchange_plain(gateway.address, text.as_bytes()).await;
    assert!(answer.contains("/outer") && !answer.contains("/inner"), "{answer}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstreams_hop_by_hop_fields_and_cookies_end_here() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (url, asked) = upstream(concat!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: 2\r\n",
        "Connection: keep-alive, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n",
        "Proxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-Later\r\nUpgrade: h2c\r\nSet-Cookie: a=b\r\n",
        "WWW-Authenticate: Basic\r\nAlt-Svc: h3=\":443\"\r\nStrict-Transport-Security: max-age=1\r\n\r\n{}",
    ))
    .await;
    let gateway = Secure::start(dir.path(), QUICK, &images(&url)).await;
    let request = client().get(format!("http://{}/v2/app/manifests/1", gateway.address)).header("accept", MANIFEST);
    let answer = request.send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), asked.load(Ordering::SeqCst)), (200, 1));
    for name in [
        "connection",
        "x-named",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "set-cookie",
        "www-authenticate",
        "alt-svc",
        "strict-transport-security",
    ] {
        assert!(!answer.headers().contains_key(name), "{name}: {:?}", answer.headers());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn trailing_bytes_of_a_closed_client_cost_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let gateway = Secure::start(dir.path(), QUICK, FILES).await;
    let stream = TcpStream::connect(gateway.address).await.expect("it listens");
    let answer =
        exchange(stream, b"GET /f/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /f/b HTTP/1.1\r\n\r\n").await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    until("the connection is gone", async || gateway.metrics.connections.get() == 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_stopped_gateway_has_let_go_of_its_spool() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for _ in 0..2 {
        let gateway = Secure::start(dir.path(), QUICK, FILES).await;
        gateway.stop().await;
    }
}
