//! The gateway's threads: their listeners, and what becomes of connections at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use whopulls_ingest::GatewayRole;
use whopulls_schemas::config::Config;

use crate::support::{Running, client, until};

const FILES: &str = r#"
[[route]]
id = "kept"
kind = "file"
match = "/kept/{package}"
to = "https://kept.example.org/{package}"
"#;

async fn open_on(address: SocketAddr) -> anyhow::Result<GatewayRole> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = format!("data = \"{}\"\n[gateway]\nlisten = \"{address}\"\n{FILES}", dir.path().display());
    GatewayRole::open(&Config::parse("test", &text, &[]).expect("the configuration is good")).await
}

#[track_caller]
fn check_refused(opened: anyhow::Result<GatewayRole>, address: SocketAddr) {
    let error = format!("{:#}", opened.expect_err("the port is taken"));
    assert!(error.contains(&format!("listen on {address}")), "{error}");
}

#[tokio::test]
async fn a_port_that_anybody_listens_on_is_refused_although_the_threads_share_theirs() {
    let gateway = Running::start("", FILES).await;
    check_refused(open_on(gateway.address).await, gateway.address);
    gateway.stop().await;
    let foreign = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = foreign.local_addr().expect("an address");
    check_refused(open_on(address).await, address);
    drop(foreign);
    open_on(address).await.expect("the port is free again");
}

#[tokio::test]
async fn an_address_of_all_interfaces_takes_clients_of_both_families() {
    let role = open_on("[::]:0".parse().expect("an address")).await.expect("the gateway opens");
    let port = role.local_addr().port();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(role.run(stop.clone()));
    for host in ["127.0.0.1", "[::1]"] {
        let answer = client().get(format!("http://{host}:{port}/kept/x")).send().await.expect("an answer");
        assert_eq!(answer.status(), 302, "{host}");
    }
    stop.cancel();
    running.await.expect("the gateway does not panic").expect("the gateway stops well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_below_the_number_of_threads_serves_one_client_after_the_other() {
    let mut gateway = Running::start("connections_max = 1", FILES).await;
    let pulls: Vec<_> = (0..32)
        .map(|_| {
            let request = client().get(gateway.url("/kept/x")).header("connection", "close");
            tokio::spawn(request.send())
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.await.expect("the pull ends").expect("an answer").status(), 302);
    }
    assert_eq!(gateway.records().len(), 32);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_amid_many_requests_loses_no_record_of_an_answer() {
    let mut gateway = Running::start("", FILES).await;
    let address = gateway.address;
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                let mut answer = [0; 1024];
                // Until the gateway ends the connection, in one way or another.
                while stream.write_all(b"GET /kept/x HTTP/1.1\r\nhost: a\r\n\r\n").await.is_ok()
                    && stream.read(&mut answer).await.is_ok_and(|read| read > 0)
                {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    until("the gateway is busy", async || answered.load(Ordering::SeqCst) > 2000).await;
    gateway.begin_stop();
    for client in clients {
        client.await.expect("the client ends");
    }
    let (answered, recorded) = (answered.load(Ordering::SeqCst), gateway.records().len());
    gateway.stop().await;
    // An answer may be on its way when its client's connection ends, one for each.
    assert!((answered..=answered + 16).contains(&recorded), "{answered} answered, {recorded} recorded");
}
