//! The key of `endpoint_id`, and what the lake keeps of an address.

use std::path::Path;

use crate::support::{number, query, whopulls};

const LOG: &str = r#"73.162.10.5 - - [17/May/2015:08:05:32 +0000] "GET /downloads/app HTTP/1.1" 200 490 "-" "curl/8.5.0"
73.162.10.5 - - [30/May/2015:23:59:59 +0000] "GET /downloads/app HTTP/1.1" 200 490 "-" "curl/8.5.0"
73.162.10.5 - - [01/Jun/2015:00:00:00 +0000] "GET /downloads/app HTTP/1.1" 200 490 "-" "curl/8.5.0"
73.162.10.6 - - [01/Jun/2015:00:00:00 +0000] "GET /downloads/app HTTP/1.1" 200 490 "-" "curl/8.5.0"
"#;

/// Imports the log into `data` under these keys of `[enrich]`, and gives the configuration's path.
fn import(folder: &Path, data: &str, enrich: &str) -> String {
    let log = folder.join("access.log");
    std::fs::write(&log, LOG).expect("a log");
    let config = folder.join(format!("{data}.toml"));
    let text = format!("data = '{}'\n[enrich]\n{enrich}\n", folder.join(data).display());
    std::fs::write(&config, text).expect("a configuration");
    let (config, log) = (config.display().to_string(), log.display().to_string());
    whopulls(&["import", "--config", &config, "--format", "nginx", "--path", "/downloads/{package}", &log])
        .expect_success();
    config
}

const ENDPOINTS: &str = "select count(distinct endpoint_id) from events";

#[test]
fn a_key_is_the_same_until_it_is_rotated_or_its_month_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = import(folder.path(), "never", "");
    assert_eq!(number(&folder.path().join("never"), ENDPOINTS), 2);
    let status = || whopulls(&["endpoint-key", "status", "--config", &config]).expect_success();
    let (key, before) = (folder.path().join("never/endpoint.key"), status());
    let secret = std::fs::read(&key).expect("the key");
    let refused = whopulls(&["endpoint-key", "rotate", "--config", &config]);
    assert!(!refused.success && refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&key).expect("the key"), secret);
    whopulls(&["endpoint-key", "rotate", "--yes", "--config", &config]).expect_success();
    assert_ne!(std::fs::read(&key).expect("the key"), secret);
    assert_ne!(status(), before);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).expect("the key").permissions());
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    assert!(!folder.path().join("never/endpoint.new").exists());

    import(folder.path(), "monthly", "endpoint_key_rotation = 'monthly'");
    let data = folder.path().join("monthly");
    assert_eq!(number(&data, ENDPOINTS), 3, "one client in two months is two endpoints");
    assert_eq!(number(&data, &format!("{ENDPOINTS} where ts < timestamp '2015-06-01'")), 1);
}

#[test]
fn the_lake_keeps_of_an_address_what_the_configuration_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let nets = |data: &str, enrich: &str| {
        let config = import(folder.path(), data, enrich);
        (query(&folder.path().join(data), "select distinct client_net from events order by 1").concat(), config)
    };
    assert_eq!(nets("net", "").0, ["73.162.10.0/24"]);
    import(folder.path(), "drop", "ip_mode = 'drop'");
    assert_eq!(number(&folder.path().join("drop"), "select count(client_net) from events"), 0);
    let (kept, config) = nets("keep", "ip_mode = 'keep'");
    assert_eq!(kept, ["73.162.10.5/32", "73.162.10.6/32"]);
    // The past is corrected, and forgotten, by the very address.
    let overrides = folder.path().join("overrides.toml");
    let text = "[[organization]]\nid = 'acme.example'\nname = 'Acme'\n[[network]]\nnet = '73.162.10.6/32'\norganization = 'acme.example'\n";
    std::fs::write(&overrides, text).expect("a file");
    let known = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, format!("{known}overrides_file = '{}'\n", overrides.display())).expect("the configuration");
    whopulls(&["overrides", "apply", "--config", &config]).expect_success();
    let data = folder.path().join("keep");
    assert_eq!(number(&data, "select count(*) from events where org_id = 'acme.example'"), 1);
    whopulls(&["forget", "--config", &config, "--network", "73.162.10.5/32", "--yes", "--workers-stopped"])
        .expect_success();
    assert_eq!(number(&data, "select count(*) from events where client_net is null"), 3);
    assert_eq!(number(&data, "select count(*) from events where client_net = '73.162.10.6/32'"), 1);
}
