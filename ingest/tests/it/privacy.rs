//! The gateway's own pages, and what a record says of who wants to be known and who does not.

use whopulls_schemas::raw::{Claim, ClaimBy, Outcome, RawAccess};

use crate::support::{Running, client, header};

const RULES: &str = r#"
[privacy]
operator = "The Example Project"
contact = "privacy@example.org"
opt_out_hosts = ["noinfo.example.org"]

[[organization]]
id = "example.com"
name = "Example Incorporated"
hosts = ["example-com.get.example.org"]
users = ["example-com"]

[[organization]]
id = "example.net"
users = ["example-net"]
# open sesame
password_sha256 = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb"

[[route]]
id = "files"
kind = "file"
host = "get.example.org"
match = "/f/{package}"
to = "https://files.example.org/{package}"

[[route]]
id = "rest"
kind = "file"
match = "/{path...}"
to = "https://www.example.org/{+path}"
"#;

async fn ask(gateway: &Running, host: &str, path: &str, user: Option<(&str, &str)>) -> reqwest::Response {
    let request = client()
        .get(gateway.url(path))
        .header("host", host)
        .header("user-agent", "curl/8.9")
        .header("referer", "https://www.example.com/page");
    let request = user.into_iter().fold(request, |request, (name, password)| request.basic_auth(name, Some(password)));
    request.send().await.expect("an answer")
}

fn only(gateway: &mut Running) -> RawAccess {
    let mut records = gateway.records();
    assert_eq!(records.len(), 1, "not one record: {records:?}");
    records.remove(0)
}

#[tokio::test]
async fn the_own_pages_are_answered_beside_any_rule_and_not_recorded() {
    let mut gateway = Running::start("admin_listen = \"127.0.0.1:0\"", RULES).await;
    let client = client();
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
        let answer = client.get(gateway.url(path)).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.text().await.expect("text").as_str()), (200, body));
        let head = client.head(gateway.url(path)).send().await.expect("an answer");
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, Some(&*body.len().to_string())));
    }
    let post = client.post(gateway.url("/privacy")).send().await.expect("an answer");
    assert_eq!((post.status().as_u16(), header(&post, "allow")), (405, Some("GET, HEAD")));
    // The metrics are the operator's: on the public listener the path is one like others.
    let metrics = client.get(gateway.url("/metrics")).send().await.expect("an answer");
    assert_eq!(header(&metrics, "location"), Some("https://www.example.org/metrics"));
    assert_eq!(only(&mut gateway).path, "/metrics");
    gateway.stop().await;
}

#[tokio::test]
async fn the_privacy_page_is_html_or_text_as_wanted() {
    let mut gateway = Running::start("", RULES).await;
    let page = client().get(gateway.url("/privacy")).send().await.expect("an answer");
    assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&page, "vary"), Some("Accept"));
    let policy = header(&page, "content-security-policy").expect("a policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let html = page.text().await.expect("text");
    assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{html}");
    assert!(html.contains("The Example Project") && html.contains("mailto:privacy@example.org"), "{html}");
    for outside in ["src=", "<link", "<script", "@import", "url("] {
        assert!(!html.contains(outside), "the page asks for something else: {outside}");
    }
    let request = client().get(gateway.url("/privacy")).header("accept", "text/plain");
    let text = request.send().await.expect("an answer");
    assert_eq!(header(&text, "content-type"), Some("text/plain; charset=utf-8"));
    assert!(text.text().await.expect("text").contains("noinfo.example.org"));
    let head = client().head(gateway.url("/privacy")).send().await.expect("an answer");
    assert_eq!(header(&head, "content-length"), Some(&*html.len().to_string()));
    assert!(gateway.records().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn an_opt_out_host_has_every_rule_and_leaves_nobody_in_the_record() {
    let mut gateway = Running::start("admin_listen = \"127.0.0.1:0\"", RULES).await;
    for user in [None, Some(("example-com", "x"))] {
        let answer = ask(&gateway, "NoInfo.example.org", "/f/tool", user).await;
        assert_eq!(header(&answer, "location"), Some("https://files.example.org/tool"));
        let record = only(&mut gateway);
        assert_eq!((record.route.as_deref(), record.package.as_deref()), (Some("files"), Some("tool")));
        assert_eq!((record.client_ip, record.user_agent, record.referer, record.claim), (None, None, None, None));
        assert!(record.dnt);
    }
    let admin = gateway.admin.expect("an address");
    let page = client().get(format!("http://{admin}/metrics")).send().await.expect("an answer");
    assert!(page.text().await.expect("text").contains("\nwhopulls_gateway_opt_outs_total 2\n"));
    gateway.stop().await;
}

#[tokio::test]
async fn an_opt_out_network_is_looked_for_behind_a_trusted_proxy() {
    let rules = RULES.replace("opt_out_hosts =", "opt_out_networks = [\"192.0.2.0/24\"]\nopt_out_hosts =");
    let mut gateway = Running::start("trusted_proxies = [\"127.0.0.0/8\"]", &rules).await;
    for (client_ip, is_known) in [("192.0.2.7", false), ("198.51.100.7", true)] {
        let request = client().get(gateway.url("/x")).header("x-forwarded-for", client_ip);
        assert_eq!(request.send().await.expect("an answer").status(), 302);
        let record = only(&mut gateway);
        assert_eq!((record.client_ip.is_some(), record.dnt), (is_known, !is_known), "{client_ip}");
    }
    gateway.stop().await;
    // And without any proxy.
    let rules = rules.replace("192.0.2.0/24", "127.0.0.0/8");
    let mut gateway = Running::start("", &rules).await;
    ask(&gateway, "get.example.org", "/f/tool", None).await;
    let record = only(&mut gateway);
    assert_eq!((record.client_ip, record.user_agent, record.dnt), (None, None, true));
    gateway.stop().await;
}

#[tokio::test]
async fn an_organization_says_who_it_is_by_host_or_by_user() {
    let mut gateway = Running::start("", RULES).await;
    let claim = |organization: &str, name: &str, by| {
        Some(Claim { organization: organization.to_owned(), name: name.to_owned(), by })
    };
    let cases = [
        ("example-com.get.example.org", None, claim("example.com", "Example Incorporated", ClaimBy::Host)),
        ("get.example.org", Some(("example-com", "any")), claim("example.com", "Example Incorporated", ClaimBy::User)),
        ("get.example.org", Some(("example-net", "open sesame")), claim("example.net", "example.net", ClaimBy::User)),
        ("get.example.org", Some(("stranger", "s3cret")), None),
        ("get.example.org", None, None),
    ];
    for (host, user, expected) in cases {
        let answer = ask(&gateway, host, "/f/tool", user).await;
        assert_eq!(header(&answer, "location"), Some("https://files.example.org/tool"), "{host}");
        let record = only(&mut gateway);
        assert_eq!(record.claim, expected, "{host} {user:?}");
        let text = String::from_utf8(record.encode()).expect("JSON is text");
        for secret in ["s3cret", "open sesame", "stranger", "Basic"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_nobody_is_claimed() {
    let mut gateway = Running::start("", RULES).await;
    let answer = ask(&gateway, "get.example.org", "/f/tool", Some(("example-net", "open"))).await;
    let challenge = header(&answer, "www-authenticate");
    assert_eq!((answer.status().as_u16(), challenge), (401, Some("Basic realm=\"downloads\", charset=\"UTF-8\"")));
    let record = only(&mut gateway);
    assert_eq!((record.status, record.outcome, record.claim), (401, Some(Outcome::Refused), None));
    gateway.stop().await;
}
