//! Plain requests are answered apart from the HTTP library, and nobody can tell.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::RawAccess;

use crate::support::{PATIENCE, Running};

const ROUTES: &str = r#"
[[route]]
id = "files"
kind = "file"
match = "/releases/{version}/app-{os}-{arch}.tar.gz"
to = "https://files.example.org/app/{version}/{os}/{arch}"
package = "app"

[[route]]
id = "host"
kind = "file"
host = "get.example.org"
match = "/{package}/{path...}"
to = "https://cdn.example.org/{+path}"
status = 307

[[route]]
id = "query"
kind = "file"
match = "/kept/{package}/{version}/{zone}"
to = "https://kept.example.org/{package}{?version,zone}"
status = 308
"#;

/// Heads without their empty line.
const HEADS: [&str; 15] = [
    "GET /releases/1.2/app-linux-x86_64.tar.gz HTTP/1.1\r\nHost: a.example.org:8080\r\nUser-Agent: curl/8.9\r\nAccept: */*",
    "HEAD /releases/1.2/app-linux-x86_64.tar.gz HTTP/1.1\r\nHost: a\r\nDNT: 1\r\nSec-GPC: 1\r\nRange: bytes=5-9",
    "GET /releases/1%2f2/app-a%20b-%C3%A9.tar.gz HTTP/1.1\r\nHost: A.Example.ORG\r\nReferer: https://e.org/p?key=s3cret",
    "GET /tool/1/a%0D%0Ab%2525 HTTP/1.1\r\nhost: GET.example.org\r\nAccept: text/html, \"x\\y\"\r\nDNT: 0",
    "GET /tool/1/%C2%A1%F0%9F%92%BE HTTP/1.1\r\nhost: get.example.org",
    "GET /kept/x/1+2/a~b HTTP/1.1\r\nhost: [::1]:80\r\nconnection: keep-alive\r\nx-forwarded-for: 198.51.100.7",
    "GET /kept/x/1/b HTTP/1.1\r\nhost: a\r\naccept: a\r\naccept: b",
    "GET /kept/x/1/b?c=d&token=s3cret HTTP/1.1\r\nhost: a",
    "GET /kept/x/1/b HTTP/1.1\r\nhost: a\r\nuser-agent: caf\u{e9}",
    "GET /kept/x/1/.. HTTP/1.1\r\nhost: a",
    "GET /nothing HTTP/1.1\r\nhost: a",
    "GET /v2/ HTTP/1.1\r\nhost: a",
    "POST /kept/x/1/b HTTP/1.1\r\nhost: a",
    "GET /kept/x/1/b HTTP/1.1",
    "GET http://get.example.org/tool/1/2 HTTP/1.1\r\nhost: b",
];

/// Reads answers with whole heads until `count` of them are there, and their bodies.
async fn answers(stream: &mut TcpStream, count: usize) -> String {
    let mut text = String::new();
    let missing = |text: &str| {
        let mut left = text;
        for _ in 0..count {
            let Some((head, after)) = left.split_once("\r\n\r\n") else { return 1 };
            let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            let length: usize = length.parse().expect("a length");
            let Some(after) = after.get(length..) else { return length - after.len() };
            left = after;
        }
        0
    };
    while missing(&text) > 0 {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await.expect("in time").expect("an answer");
        assert!(read > 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&piece[..read]).expect("text"));
    }
    text
}

/// Sends a request on a connection of its own and gives its answer.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("the request is sent");
    answers(&mut stream, 1).await
}

/// An answer without what differs from second to second.
fn timeless(answer: &str) -> String {
    let lines = answer.split("\r\n").map(|line| if line.starts_with("date: ") { "date: D" } else { line });
    lines.collect::<Vec<_>>().join("\r\n")
}

fn timeless_record(mut record: RawAccess) -> RawAccess {
    (record.id, record.ts, record.seq, record.duration_us) = (Uuid::nil(), UnixMicros(0), 0, 0);
    record
}

#[tokio::test]
async fn an_answer_and_its_record_are_the_same_as_the_librarys() {
    for trust in ["", "trusted_hops = 1", "trusted_proxies = [\"127.0.0.0/8\"]"] {
        let mut gateway = Running::start(trust, ROUTES).await;
        for head in HEADS {
            let plain = exchange(gateway.address, format!("{head}\r\n\r\n").as_bytes()).await;
            let length = exchange(gateway.address, format!("{head}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
            assert_eq!(timeless(&plain), timeless(&length), "{head}");
            let records: Vec<RawAccess> = gateway.records().into_iter().map(timeless_record).collect();
            let [first, second] = records.as_slice() else { panic!("not two records for {head}: {records:?}") };
            assert_eq!(first, second, "{head}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn requests_sent_at_once_and_in_pieces_are_answered_in_their_order() {
    let mut gateway = Running::start("", ROUTES).await;
    // The third needs the library, which the rest of the connection stays with.
    let paths = ["/kept/a/1/z", "/kept/b/1/z", "/kept/c/1/z?q", "/kept/d/1/z", "/kept/e/1/z"];
    let heads: String =
        paths.map(|path| format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-pad: {}\r\n\r\n", "p".repeat(700))).concat();
    for piece in [heads.len(), 1000, 37] {
        let mut stream = TcpStream::connect(gateway.address).await.expect("a connection");
        stream.set_nodelay(true).expect("small pieces go at once");
        for bytes in heads.as_bytes().chunks(piece) {
            stream.write_all(bytes).await.expect("a piece is sent");
            tokio::task::yield_now().await;
        }
        let answers = answers(&mut stream, 5).await;
        let locations: Vec<&str> = answers.split("\r\n").filter_map(|line| line.strip_prefix("location: ")).collect();
        let expected = [
            "a?version=1&zone=z",
            "b?version=1&zone=z",
            "c?version=1&zone=z&q",
            "d?version=1&zone=z",
            "e?version=1&zone=z",
        ]
        .map(|end| format!("https://kept.example.org/{end}"));
        assert_eq!(locations, expected, "in pieces of {piece}");
        let packages: Vec<_> = gateway.records().into_iter().filter_map(|record| record.package).collect();
        assert_eq!(packages, ["a", "b", "c", "d", "e"]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_head_of_more_bytes_than_a_plain_one_has_is_answered_or_refused_by_the_library() {
    let mut gateway = Running::start("", ROUTES).await;
    for (pad, status) in [(1500, "308"), (5000, "308"), (20_000, "308"), (60_000, "431")] {
        let head = format!("GET /kept/a/1/z HTTP/1.1\r\nhost: a\r\nx-pad: {}\r\n\r\n", "p".repeat(pad));
        let mut stream = TcpStream::connect(gateway.address).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("the request is sent");
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&status_line), format!("HTTP/1.1 {status}"), "{pad}");
    }
    assert_eq!(gateway.records().len(), 3);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_between_plain_requests_is_cut_off() {
    let gateway = Running::start("header_timeout_s = 1", ROUTES).await;
    for rest in ["", "GET /kept"] {
        let mut stream = TcpStream::connect(gateway.address).await.expect("a connection");
        let sent = format!("GET /kept/a/1/z HTTP/1.1\r\nhost: a\r\n\r\n{rest}");
        stream.write_all(sent.as_bytes()).await.expect("the request is sent");
        let mut answer = String::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        ended.expect("still open").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_stop_ends_idle_connections_at_once() {
    let gateway = Running::start("", ROUTES).await;
    let mut stream = TcpStream::connect(gateway.address).await.expect("a connection");
    stream.write_all(b"GET /kept/a/1/z HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the request is sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    // Far below the time that a drain may take.
    tokio::time::timeout(Duration::from_secs(10), gateway.stop()).await.expect("the idle connection held the stop up");
}
