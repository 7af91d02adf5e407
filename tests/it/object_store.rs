//! The topology of `docker-compose.yml` without containers: broker, S3-compatible store, gateway, worker and server, each a
//! process of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::load::Load;
use crate::support::pipe::{TOPIC, role_with};
use crate::support::process::{Process, value_in};
use crate::support::{block_on, free_port, loopback, repository, wait_until};

/// Credentials come from the environment, as in a container.
const CREDENTIALS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "whopulls"), ("AWS_SECRET_ACCESS_KEY", "of no account")];

/// A store with one bucket.
struct Store {
    port: u16,
    _process: Process,
}

impl Store {
    fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(repository().join("scripts/python"));
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start("store", &mut command);
        let bucket = format!("http://127.0.0.1:{port}/lake");
        let client = reqwest::Client::new();
        wait_until("the store has a bucket", Duration::from_mins(1), || {
            block_on(client.put(&bucket).send()).is_ok_and(|answer| answer.status().is_success())
        });
        Self { port, _process: process }
    }
}

#[test]
fn a_lake_in_an_object_store_is_written_and_read_like_a_folder() {
    let (kafka, store) = (Kafka::start(), Store::start());
    kafka.create_topic(TOPIC, 3);
    kafka.create_topic("access.dead", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("whopulls.toml");
    let gateway_port = free_port();
    let text = format!(
        r#"
data = "{data}"
[gateway]
listen = "127.0.0.1:{gateway_port}"
trusted_proxies = ["127.0.0.0/8"]
[[route]]
id = "files"
kind = "file"
match = "/files/{{package}}/{{serial}}.tar.gz"
to = "https://downloads.example.org/{{package}}/{{serial}}.tar.gz"
[kafka]
brokers = "{brokers}"
[enrich]
flush_s = 1
[lake]
url = "s3://lake/events"
options = {{ aws_endpoint = "http://127.0.0.1:{store}", aws_region = "us-east-1", aws_allow_http = true }}
[serve]
listen = "127.0.0.1:0"
"#,
        data = folder.path().join("data").display(),
        brokers = kafka.brokers(),
        store = store.port,
    );
    std::fs::write(&config, text).expect("a configuration");
    let mut gateway = role_with("gateway", &config, &CREDENTIALS);
    gateway.line_with("gateway listening");
    let mut worker = role_with("enrich", &config, &CREDENTIALS);
    let mut server = role_with("serve", &config, &CREDENTIALS);
    let api = format!("http://{}/api/v1", value_in(&server.line_with("answering"), "addr"));

    let load = Load::new(loopback(gateway_port), "load", 4, 1000);
    load.run();
    assert_eq!(load.list().answered.len(), 1000);
    let client = reqwest::Client::new();
    let ask = || -> serde_json::Value {
        let answer =
            block_on(async { client.get(format!("{api}/organizations?package=load")).send().await?.text().await });
        serde_json::from_str(&answer.expect("an answer")).expect("JSON")
    };
    // Every other request of the load is for an image, which no rule here answers.
    wait_until("the files' downloads in the answer", Duration::from_mins(1), || {
        ask()["coverage"]["total_downloads"] == 500
    });
    for role in [&mut gateway, &mut worker, &mut server] {
        role.stop();
    }
    the_past_can_be_corrected_and_forgotten(&config);
}

/// The same commands as on a folder.
fn the_past_can_be_corrected_and_forgotten(config: &Path) {
    let config = config.to_str().expect("a text path");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whopulls"));
        let output = command.envs(CREDENTIALS).args(arguments).args(["--config", config]).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{arguments:?}: {stderr}{stdout}");
        stdout
    };
    let count = |condition: &str| {
        let csv = run(&["sql", "--format", "csv", &format!("select count(*) from events where {condition}")]);
        csv.lines().nth(1).and_then(|line| line.parse::<u64>().ok()).unwrap_or_else(|| panic!("no number in {csv:?}"))
    };
    let (corrected, forgotten) = ("client_net = '198.51.1.0/24'", "client_net = '198.51.2.0/24'");
    let (to_correct, to_forget, all) = (count(corrected), count(forgotten), count("true"));
    assert!(to_correct > 0 && to_forget > 0, "{to_correct} {to_forget}");
    let overrides = Path::new(config).with_file_name("overrides.toml");
    let text = "[[organization]]\nid = 'acme.example'\nname = 'Acme'\n[[network]]\nnet = '198.51.1.0/24'\norganization = 'acme.example'\n";
    std::fs::write(&overrides, text).expect("overrides");
    let known = std::fs::read_to_string(config).expect("the configuration");
    let named = known.replace("[enrich]\n", &format!("[enrich]\noverrides_file = \"{}\"\n", overrides.display()));
    std::fs::write(config, named).expect("the configuration");
    run(&["overrides", "apply"]);
    assert_eq!(count("org_id = 'acme.example'"), to_correct);
    let proof = run(&["forget", "--network", "198.51.2.0/24", "--yes", "--workers-stopped"]);
    assert!(proof.contains("left in the table: 0 events"), "{proof}");
    assert!(proof.contains("Parquet files of the folder: 0 events"), "{proof}");
    assert_eq!((count(forgotten), count("true")), (0, all), "the requests still count");
    assert_eq!(count("org_id = 'acme.example'"), to_correct);
}
