//! One line of each format, and what it says; lines that are wrong, and where.

use serde_json::{Value, json};
use whopulls_ingest::import::{ImportRules, Imported, Importer, LogFormat};

const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn read(format: LogFormat, lines: &str) -> Imported {
    let rules = ImportRules::new(format, &[]).expect("no patterns");
    let mut importer = Importer::new(rules, "import-1");
    let mut results = lines.split('\n').zip(1..).map(|(line, number)| importer.line(number, line.as_bytes()));
    results.by_ref().last().expect("a line")
}

/// The last line is a record with these fields; the lines before it are headers.
#[track_caller]
fn accepts(format: LogFormat, lines: &str, expected: &Value) {
    let Imported::Record(record) = read(format, lines) else { panic!("{:?}", read(format, lines)) };
    let record: Value = serde_json::from_slice(&record.encode()).expect("JSON");
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(record.get(name).unwrap_or(&Value::Null), value, "{name} of {record}");
    }
}

/// The last line is refused for this field, or as no JSON where none is named.
#[track_caller]
fn refuses(format: LogFormat, lines: &str, field: &str) {
    let Imported::Rejected(line) = read(format, lines) else { panic!("{:?}", read(format, lines)) };
    assert_eq!(line.rejected.field.as_deref().unwrap_or_default(), field, "{}", line.rejected);
}

#[track_caller]
fn passes_over(format: LogFormat, lines: &str) {
    assert!(matches!(read(format, lines), Imported::PassedOver), "{:?}", read(format, lines));
}

#[test]
fn apache_with_a_virtual_host() {
    let line =
        r#"Get.Example.org:443 192.0.2.1 - - [17/May/2015:08:05:32 +0000] "HEAD /f HTTP/1.1" 200 77 "-" "curl/8""#;
    let expected =
        json!({"host": "get.example.org", "tls": true, "client_ip": "192.0.2.1", "bytes": 0, "user_agent": "curl/8"});
    accepts(LogFormat::ApacheVhost, line, &expected);
    refuses(LogFormat::ApacheVhost, &line.replace(":443", ""), "vhost");
    refuses(LogFormat::ApacheVhost, &line.replace(r#" "-" "curl/8""#, ""), "referer");
}

#[test]
fn caddy() {
    let line = r#"{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"192.0.2.9","remote_port":"41342","client_ip":"2001:db8::7","proto":"HTTP/2.0","method":"GET","host":"localhost:443","uri":"/v2/a/b/manifests/1.0?ns=docker.io","headers":{"User-Agent":["curl/7.82.0"],"Accept":["*/*"],"Referer":["https://a.example/x?y"],"Dnt":["1"],"Range":["bytes=5-"]},"tls":{"version":772}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{"Content-Type":["text/html"]}}"#;
    let expected = json!({
        "ts": 1_646_861_401_524_102_i64, "client_ip": "2001:db8::7", "http_version": "2", "host": "localhost", "tls": true,
        "user_agent": "curl/7.82.0", "referer": "https://a.example/x", "accept": "*/*", "dnt": true, "range_start": 5, "bytes": 10900,
        "duration_us": 930, "kind": "oci", "repository": "a/b", "reference": "1.0", "ns": "docker.io", "media_type": "text/html",
    });
    accepts(LogFormat::Caddy, line, &expected);
    accepts(
        LogFormat::Caddy,
        &line.replace("1646861401.5241024", "\"2022-03-09T21:30:01.524Z\""),
        &json!({"ts": 1_646_861_401_524_000_i64}),
    );
    passes_over(LogFormat::Caddy, r#"{"level":"info","ts":1.5,"msg":"server running"}"#);
    refuses(LogFormat::Caddy, "{", "");
    refuses(LogFormat::Caddy, "[]", "");
    refuses(LogFormat::Caddy, "{}", "request");
    refuses(LogFormat::Caddy, &line.replace("\"ts\"", "\"at\""), "ts");
    refuses(LogFormat::Caddy, &line.replace("\"GET\"", "\"\""), "method");
    refuses(LogFormat::Caddy, &line.replace("/v2/", "v2/"), "uri");
    refuses(LogFormat::Caddy, &line.replace("\"status\":200", "\"status\":0"), "status");
}

#[test]
fn cloudfront() {
    let fields = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status cs(User-Agent) x-host-header sc-bytes cs-protocol time-taken cs-protocol-version";
    let line = "2024-01-16\t23:56:42\t2001:db8::1\tGET\t/a%2520b%252Bc\tx=1\t206\tcargo%201.74.0%20(a%2520b)\tstatic.example\t99\thttps\t0.017\tHTTP/2.0";
    let expected = json!({
        "ts": 1_705_449_402_000_000_i64, "path": "/a%20b%2Bc", "client_ip": "2001:db8::1", "status": 206, "user_agent": "cargo 1.74.0 (a b)",
        "host": "static.example", "bytes": 99, "tls": true, "duration_us": 17_000, "http_version": "2",
    });
    accepts(LogFormat::CloudFront, &format!("{fields}\n{line}"), &expected);
    passes_over(LogFormat::CloudFront, fields);
    refuses(LogFormat::CloudFront, "#Version: 2.0", "#Version");
    refuses(LogFormat::CloudFront, &format!("#Version: 2.0\n{fields}\n{line}").replace("1.0", "2.0"), "#Version");
    accepts(LogFormat::CloudFront, &format!("#Version: 2.0\n{fields}\n{line}"), &json!({"status": 206}));
    refuses(LogFormat::CloudFront, &format!("{fields}\n{}", line.replace("206", "-")), "sc-status");
    refuses(LogFormat::CloudFront, &format!("{fields}\n{}", line.replace("/a%", "a%")), "cs-uri-stem");
    refuses(LogFormat::CloudFront, &format!("{fields}\n{}", line.replace("01-16", "13-16")), "date");
    refuses(LogFormat::CloudFront, "", "line");
}

#[test]
fn load_balancers() {
    let line = r#"h2 2018-07-02T22:23:00.186641Z app/lb/1 [2001:db8::5]:2817 10.0.0.1:80 0.001 0.002 -1 200 200 34 366 "GET https://www.example.com:443/f?a HTTP/2.0" "curl/7 \"x" ECDHE TLSv1.2 arn:aws:x "Root=1" "www.example.com" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-""#;
    let expected = json!({
        "ts": 1_530_570_168_364_000_i64, "client_ip": "2001:db8::5", "host": "www.example.com", "path": "/f", "tls": true, "bytes": 366,
        "duration_us": 3000, "http_version": "2", "user_agent": "curl/7 \"x",
    });
    accepts(LogFormat::Alb, line, &expected);
    refuses(LogFormat::Alb, &line.replace("h2 ", "h9 "), "type");
    refuses(LogFormat::Alb, &line.replace("T22:23", " 22:23"), "time");
    refuses(LogFormat::Alb, &line.replace("[2001:db8::5]:2817", "-"), "client:port");
    refuses(LogFormat::Alb, &line.replace("GET https", "- https"), "request");
    refuses(LogFormat::Alb, "http 2018-07-02T22:23:00.186641Z app/lb/1 192.0.2.1:1", "request");
}

#[test]
fn s3() {
    let line = r#"79a5 bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.OBJECT a/b.tar.gz "GET /bucket/a/b.tar.gz?x=y HTTP/1.1" 200 - 2662992 3462992 70 10 "-" "curl 7.15.1" - id= SigV4 ECDHE - bucket.s3.eu-west-1.amazonaws.com TLSV1.2 - -"#;
    let expected = json!({
        "ts": 1_549_411_238_000_000_i64, "client_ip": "192.0.2.3", "path": "/bucket/a/b.tar.gz", "bytes": 2_662_992, "duration_us": 70_000,
        "user_agent": "curl 7.15.1", "host": "bucket.s3.eu-west-1.amazonaws.com", "tls": true, "http_version": "1.1",
    });
    accepts(LogFormat::S3, line, &expected);
    refuses(LogFormat::S3, &line.replace("\"GET /bucket/a/b.tar.gz?x=y HTTP/1.1\"", "\"-\""), "request");
    refuses(LogFormat::S3, &line.replace("06/Feb", "06-Feb"), "time");
    refuses(LogFormat::S3, "a b [06/Feb/2019:00:00:38 +0000]", "operation");
}

#[test]
fn fastly() {
    let proposed = r#"{"timestamp":"2024-01-16T23:53:20+0000","client_ip":"2001:db8::1","host":"get.example.org","url":"/f?x=1","request_method":"GET","request_protocol":"HTTP/2","request_referer":"","request_user_agent":"curl/8","response_status":"200","response_body_size":9}"#;
    let expected = json!({
        "ts": 1_705_449_200_000_000_i64, "client_ip": "2001:db8::1", "host": "get.example.org", "path": "/f", "status": 200, "bytes": 9,
        "http_version": "2", "user_agent": "curl/8", "referer": null,
    });
    accepts(LogFormat::Fastly, proposed, &expected);
    accepts(LogFormat::Fastly, &format!("<134>2024-01-16T23:53:20Z cache-1 log[3]: {proposed}"), &expected);
    refuses(LogFormat::Fastly, &format!("foo: {proposed}"), "line");
    refuses(LogFormat::Fastly, &proposed.replace("{\"time", "{\"version\":\"42\",\"time"), "version");
    refuses(LogFormat::Fastly, &proposed.replace("/f?", "f?"), "url");
    refuses(LogFormat::Fastly, "<134>2024-01-16T23:53:20Z cache-1 log[3]: {", "");
}

#[test]
fn rubygems_and_linehaul() {
    let gem = "<134>2015-11-30T21:00:15Z cache-atl6231 downloads[191209]: 192.0.2.1 Mon, 30 Nov 2015 21:00:05 GMT /gems/json-1.8.3.gem 304 Ruby, RubyGems/1.8.23 x86_64-linux";
    accepts(
        LogFormat::Rubygems,
        gem,
        &json!({
            "ts": 1_448_917_205_000_000_i64, "client_ip": "192.0.2.1", "method": "GET", "path": "/gems/json-1.8.3.gem", "status": 304,
            "user_agent": "Ruby, RubyGems/1.8.23 x86_64-linux",
        }),
    );
    refuses(LogFormat::Rubygems, &gem.replace("192.0.2.1", "nobody"), "address");
    refuses(LogFormat::Rubygems, &gem.replace("Nov 2015", "Nov x015"), "time");
    refuses(LogFormat::Rubygems, &gem.replace("304", "x"), "status");

    let wheel = "download|Thu, 07 Jan 2021 20:54:54 GMT|US|/packages/f7/x-2.1.0-py3-none-any.whl|TLSv1.2|ECDHE|x|2.1.0|bdist_wheel|pip/20.1.1 {\"a\":\"b|c\"}";
    accepts(
        LogFormat::Linehaul,
        wheel,
        &json!({
            "kind": "pypi", "package": "x", "version": "2.1.0", "tls": true, "status": 200, "client_ip": null, "vars": {"country": "US"},
            "user_agent": "pip/20.1.1 {\"a\":\"b|c\"}",
        }),
    );
    accepts(
        LogFormat::Linehaul,
        "simple|Thu, 07 Jan 2021 20:54:54 GMT||/simple/acme/|(null)|(null)||||(null)",
        &json!({
            "package": "acme", "version": null, "user_agent": null, "tls": null, "vars": null,
        }),
    );
    refuses(LogFormat::Linehaul, &wheel.replace("download|", "upload|"), "kind");
    refuses(LogFormat::Linehaul, "simple|Thu, 07 Jan 2021 20:54:54 GMT|US|/simple/acme/", "tls_protocol");
}

#[test]
fn google_cloud_storage() {
    let header = r#""time_micros","c_ip","c_ip_type","c_ip_region","cs_method","cs_uri","sc_status","cs_bytes","sc_bytes","time_taken_micros","cs_host","cs_referer","cs_user_agent","s_request_id","cs_operation","cs_bucket","cs_object""#;
    let line = r#""1705449200460557","192.0.2.1","1","","GET","/bucket/a%2Fb","200","0","77","17000","storage.googleapis.com","","curl/8, ""x""","id","GET_Object","bucket","a/b""#;
    let expected = json!({
        "ts": 1_705_449_200_460_557_i64, "client_ip": "192.0.2.1", "path": "/bucket/a%2Fb", "bytes": 77, "duration_us": 17_000,
        "host": "storage.googleapis.com", "referer": null, "user_agent": "curl/8, \"x\"",
    });
    accepts(LogFormat::Gcs, line, &expected);
    accepts(LogFormat::Gcs, &format!("{header}\n{line}"), &expected);
    accepts(LogFormat::Gcs, "time_micros,cs_method,cs_uri,sc_status\n1,GET,/a,200", &json!({"ts": 1, "path": "/a"}));
    passes_over(LogFormat::Gcs, &format!("\u{feff}{header}"));
    refuses(LogFormat::Gcs, "time_micros,cs_method,cs_uri\n1,GET,/a", "sc_status");
    refuses(LogFormat::Gcs, &line.replace("1705449200460557", "soon"), "time_micros");
    refuses(LogFormat::Gcs, &line.replace("\"a/b\"", "\"a/b"), "line");
}

#[test]
fn the_distribution_registry() {
    let line = format!(
        r#"{{"go.version":"go1.20","http.request.host":"registry.example:5000","http.request.id":"1","http.request.method":"GET","http.request.remoteaddr":"172.17.0.1:41342","http.request.uri":"/v2/team/app/blobs/{DIGEST}","http.request.useragent":"docker/24","http.response.contenttype":"application/octet-stream","http.response.duration":"12.345678ms","http.response.status":307,"http.response.written":0,"level":"info","msg":"response completed","time":"2024-01-16T23:53:20.460557177Z","vars.digest":"{DIGEST}","vars.name":"team/app"}}"#
    );
    let expected = json!({
        "kind": "oci", "repository": "team/app", "package": "team/app", "reference": DIGEST, "digest": DIGEST, "status": 307,
        "client_ip": "172.17.0.1", "host": "registry.example", "duration_us": 12_346, "ts": 1_705_449_200_460_557_i64,
    });
    accepts(LogFormat::Registry, &line, &expected);
    passes_over(
        LogFormat::Registry,
        r#"{"level":"info","msg":"authorizing request","http.request.method":"GET","time":"2024-01-16T23:53:20Z"}"#,
    );
    refuses(LogFormat::Registry, "{}", "http.response.status");
    refuses(LogFormat::Registry, &line.replace("http.request.uri", "uri"), "http.request.uri");
    refuses(LogFormat::Registry, &line.replace("2024-01-16T", "yesterday"), "time");
}

#[test]
fn artifactory() {
    let line = "2018-11-18T15:39:04.902Z|d5d75b3c41242768|2001:db8::1|anonymous|GET|/api/docker/docker-local/v2/app/manifests/latest|200|-1|739|12|docker/24 |x";
    let expected = json!({
        "ts": 1_542_555_544_902_000_i64, "client_ip": "2001:db8::1", "kind": "oci", "repository": "docker-local/app", "reference": "latest",
        "bytes": 739, "duration_us": 12_000, "user_agent": "docker/24 |x",
    });
    accepts(LogFormat::Artifactory, line, &expected);
    accepts(
        LogFormat::Artifactory,
        &line.replace("/api/docker/docker-local/v2/app/manifests/latest", "api/v1/cert/root"),
        &json!({
            "path": "/api/v1/cert/root", "kind": "other",
        }),
    );
    refuses(LogFormat::Artifactory, "2018-11-18T15:39:04.902Z|1|192.0.2.1|x|GET|/a|200|0|6|0", "user_agent");
    refuses(LogFormat::Artifactory, &line.replace("|200|", "|OK|"), "status");
    refuses(LogFormat::Artifactory, &line.replace("2018-", "18-"), "timestamp");
}

#[test]
fn our_own_records() {
    let id = "0190f1f0-0000-7000-8000-000000000001";
    let line = format!(
        r#"{{"schema":1,"node":"elsewhere","seq":77,"id":"{id}","ts":5,"method":"GET","path":"/f","status":302,"kind":"file","package":"p"}}"#
    );
    accepts(
        LogFormat::Whopulls,
        &line,
        &json!({"id": id, "node": "import-1", "seq": 1, "package": "p", "kind": "file"}),
    );
    let unstamped = line.replace(r#""node":"elsewhere","seq":77,"#, "");
    accepts(LogFormat::Whopulls, &unstamped, &json!({"id": id, "node": "import-1", "seq": 1}));
    refuses(LogFormat::Whopulls, &line.replace("\"schema\":1", "\"schema\":2"), "schema");
    refuses(LogFormat::Whopulls, &line.replace("\"ts\":5,", ""), "ts");
    refuses(LogFormat::Whopulls, "nonsense", "");
}

#[test]
fn scarf() {
    let header = "id,type,package,pixel,version,time,referer,user_agent,platform,variables,origin_id,origin_latitude,origin_longitude,origin_country,origin_city,origin_postal,origin_connection_type,origin_company,origin_domain,dnt,confidence,endpoint_id,origin_state,mtc_quota_exceeded";
    let line = r#"e-1,download,acme/app,,1.2,2024-01-16T23:53:20.5Z,https://a.example/b?c,curl/8,linux,"{""os"":""linux""}",o,1.0,2.0,US,,,business,"Acme, Inc.",acme.example,false,0.9,x,,false"#;
    let expected = json!({
        "kind": "file", "package": "acme/app", "version": "1.2", "path": "/acme/app", "client_ip": null, "referer": "https://a.example/b",
        "vars": {
            "os": "linux", "scarf_id": "e-1", "scarf_type": "download", "scarf_time": "2024-01-16T23:53:20.5Z", "scarf_referer": "https://a.example/b?c",
            "scarf_user_agent": "curl/8", "scarf_platform": "linux", "scarf_variables": "{\"os\":\"linux\"}", "scarf_origin_id": "o",
            "scarf_origin_latitude": "1.0", "scarf_origin_longitude": "2.0", "scarf_origin_country": "US", "scarf_origin_connection_type": "business",
            "scarf_origin_company": "Acme, Inc.", "scarf_origin_domain": "acme.example", "scarf_dnt": "false", "scarf_confidence": "0.9",
            "scarf_endpoint_id": "x", "scarf_mtc_quota_exceeded": "false",
        },
    });
    accepts(LogFormat::Scarf, line, &expected);
    accepts(LogFormat::Scarf, &format!("{header}\n{line}"), &expected);
    accepts(
        LogFormat::Scarf,
        &line.replace("download,acme/app,,", "view,,px-1,").replace("false,0.9", "true,0.9"),
        &json!({
            "kind": "pixel", "path": "/px-1", "package": null, "dnt": true,
            "vars": {
                "os": "linux", "scarf_id": "e-1", "scarf_type": "view", "scarf_pixel": "px-1", "scarf_time": "2024-01-16T23:53:20.5Z",
                "scarf_referer": "https://a.example/b?c", "scarf_user_agent": "curl/8", "scarf_platform": "linux", "scarf_variables": "{\"os\":\"linux\"}",
                "scarf_dnt": "true", "scarf_mtc_quota_exceeded": "false",
            },
        }),
    );
    passes_over(LogFormat::Scarf, header);
    refuses(LogFormat::Scarf, &line.replace("e-1,", ","), "id");
    refuses(LogFormat::Scarf, &line.replace("2024-01-16T", "then "), "time");
    refuses(LogFormat::Scarf, &line.replace("acme/app", ""), "package");
    let id = |line: &str, number| match read(LogFormat::Scarf, &format!("{}{line}", "\n".repeat(number))) {
        Imported::Record(record) => record.id,
        other @ (Imported::Rejected(_) | Imported::PassedOver) => panic!("{other:?}"),
    };
    assert_eq!(id(line, 0), id(line, 5), "an event is the same wherever it stands");
    assert_ne!(id(line, 0), id(&line.replace("e-1", "e-2"), 0));
}
