//! Reverse DNS with a real name server: a name that leads back is evidence, a pool's and a lie are none, and a server that is silent holds nothing up.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::Process;
use crate::support::{free_port, number, query, wait_until, whopulls};

/// In networks of providers, by the embedded database.
const CUSTOMER: &str = "73.162.10.5";
const STUDENT: &str = "73.162.10.9";
const LIAR: &str = "73.162.10.6";
const POOL: &str = "73.162.10.7";
const NAMELESS: &str = "73.162.10.8";

fn name_server(port: u16) -> Process {
    let record = |name: &str, address: &str| format!("--host-record={name},{address}");
    let mut command = Command::new("dnsmasq");
    command.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--user=root",
        "--log-queries",
    ]);
    command.args(["--listen-address=127.0.0.1", "--log-facility=-"]).arg(format!("--port={port}"));
    command.args(["--local=/arpa/", "--local=/com/", "--local=/edu/"]);
    command.args([record("nat1.acme-widgets.com", CUSTOMER), record("gw.mit.edu", STUDENT)]);
    command.arg(record("c-73-162-10-7.acme-widgets.com", POOL));
    command.arg("--ptr-record=6.10.162.73.in-addr.arpa,nat2.acme-widgets.com");
    let mut server = Process::start("dnsmasq", &mut command);
    drop(server.line_with("started"));
    server
}

fn configuration(folder: &Path, port: u16, wait_ms: u32) -> String {
    let file = folder.join("whopulls.toml");
    let text = format!(
        "data = '{}'\n[enrich]\nreverse_dns = true\nreverse_dns_servers = ['127.0.0.1:{port}']\nreverse_dns_wait_ms = {wait_ms}\n",
        folder.join("data").display()
    );
    std::fs::write(&file, text).expect("a configuration");
    file.display().to_string()
}

fn log(folder: &Path, addresses: &[&str]) -> String {
    let file = folder.join("access.log");
    let line = |address: &&str| {
        format!(
            "{address} - - [17/May/2015:08:05:32 +0000] \"GET /downloads/app HTTP/1.1\" 200 490 \"-\" \"curl/8.5.0\"\n"
        )
    };
    std::fs::write(&file, addresses.iter().map(line).collect::<String>()).expect("a log");
    file.display().to_string()
}

#[test]
fn a_name_that_leads_back_names_a_providers_customer() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut server = name_server(port);
    let config = configuration(folder.path(), port, 10_000);
    let log = log(folder.path(), &[CUSTOMER, CUSTOMER, STUDENT, LIAR, POOL, NAMELESS, "17.0.0.1"]);
    let import = ["import", "--config", &config, "--format", "nginx", "--path", "/downloads/{package}", &log];
    whopulls(&import).expect_success();
    let data = folder.path().join("data");
    let rows = query(
        &data,
        "select org_id, org_name, org_kind, network_kind, org_confidence, org_evidence[1], count(*) from events \
         group by all order by org_id nulls last",
    );
    let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
    assert_eq!(
        rows,
        [
            "acme-widgets.com|acme-widgets.com|unknown|isp|0.5|rdns:acme-widgets.com|2",
            "apple.com|Apple|business|business|0.95|overlay:as714|1",
            "mit.edu|MIT|education|isp|0.7|rdns:mit.edu|1",
            "|||isp|||3",
        ]
    );
    let asked = server.log_text();
    assert!(!asked.contains("1.0.0.17.in-addr.arpa"), "nobody asks about whom the overlay knows: {asked}");
    assert_eq!(asked.matches("query[PTR] 5.10.162.73.in-addr.arpa").count(), 1, "once for an address: {asked}");
    assert!(!asked.contains("query[A] c-73-162-10-7"), "a pool's name is not followed: {asked}");

    // What the past was told by a name stays when it is computed anew: the address is not kept, so nobody can be asked again.
    whopulls(&["overrides", "apply", "--all", "--config", &config]).expect_success();
    assert_eq!(number(&data, "select count(*) from events where org_evidence[1] like 'rdns:%'"), 3);

    let explained = whopulls(&["explain", "--config", &config, "--json", CUSTOMER, LIAR]).expect_success();
    let found: Vec<Value> = explained.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [customer, liar] = found.as_slice() else { panic!("{explained}") };
    assert_eq!(customer["org_id"], "acme-widgets.com", "{customer}");
    assert_eq!(liar["org_id"], Value::Null, "{liar}");
    server.stop();
}

#[test]
fn who_asked_not_to_be_tracked_is_not_asked_about() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut server = name_server(port);
    let config = configuration(folder.path(), port, 10_000);
    let overrides = folder.path().join("overrides.toml");
    std::fs::write(&overrides, format!("opt_out = ['{CUSTOMER}/32']\n")).expect("a file");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, format!("{text}overrides_file = '{}'\n", overrides.display())).expect("the configuration");
    let explained = whopulls(&["explain", "--config", &config, "--json", CUSTOMER, STUDENT]).expect_success();
    assert!(explained.contains("\"mit.edu\"") && !explained.contains("acme-widgets"), "{explained}");
    let asked = server.log_text();
    assert!(!asked.contains("5.10.162.73"), "{asked}");
    server.stop();
}

#[test]
fn a_silent_name_server_holds_nothing_up_and_costs_no_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut server = name_server(port);
    server.signal("STOP");
    let config = configuration(folder.path(), port, 300);
    let log = log(folder.path(), &[CUSTOMER, STUDENT, LIAR]);
    let data = folder.path().join("data");
    let import = ["import", "--config", &config, "--format", "nginx", "--path", "/downloads/{package}", &log];
    let began = crate::support::now();
    whopulls(&import).expect_success();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(number(&data, "select count(*) from events where org_id is null"), 3);
    server.signal("CONT");
    wait_until("the server answers again", Duration::from_secs(20), || {
        let explained = whopulls(&["explain", "--config", &config, "--json", CUSTOMER]).expect_success();
        explained.contains("acme-widgets.com")
    });
    server.stop();
}
