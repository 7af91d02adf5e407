//! The PROXY protocol on real connections: whose word is taken, and whose is not.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use whopulls_schemas::raw::ClientIpSource;

use crate::secure::{FILES, Secure, check_status, exchange, exchange_plain, handshake, written};
use crate::support::until;

const REQUEST: &str = "GET /f/tool HTTP/1.1\r\nHost: get.example.org\r\nConnection: close\r\n\r\n";
const LINE: &str = "PROXY TCP4 203.0.113.9 10.0.0.1 54321 443\r\n";
const TRUSTED: &str = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\", \"198.51.100.0/24\"]";

fn listening(keys: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\ntls_listen = \"127.0.0.1:0\"\n{keys}")
}

async fn start(dir: &tempfile::TempDir, keys: &str) -> (Secure, Vec<u8>) {
    let (roots, certificates) = written(dir.path(), "one", &["get.example.org"]);
    let roots = std::fs::read(roots).expect("it is there");
    (Secure::start(dir.path(), &listening(keys), &(certificates + FILES)).await, roots)
}

/// Version 2, an IPv6 client, with something that a balancer appends.
fn binary() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x29".to_vec();
    for address in ["2001:db8::9", "2001:db8::1"] {
        header.extend(address.parse::<std::net::Ipv6Addr>().expect("an address").octets());
    }
    header.extend([0xD4, 0x31, 0x01, 0xBB, 0xEA, 0, 2, b'v', b'p']);
    header
}

/// The last request's client, and how it was learned.
fn client(gateway: &mut Secure) -> (String, ClientIpSource) {
    let records = gateway.records();
    let record = records.last().expect("there is a record");
    (record.client_ip.expect("the address is known").to_string(), record.client_ip_source)
}

#[tokio::test]
async fn a_trusted_balancers_header_names_the_client() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut gateway, roots) = start(&dir, TRUSTED).await;
    check_status(&exchange_plain(gateway.address, format!("{LINE}{REQUEST}").as_bytes()).await, 302);
    assert_eq!(client(&mut gateway), ("203.0.113.9".into(), ClientIpSource::ProxyProtocol));
    let both = [binary(), REQUEST.into()].concat();
    check_status(&exchange_plain(gateway.address, &both).await, 302);
    assert_eq!(client(&mut gateway), ("2001:db8::9".into(), ClientIpSource::ProxyProtocol));
    // A health check of the balancer's own.
    check_status(&exchange_plain(gateway.address, format!("PROXY UNKNOWN\r\n{REQUEST}").as_bytes()).await, 302);
    assert_eq!(client(&mut gateway), ("127.0.0.1".into(), ClientIpSource::Socket));

    for header in [LINE.as_bytes().to_vec(), binary()] {
        let mut stream = TcpStream::connect(gateway.tls_address()).await.expect("it listens");
        stream.write_all(&header).await.expect("it is sent");
        let secure =
            handshake(stream, "get.example.org", &roots, &[]).await.expect("it shakes hands behind the header");
        check_status(&exchange(secure, REQUEST.as_bytes()).await, 302);
        assert_eq!(client(&mut gateway).1, ClientIpSource::ProxyProtocol);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_header_in_pieces_is_read_and_not_a_byte_more() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut gateway, _) = start(&dir, TRUSTED).await;
    for header in [LINE.as_bytes().to_vec(), binary()] {
        let mut stream = TcpStream::connect(gateway.address).await.expect("it listens");
        stream.set_nodelay(true).expect("an option of every socket");
        for byte in &header {
            stream.write_all(&[*byte]).await.expect("it is sent");
            tokio::task::yield_now().await;
        }
        check_status(&exchange(stream, REQUEST.as_bytes()).await, 302);
        assert_eq!(client(&mut gateway).1, ClientIpSource::ProxyProtocol);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_trusted_balancer_without_a_header_is_closed_and_counted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut gateway, _) = start(&dir, &format!("{TRUSTED}\nheader_timeout_s = 1")).await;
    let malformed = "PROXY TCP4 203.0.113.9\r\n";
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
    for bytes in [REQUEST, malformed, &endless] {
        assert_eq!(exchange_plain(gateway.address, bytes.as_bytes()).await, "");
    }
    until("all three are counted", async || gateway.ended("proxy_header") == 3).await;
    // One that says nothing is not waited for.
    assert_eq!(exchange_plain(gateway.address, b"PROXY TCP4").await, "");
    until("it is counted", async || gateway.ended("handshake_timeout") == 1).await;
    assert_eq!(gateway.records().len(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_name_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut gateway, _) = start(&dir, "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]").await;
    check_status(&exchange_plain(gateway.address, format!("{LINE}{REQUEST}").as_bytes()).await, 400);
    check_status(&exchange_plain(gateway.address, REQUEST.as_bytes()).await, 302);
    assert_eq!(client(&mut gateway), ("127.0.0.1".into(), ClientIpSource::Socket));
    gateway.stop().await;
}

#[tokio::test]
async fn without_the_setting_a_header_is_no_request() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (gateway, _) = start(&dir, "trusted_proxies = [\"127.0.0.0/8\"]").await;
    check_status(&exchange_plain(gateway.address, format!("{LINE}{REQUEST}").as_bytes()).await, 400);
    gateway.stop().await;
}

#[tokio::test]
async fn forwarded_addresses_count_behind_a_header_only_if_its_address_is_trusted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut gateway, _) = start(&dir, TRUSTED).await;
    let forwarded = REQUEST.replace("Connection", "X-Forwarded-For: 192.0.2.7\r\nConnection");
    let from = |source: SocketAddr| format!("PROXY TCP4 {} 10.0.0.1 1 2\r\n{forwarded}", source.ip());
    let of = async |gateway: &mut Secure, source: &str| {
        let text = from(SocketAddr::new(source.parse().expect("an address"), 1));
        check_status(&exchange_plain(gateway.address, text.as_bytes()).await, 302);
        client(gateway)
    };
    assert_eq!(of(&mut gateway, "198.51.100.4").await, ("192.0.2.7".into(), ClientIpSource::Forwarded));
    assert_eq!(of(&mut gateway, "203.0.113.9").await, ("203.0.113.9".into(), ClientIpSource::ProxyProtocol));
    gateway.stop().await;
}
