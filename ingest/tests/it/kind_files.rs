//! Files by regular expression and through the gateway, pictures, telemetry, and the rest of a host, with curl and wget.

use serde_json::json;
use tokio::process::Command;
use whopulls_schemas::config::Config;
use whopulls_schemas::raw::{Kind, Outcome};

use crate::kind_upstream::{Upstream, brief, run, system_program};
use crate::registry::digest_of;
use crate::support::{Running, client, header};

fn rules(upstream: &Upstream) -> String {
    let address = upstream.address;
    format!(
        r#"
        [[route]]
        id = "nightlies"
        kind = "file"
        regex = "/nightly/(?P<version>[0-9-]+)/app(?:-(?P<os>[a-z]+))?\\.zip"
        package = "app"
        to = "http://{address}/nightly/{{version}}/app.zip{{?os}}"

        [[route]]
        id = "through"
        kind = "file"
        match = "/through/{{version}}/{{file}}"
        package = "app"
        to = "http://{address}/files/{{version}}/{{file}}"
        proxy = true

        [[route]]
        id = "pixel"
        kind = "pixel"
        match = "/p/{{id}}.gif"
        package = "site"

        [[route]]
        id = "telemetry"
        kind = "telemetry"
        match = "/t/{{id}}"
        package = "app"
        bytes_max = 1024

        [[route]]
        id = "closed"
        kind = "telemetry"
        match = "/closed/{{id}}"
        tokens_sha256 = ["{}"]

        [[route]]
        id = "before"
        kind = "file"
        host = "www.example.org"
        match = "/docs/old"
        to = "https://www.example.org/docs/new"

        [[route]]
        id = "rest"
        kind = "other"
        to = "https://www.example.org/docs/{{+path}}"
        "#,
        digest_of(b"s3cret").trim_start_matches("sha256:"),
    )
}

#[tokio::test]
async fn curl_and_wget_get_a_file_by_redirect_and_through_the_gateway() {
    let (Some(curl), Some(wget)) = (system_program("curl"), system_program("wget")) else { return };
    let upstream = Upstream::start().await;
    upstream.put("/nightly/2024-05-01/app.zip", "application/zip", "the archive");
    upstream.put("/files/1.0/app.zip", "application/zip", "0123456789");
    let mut gateway = Running::start("", &rules(&upstream)).await;

    let archive = run(Command::new(&curl).args(["-fsSL", &gateway.url("/nightly/2024-05-01/app-linux.zip?x=1")])).await;
    assert_eq!(archive, "the archive");
    let part = run(Command::new(&curl).args(["-fsS", "-r", "3-5", &gateway.url("/through/1.0/app.zip")])).await;
    assert_eq!(part, "345");
    let whole = run(Command::new(&wget).args(["-qO-", &gateway.url("/through/1.0/app.zip")])).await;
    assert_eq!(whole, "0123456789");
    assert_eq!(
        upstream.asked(),
        [
            "GET /nightly/2024-05-01/app.zip?os=linux&x=1 200",
            "GET /files/1.0/app.zip 206",
            "GET /files/1.0/app.zip 200",
        ]
    );
    let records = gateway.records();
    assert_eq!(
        records.iter().map(brief).collect::<Vec<_>>(),
        [
            "GET /nightly/2024-05-01/app-linux.zip 302 redirected app 2024-05-01",
            "GET /through/1.0/app.zip 206 proxied app 1.0",
            "GET /through/1.0/app.zip 200 proxied app 1.0",
        ]
    );
    assert_eq!(records[0].vars.get("os").map(String::as_str), Some("linux"));
    assert_eq!((records[1].range_start, records[1].bytes, records[2].bytes), (Some(3), 3, 10));
    assert_eq!(records[2].upstream.as_deref(), Some(upstream.address.to_string().as_str()));
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_through_the_gateway_keeps_its_head_and_no_cookie() {
    let upstream = Upstream::start().await;
    upstream.put("/files/1.0/app.zip", "application/zip", "0123456789");
    let mut gateway = Running::start("", &rules(&upstream)).await;
    let url = gateway.url("/through/1.0/app.zip");
    let head = client().head(&url).header("cookie", "a=b").header("authorization", "Bearer s3cret").send();
    let head = head.await.expect("an answer");
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, Some("10")));
    assert_eq!((header(&head, "content-type"), header(&head, "set-cookie")), (Some("application/zip"), None));
    let tag = header(&head, "etag").expect("a tag").to_owned();
    let again = client().get(&url).header("if-none-match", tag).send().await.expect("an answer");
    assert_eq!(again.status(), 304);
    assert_eq!(client().get(gateway.url("/through/1.0/none")).send().await.expect("an answer").status(), 404);
    upstream.break_with(Some(http::StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(client().get(&url).send().await.expect("an answer").status(), 502);
    let records = gateway.records();
    let last = records.last().map(|r| (r.outcome, r.upstream_status, r.package.as_deref()));
    assert_eq!(last, Some((Some(Outcome::UpstreamError), Some(500), Some("app"))));
    gateway.stop().await;
}

#[tokio::test]
async fn a_picture_is_served_and_each_view_is_seen() {
    let Some(curl) = system_program("curl") else { return };
    let upstream = Upstream::start().await;
    let mut gateway = Running::start("", &rules(&upstream)).await;
    let picture = client().get(gateway.url("/p/readme.gif")).send().await.expect("an answer");
    assert_eq!(
        (header(&picture, "content-type"), header(&picture, "cache-control")),
        (Some("image/gif"), Some("no-store"))
    );
    assert_eq!(header(&picture, "set-cookie"), None);
    let bytes = picture.bytes().await.expect("a body");
    assert_eq!((bytes.len(), bytes.starts_with(b"GIF89a\x01\x00\x01\x00"), bytes.last()), (43, true, Some(&b';')));
    let head = run(Command::new(&curl).args(["-fsSI", &gateway.url("/p/readme.gif")])).await;
    assert!(head.to_ascii_lowercase().contains("content-length: 43"), "{head}");
    let post = client().post(gateway.url("/p/readme.gif")).send().await.expect("an answer");
    assert_eq!((post.status().as_u16(), header(&post, "allow")), (405, Some("GET, HEAD")));
    let records = gateway.records();
    assert!(records.iter().all(|r| r.kind == Kind::Pixel && r.route.as_deref() == Some("pixel")));
    assert_eq!(
        records.iter().map(brief).collect::<Vec<_>>(),
        [
            "GET /p/readme.gif 200 served site -",
            "HEAD /p/readme.gif 200 served site -",
            "POST /p/readme.gif 405 refused site -",
        ]
    );
    assert_eq!((records[0].vars.get("id").map(String::as_str), records[0].bytes), (Some("readme"), 43));
    gateway.stop().await;
}

#[tokio::test]
async fn a_telemetry_object_is_taken_within_its_bounds() {
    let Some(curl) = system_program("curl") else { return };
    let upstream = Upstream::start().await;
    let mut gateway = Running::start("", &rules(&upstream)).await;
    let url = gateway.url("/t/start");
    let object = r#"{"version":"1.2","os":"linux"}"#;
    let sent = ["-fsS", "-w", "%{http_code}", "-H", "content-type: application/json", "-d", object, &url];
    assert_eq!(run(Command::new(&curl).args(sent)).await, "202");
    let records = gateway.records();
    assert_eq!(records.iter().map(brief).collect::<Vec<_>>(), ["POST /t/start 202 served app -"]);
    assert_eq!((records[0].kind, records[0].vars.get("id").map(String::as_str)), (Kind::Telemetry, Some("start")));
    assert_eq!(records[0].body, Some(json!({"version": "1.2", "os": "linux"})));

    let post =
        |body: String, media_type: &str| client().post(&url).header("content-type", media_type).body(body).send();
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    let cases = [
        ("[1]".to_owned(), "application/json", 400),
        ("{".to_owned(), "application/json", 400),
        (large, "application/json", 413),
        ("{}".to_owned(), "text/plain", 415),
    ];
    for (body, media_type, status) in cases {
        let refused = post(body, media_type).await.expect("an answer");
        assert_eq!(
            (refused.status().as_u16(), header(&refused, "content-type")),
            (status, Some("application/problem+json"))
        );
        let problem: serde_json::Value = serde_json::from_slice(&refused.bytes().await.expect("a body")).expect("JSON");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    // A body without a length that does not end is cut off at the bound.
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 512])));
    let request = client().post(&url).header("content-type", "application/json");
    let endless = request.body(reqwest::Body::wrap_stream(endless)).send().await;
    assert!(endless.is_err() || endless.is_ok_and(|response| response.status() == 413));
    assert!(gateway.records().iter().all(|r| r.body.is_none() && r.outcome == Some(Outcome::Refused)));
    gateway.stop().await;
}

#[tokio::test]
async fn telemetry_asks_for_its_token_and_browsers_may_send_where_there_is_none() {
    let upstream = Upstream::start().await;
    let mut gateway = Running::start("", &rules(&upstream)).await;
    let post = |path: &str, token: Option<&str>| {
        let request = client().post(gateway.url(path)).header("content-type", "application/json").body("{}");
        let request = request.header("origin", "https://page.example.org");
        token.map_or(request.try_clone().expect("no stream"), |token| request.bearer_auth(token)).send()
    };
    let refused = post("/closed/x", None).await.expect("an answer");
    assert_eq!((refused.status().as_u16(), header(&refused, "www-authenticate")), (401, Some("Bearer")));
    assert_eq!(header(&refused, "access-control-allow-origin"), None);
    assert_eq!(post("/closed/x", Some("wrong")).await.expect("an answer").status(), 401);
    assert_eq!(post("/closed/x", Some("s3cret")).await.expect("an answer").status(), 202);
    let open = post("/t/x", None).await.expect("an answer");
    assert_eq!((open.status().as_u16(), header(&open, "access-control-allow-origin")), (202, Some("*")));

    let ask = |path: &str| client().request(http::Method::OPTIONS, gateway.url(path)).send();
    let preflight = ask("/t/x").await.expect("an answer");
    assert_eq!((preflight.status().as_u16(), header(&preflight, "access-control-allow-methods")), (204, Some("POST")));
    assert_eq!(header(&preflight, "access-control-allow-headers"), Some("content-type"));
    assert_eq!(ask("/closed/x").await.expect("an answer").status(), 405);
    let records = gateway.records();
    assert!(records.iter().all(|r| !String::from_utf8_lossy(&r.encode()).contains("s3cret")));
    let kinds: Vec<_> = records.iter().map(|r| (r.status, r.kind, r.body.is_some())).collect();
    let telemetry = Kind::Telemetry;
    assert_eq!(
        kinds,
        [
            (401, telemetry, false),
            (401, telemetry, false),
            (202, telemetry, true),
            (202, telemetry, true),
            (204, Kind::Other, false),
            (405, telemetry, false),
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_rest_of_a_host_is_redirected_after_every_other_rule() {
    let upstream = Upstream::start().await;
    let mut gateway = Running::start("", &rules(&upstream)).await;
    let location = |path: &'static str, host: &'static str| {
        let request = client().get(gateway.url(path)).header("host", host).send();
        async move { request.await.map(|r| header(&r, "location").map(String::from)).expect("an answer") }
    };
    let own = |path: &str| Some(format!("https://www.example.org/docs/{path}"));
    assert_eq!(location("/a/b%20c?d=e", "x.example.org").await, own("a/b%20c?d=e"));
    assert_eq!(location("//evil.example.net/", "x.example.org").await, own("/evil.example.net/"));
    assert_eq!(location("/docs/old", "www.example.org").await, own("new"));
    assert_eq!(location("/docs/old", "x.example.org").await, own("docs/old"));
    let records = gateway.records();
    let kinds: Vec<_> = records.iter().map(|r| (r.kind, r.outcome, r.package.as_deref())).collect();
    let other = (Kind::Other, Some(Outcome::Redirected), None);
    assert_eq!(kinds, [other, other, (Kind::File, Some(Outcome::Redirected), None), other]);
    gateway.stop().await;
}

#[test]
fn a_rule_that_would_let_the_client_choose_the_host_is_refused_with_its_line() {
    let text = "\n[[route]]\nid = \"open\"\nkind = \"other\"\nto = \"https://{path}/\"\n\
                [[route]]\nid = \"wide\"\nkind = \"file\"\nmatch = \"/{host}/{path...}\"\nto = \"https://{host}/{+path}\"\nproxy = true\n\
                [[route]]\nid = \"odd\"\nkind = \"file\"\nregex = \"(\"\nto = \"https://files.example.org/\"\n";
    let config = Config::parse("test", text, &[]).expect("readable");
    let mistakes = whopulls_ingest::gateway::check_routes(&config).expect_err("three bad rules").to_string();
    for told in
        ["route `open` on line 2: in `to`", "route `wide` on line 6: in `to`", "route `odd` on line 12: in `regex`"]
    {
        assert!(mistakes.contains(told), "{mistakes}");
    }
}
