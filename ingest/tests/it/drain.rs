//! The end of a gateway: it says so first, and lets what is under way end.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::{PATIENCE, Running, client, until};

/// An upstream whose one blob comes in two halves, the second when it is told.
struct SlowUpstream {
    address: SocketAddr,
    release: oneshot::Sender<()>,
}

/// Both halves are more than the gateway keeps of a blob, so that it passes them on as they come.
const HALF: &[u8] = &[b'x'; 1 << 20];

impl SlowUpstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a port");
        let (release, released) = oneshot::channel();
        tokio::spawn(async move {
            let (mut stream, _peer) = listener.accept().await.expect("a connection");
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.expect("a request") > 0);
            let length = 2 * HALF.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("the gateway reads");
            stream.write_all(HALF).await.expect("the gateway reads");
            if released.await.is_ok() {
                stream.write_all(HALF).await.expect("the gateway reads");
            }
        });
        Self { address, release }
    }

    fn rules(&self) -> String {
        format!(
            "[[route]]\nid = \"i\"\nkind = \"oci\"\nmatch = \"{{image}}\"\nupstream = \"http://{}\"\n",
            self.address
        )
    }
}

fn blob() -> String {
    format!("/v2/app/blobs/sha256:{}", "0".repeat(64))
}

async fn readiness(address: SocketAddr) -> Option<u16> {
    let answer = client().get(format!("http://{address}/readyz")).send().await.ok()?;
    Some(answer.status().as_u16())
}

#[tokio::test]
async fn a_slow_download_ends_well_after_the_gateway_said_that_it_ends() {
    let upstream = SlowUpstream::start().await;
    let gateway = Running::start("admin_listen = \"127.0.0.1:0\"\ndrain_timeout_s = 600", &upstream.rules()).await;
    let (public, admin) = (gateway.address, gateway.admin.expect("an address"));
    assert_eq!((readiness(public).await, readiness(admin).await), (Some(200), Some(200)));
    let mut idle = TcpStream::connect(public).await.expect("a connection");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is open");
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let mut download = client().get(gateway.url(&blob())).send().await.expect("an answer");
    assert_eq!(download.status(), 200);
    let mut length = 0;
    while length < HALF.len() {
        length += download.chunk().await.expect("bytes").expect("a half").len();
    }
    gateway.begin_stop();
    until("the gateway says that it ends", async || readiness(admin).await == Some(503)).await;
    until("nobody new is let in", async || TcpStream::connect(public).await.is_err()).await;
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("in time");
    closed.expect("the idle connection is closed in order");

    upstream.release.send(()).expect("the upstream waits");
    while let Some(chunk) = download.chunk().await.expect("the rest of the download") {
        length += chunk.len();
    }
    assert_eq!(length, 2 * HALF.len());
    gateway.stop().await;
}

#[tokio::test]
async fn a_download_that_does_not_end_is_cut_off_when_the_time_is_over() {
    let upstream = SlowUpstream::start().await;
    let gateway = Running::start("drain_timeout_s = 1", &upstream.rules()).await;
    let mut download = client().get(gateway.url(&blob())).send().await.expect("an answer");
    download.chunk().await.expect("bytes").expect("a half");
    gateway.stop().await;
    let ended = loop {
        match download.chunk().await {
            Ok(Some(_chunk)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err(), "half a download must not look like a whole one");
    drop(upstream.release);
}

#[tokio::test]
async fn during_the_delay_everything_is_answered_but_readiness_and_connections_are_let_go() {
    let rules = "[[route]]\nid = \"f\"\nkind = \"file\"\nmatch = \"/f/{p}\"\nto = \"https://example.org/{p}\"\n";
    let gateway = Running::start("admin_listen = \"127.0.0.1:0\"\ndrain_delay_s = 2", rules).await;
    gateway.begin_stop();
    let public = gateway.address;
    until("a balancer is told", async || readiness(public).await == Some(503)).await;
    let answer = client().get(gateway.url("/f/x")).send().await.expect("an answer");
    let connection = answer.headers().get("connection").and_then(|value| value.to_str().ok());
    assert_eq!((answer.status().as_u16(), connection), (302, Some("close")));
    gateway.stop().await;
    assert!(TcpStream::connect(public).await.is_err());
}
