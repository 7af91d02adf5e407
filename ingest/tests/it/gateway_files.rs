//! Files and everything that is the same for all kinds of request, over real sockets.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use whopulls_schemas::raw::{ClientIpSource, HttpVersion, Kind, Outcome};

use crate::support::{PATIENCE, Running, client, header, until};

const FILES: &str = r#"
[[route]]
id = "files"
kind = "file"
match = "/releases/{version}/app-{os}-{arch}.tar.gz"
to = "https://files.example.org/app/{version}/{os}/{arch}"
package = "app"

[[route]]
id = "kept"
kind = "file"
match = "/kept/{package}"
to = "https://kept.example.org/{package}"
status = 307
"#;

#[tokio::test]
async fn a_file_is_redirected_and_recorded() {
    let mut gateway = Running::start("query_keys = [\"channel\"]", FILES).await;
    let path = "/releases/1.2/app-linux-x86_64.tar.gz";
    let request = client()
        .get(gateway.url(&format!("{path}?channel=ci&token=s3cret")))
        .header("user-agent", "curl/8.9")
        .header("authorization", "Bearer s3cret")
        .header("sec-gpc", "1");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 302);
    let location = "https://files.example.org/app/1.2/linux/x86_64?channel=ci&token=s3cret";
    assert_eq!(header(&response, "location"), Some(location));
    let records = gateway.records();
    let [record] = records.as_slice() else { panic!("not one record: {records:?}") };
    assert_eq!((record.kind, record.outcome, record.status), (Kind::File, Some(Outcome::Redirected), 302));
    assert_eq!((record.package.as_deref(), record.version.as_deref()), (Some("app"), Some("1.2")));
    assert_eq!((record.route.as_deref(), record.path.as_str()), (Some("files"), path));
    assert_eq!(record.vars.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["arch=x86_64", "os=linux"]);
    assert_eq!(record.query.get("channel").map(String::as_str), Some("ci"));
    assert_eq!((record.dnt, record.gpc, record.http_version), (false, true, Some(HttpVersion::Http11)));
    assert_eq!(record.client_ip, Some("127.0.0.1".parse().expect("an address")));
    assert_eq!(record.client_ip_source, ClientIpSource::Socket);
    assert!(!String::from_utf8_lossy(&record.encode()).contains("s3cret"));
    gateway.stop().await;
}

#[tokio::test]
async fn what_no_rule_answers_is_refused_and_recorded() {
    let mut gateway = Running::start("", FILES).await;
    let client = client();
    let head = client.head(gateway.url("/kept/x")).send().await.expect("an answer");
    assert_eq!((head.status().as_u16(), header(&head, "location")), (307, Some("https://kept.example.org/x")));
    assert_eq!(client.get(gateway.url("/other")).send().await.expect("an answer").status(), 404);
    assert_eq!(client.get(gateway.url("/v2/")).send().await.expect("an answer").status(), 404);
    let post = client.post(gateway.url("/kept/x")).send().await.expect("an answer");
    assert_eq!((post.status().as_u16(), header(&post, "allow")), (405, Some("GET, HEAD")));
    let long = format!("/kept/{}", "x".repeat(3000));
    assert_eq!(client.get(gateway.url(&long)).send().await.expect("an answer").status(), 414);
    let seen: Vec<(u16, Option<Outcome>)> = gateway.records().iter().map(|r| (r.status, r.outcome)).collect();
    let refused = Some(Outcome::Refused);
    assert_eq!(
        seen,
        [(307, Some(Outcome::Redirected)), (404, refused), (404, refused), (405, refused), (414, refused)]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_forwarding_header_counts_only_by_trust() {
    const CLIENT: &str = "198.51.100.7";
    let cases = [
        ("", "127.0.0.1", ClientIpSource::Socket),
        ("trusted_proxies = [\"127.0.0.0/8\"]", CLIENT, ClientIpSource::Forwarded),
        ("trusted_proxies = [\"10.0.0.0/8\"]", "127.0.0.1", ClientIpSource::Socket),
        ("trusted_hops = 1", CLIENT, ClientIpSource::Forwarded),
    ];
    for (trust, address, source) in cases {
        let mut gateway = Running::start(trust, FILES).await;
        let forwarded = format!("203.0.113.66, {CLIENT}");
        let request = client().get(gateway.url("/kept/x")).header("x-forwarded-for", forwarded);
        request.send().await.expect("an answer");
        let records = gateway.records();
        let seen: Vec<_> = records.iter().map(|r| (r.client_ip.map(|ip| ip.to_string()), r.client_ip_source)).collect();
        assert_eq!(seen, [(Some(address.to_owned()), source)], "{trust}");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_request_is_recorded_once_in_both_protocols() {
    let mut gateway = Running::start("", FILES).await;
    let h2c = reqwest::Client::builder().http2_prior_knowledge().no_proxy();
    let h2c = h2c.redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let client = if task % 2 == 0 { client() } else { h2c.clone() };
            let base = gateway.url("/kept");
            tokio::spawn(async move {
                for i in 0..50 {
                    let response = client.get(format!("{base}/p{task}-{i}")).send().await.expect("an answer");
                    assert_eq!(response.status(), 307);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("every request is answered");
    }
    let records = gateway.records();
    let packages: BTreeSet<_> = records.iter().filter_map(|r| r.package.clone()).collect();
    let ids: BTreeSet<_> = records.iter().map(|r| r.id).collect();
    let h2 = records.iter().filter(|r| r.http_version == Some(HttpVersion::Http2)).count();
    assert_eq!((records.len(), packages.len(), ids.len(), h2), (800, 800, 800, 400));
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_spool_never_breaks_a_download_and_is_counted() {
    let spool = "[spool]\nsegment_bytes = 65536\nbytes_max = 131072\n";
    let gateway = Running::start("admin_listen = \"127.0.0.1:0\"", &format!("{spool}{FILES}")).await;
    let client = client();
    let package = "x".repeat(1000);
    for _ in 0..200 {
        let response = client.get(gateway.url(&format!("/kept/{package}"))).send().await.expect("an answer");
        assert_eq!(response.status(), 307);
    }
    let admin = gateway.admin.expect("the operators' listener");
    let metrics = client.get(format!("http://{admin}/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("a page");
    let value = |name: &str| {
        let line = metrics.lines().find(|l| l.starts_with(name)).expect("the metric is there");
        line.rsplit(' ').next().and_then(|v| v.parse::<u64>().ok()).expect("a number")
    };
    let (recorded, lost) = (value("whopulls_gateway_recorded_total"), value("whopulls_gateway_records_lost_total"));
    assert!(recorded > 10 && lost > 10, "{recorded} recorded, {lost} lost");
    assert_eq!(recorded + lost, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn readiness_ends_with_the_drain_and_a_request_under_way_does_not() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let route = format!(
        "[[route]]\nid = \"slow\"\nkind = \"oci\"\nmatch = \"slow/{{image}}\"\nupstream = \"http://{}\"\n",
        upstream.local_addr().expect("an address")
    );
    let mut gateway = Running::start("admin_listen = \"127.0.0.1:0\"", &route).await;
    let admin = gateway.admin.expect("the operators' listener");
    let ready = |path: &'static str| async move {
        client().get(format!("http://{admin}{path}")).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((ready("/healthz").await, ready("/readyz").await), (200, 200));
    let url = gateway.url("/v2/slow/app/manifests/1.0");
    let pull = tokio::spawn(async move { client().get(url).send().await });
    let (mut asked, _peer) = upstream.accept().await.expect("the gateway asks");
    let mut request = [0; 1024];
    assert!(asked.read(&mut request).await.expect("a request") > 0);
    gateway.begin_stop();
    until("readiness ends", async || ready("/readyz").await == 503).await;
    asked.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("the upstream answers");
    let response = pull.await.expect("the pull ends").expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(gateway.records().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_cut_off() {
    let gateway = Running::start("header_timeout_s = 1", FILES).await;
    for silence in ["", "G", "PRI", "GET /kept/x HTTP/1.1\r\nhost: a\r\nx-slow:"] {
        let mut stream = TcpStream::connect(gateway.address).await.expect("a connection");
        stream.write_all(silence.as_bytes()).await.expect("some bytes");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still open after {silence:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_down_or_slow_is_said_in_the_registrys_shape() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let route = |id: &str, listener: &TcpListener| {
        let address = listener.local_addr().expect("an address");
        format!(
            "[[route]]\nid = \"{id}\"\nkind = \"oci\"\nmatch = \"{id}/{{image}}\"\nupstream = \"http://{address}\"\n"
        )
    };
    let routes = format!("{}{}", route("silent", &silent), route("gone", &gone));
    drop(gone);
    let mut gateway = Running::start("upstream_timeout_s = 1", &routes).await;
    let ask = async |path: &str| {
        let response =
            client().get(gateway.url(path)).timeout(Duration::from_secs(20)).send().await.expect("an answer");
        let status = response.status().as_u16();
        let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
        (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask("/v2/silent/app/manifests/1.0").await, (504, "UNAVAILABLE".into()));
    assert_eq!(ask("/v2/gone/app/manifests/1.0").await, (502, "UNAVAILABLE".into()));
    assert_eq!(ask("/v2/other/app/manifests/1.0").await, (404, "NAME_UNKNOWN".into()));
    assert_eq!(ask("/v2/_catalog").await, (404, "UNSUPPORTED".into()));
    let outcomes: Vec<_> = gateway.records().iter().filter_map(|r| r.outcome).collect();
    let (failed, refused) = (Outcome::UpstreamError, Outcome::Refused);
    assert_eq!(outcomes, [failed, failed, refused, refused]);
    gateway.stop().await;
}
