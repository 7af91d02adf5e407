//! The server over a real socket.

use std::net::SocketAddr;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use whopulls_query::{ServeConfig, ServeError, serve};

use crate::lake::Lake;

struct Server {
    address: SocketAddr,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
    lake: Lake,
}

impl Server {
    async fn start(lake: Lake) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = oneshot::channel::<()>();
        let engine = lake.engine();
        let task = tokio::spawn(async move {
            serve(ServeConfig::default(), engine, listener, async move { drop(stopping.await) }).await
        });
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { address, client, stop: Some(stop), task, lake }
    }

    async fn with_downloads() -> Self {
        Self::start(Lake::with_downloads().await).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }

    async fn sql(&self, query: &str) -> Response {
        let request = self.client.post(self.url("/api/v1/sql")).header("content-type", "application/json");
        request.body(json!({"query": query}).to_string()).send().await.expect("an answer")
    }
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

async fn problem(response: Response, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    let content_type = response.headers().get("content-type").expect("a content type").clone();
    assert_eq!(content_type, "application/problem+json");
    let problem = json_of(response).await;
    assert_eq!(problem["status"], status.as_u16());
    assert!(problem["hint"].is_string(), "{problem}");
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_come_with_their_coverage() {
    let server = Server::with_downloads().await;
    let answer = json_of(server.get("/api/v1/organizations?limit=1").await).await;
    assert_eq!(answer["organizations"][0]["org_id"], "acme.example");
    assert_eq!(answer["total_organizations"], 2);
    let shares = answer["coverage"]["downloads"].as_object().expect("shares");
    let sum: f64 = shares.values().filter_map(Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
    let one = json_of(server.get("/api/v1/organizations?package=tool&from=&to=2026-11-30").await).await;
    assert_eq!(one["organizations"][0]["org_id"], "uni.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_wrong_or_unknown_are_problems() {
    let server = Server::with_downloads().await;
    for query in ["from=monday", "to=2026-99-99", "limit=0", "limit=ten", "pakage=app", "from=2026-11-24&to=2026-11-23"]
    {
        let response = server.get(&format!("/api/v1/organizations?{query}")).await;
        problem(response, StatusCode::BAD_REQUEST).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_is_answered_as_json_and_as_csv() {
    let server = Server::with_downloads().await;
    let sql = "select package, count(*) as n, cast(null as int) as nothing from downloads group by package order by n";
    let answer = json_of(server.sql(sql).await).await;
    assert_eq!(answer["columns"][1], json!({"name": "n", "type": "Int64"}));
    assert_eq!(answer["rows"], json!([["tool", 1, null], ["app", 11, null]]));
    assert_eq!(answer["truncated"], false);
    let request = server.client.post(server.url("/api/v1/sql")).header("accept", "text/csv").body(sql);
    let response = request.header("content-type", "text/plain; charset=utf-8").send().await.expect("an answer");
    assert_eq!(response.headers()["x-whopulls-truncated"], "false");
    assert_eq!(response.text().await.expect("CSV"), "package,n,nothing\ntool,1,\napp,11,\n");
    let empty = json_of(server.sql("select id from events where false").await).await;
    assert_eq!(empty["rows"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_whose_fault_it_is() {
    let server = Server::with_downloads().await;
    problem(server.sql("drop table events").await, StatusCode::FORBIDDEN).await;
    problem(server.sql("selct").await, StatusCode::BAD_REQUEST).await;
    problem(server.sql(&"x".repeat(70_000)).await, StatusCode::PAYLOAD_TOO_LARGE).await;
    let post = |content_type: &str, body: String| {
        let request = server.client.post(server.url("/api/v1/sql")).header("content-type", content_type).body(body);
        async move { request.send().await.expect("an answer") }
    };
    // One byte too many: the server has read the rest, so its answer is not lost to a connection reset.
    problem(post("text/plain", "x".repeat(6 * (64 << 10) + 1024 + 1)).await, StatusCode::PAYLOAD_TOO_LARGE).await;
    problem(post("application/json", "{}".into()).await, StatusCode::BAD_REQUEST).await;
    problem(post("image/png", String::new()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    problem(server.get("/api/v1/nothing").await, StatusCode::NOT_FOUND).await;
    problem(server.get("/api/v1/sql").await, StatusCode::METHOD_NOT_ALLOWED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_needs_nothing_from_anyone_else() {
    let server = Server::with_downloads().await;
    let response = server.get("/?package=app").await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = response.text().await.expect("HTML");
    assert!(page.contains("<td>Acme</td>") && page.contains("<td>University, of Example</td>"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
    let style = server.get("/page.css").await;
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_typed_comes_back_escaped() {
    let server = Server::with_downloads().await;
    let page = server.get("/?package=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await.text().await.expect("HTML");
    assert!(!page.contains("<script>"), "{page}");
    let wrong = server.get("/?from=%3Cb%3E").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert!(!wrong.text().await.expect("HTML").contains("<b>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn alive_without_a_table_and_ready_with_one() {
    let mut server = Server::start(Lake::nothing()).await;
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
    let response = server.get("/readyz").await;
    assert_eq!(response.headers()["retry-after"], "5");
    problem(response, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(server.get("/").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    server.lake.create().await;
    assert_eq!(server.get("/readyz").await.text().await.expect("text"), "ready, table version 0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_points_at_loopback_from_elsewhere_is_not_ours() {
    let server = Server::with_downloads().await;
    let request = server.client.get(server.url("/api/v1/organizations")).header("host", "evil.example");
    problem(request.send().await.expect("an answer"), StatusCode::MISDIRECTED_REQUEST).await;
    let request = server.client.post(server.url("/api/v1/sql")).header("sec-fetch-site", "cross-site").body("select 1");
    problem(request.send().await.expect("an answer"), StatusCode::FORBIDDEN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_status() {
    let server = Server::with_downloads().await;
    server.sql("select 1").await;
    server.sql("drop table events").await;
    server.get("/a/path/of/a/stranger").await;
    let metrics = server.get("/metrics").await.text().await.expect("text");
    for line in [
        r#"whopulls_serve_requests_total{route="/api/v1/sql",status="200"} 1"#,
        r#"whopulls_serve_requests_total{route="/api/v1/sql",status="403"} 1"#,
        r#"whopulls_serve_requests_total{route="other",status="404"} 1"#,
        r#"whopulls_serve_answer_seconds_count{route="/api/v1/sql"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_address_needs_to_be_asked_for() {
    let listen = || async { TcpListener::bind("0.0.0.0:0").await.expect("a port") };
    let engine = Lake::nothing().engine();
    let refused = serve(ServeConfig::default(), engine.clone(), listen().await, async {}).await;
    assert!(matches!(refused, Err(ServeError::Unguarded { .. })), "{refused:?}");
    let open = ServeConfig { insecure_listen: true, ..ServeConfig::default() };
    serve(open, engine, listen().await, async {}).await.expect("it was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_answers_under_way_end() {
    let mut server = Server::with_downloads().await;
    let slow = "select count(distinct concat(a.id, b.id, c.id, d.id)) as n from events a, events b, events c, events d";
    let request = server.client.post(server.url("/api/v1/sql")).header("content-type", "text/plain").body(slow);
    let asked = tokio::spawn(request.send());
    // Its turn has come when the server has counted nothing yet but holds a connection: a second answer shows it runs.
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
    server.client = Client::new();
    drop(server.stop.take());
    server.task.await.expect("the task").expect("a clean stop");
    match asked.await.expect("the task") {
        Ok(response) => assert_eq!(response.status(), StatusCode::OK),
        // The connection was not yet accepted when the stop came.
        Err(error) => assert!(error.is_connect() || error.is_request(), "{error}"),
    }
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}
