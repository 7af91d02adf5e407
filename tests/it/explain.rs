//! `whopulls explain`: whose an address is, with the reasons.

use serde_json::Value;

use crate::support::whopulls;

fn explained(address: &str) -> Value {
    let output = whopulls(&["explain", "--json", address]);
    assert!(output.success, "{}", output.stderr);
    serde_json::from_str(&output.stdout).expect("one JSON object")
}

#[track_caller]
fn check(address: &str, expected: &[(&str, Value)]) {
    let found = explained(address);
    for (key, value) in expected {
        assert_eq!(&found[*key], value, "{address} {key}: {found}");
    }
}

#[test]
fn well_known_addresses_are_explained() {
    let of = |kind: &str, asn: u32| [("network_kind", kind.into()), ("asn", asn.into())];
    check("8.8.8.8", &of("hosting", 15_169));
    check("8.8.8.8", &[("as_name", "Google LLC".into()), ("cloud", "Google".into()), ("org_id", Value::Null)]);
    check("140.82.112.3", &[("org_id", "github.com".into()), ("org_name", "GitHub".into())]);
    check("17.0.0.1", &[("org_id", "apple.com".into()), ("org_kind", "business".into()), ("confidence", 0.95.into())]);
    check("192.55.54.1", &[("org_id", "intel.com".into())]);
    let ireland = [("cloud", "AWS".into()), ("cloud_region", "eu-west-1".into()), ("org_id", Value::Null)];
    check("54.72.0.1", &ireland);
    check("18.9.22.69", &[("org_name", "MIT".into()), ("org_kind", "education".into())]);
    check("73.0.0.1", &[("network_kind", "isp".into()), ("org_id", Value::Null)]);
    check("2001:4860:4860::8888", &of("hosting", 15_169));
    check("10.0.0.1", &[("network_kind", "private".into()), ("asn", Value::Null), ("country", Value::Null)]);
    check("203.0.113.9", &[("network_kind", "private".into()), ("org_id", Value::Null)]);
}

#[test]
fn overrides_are_explained_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let overrides = "opt_out = ['18.9.0.0/16']\n[[organization]]\nid = 'acme.example'\nname = 'Acme'\nkind = 'business'\n\
                     [[network]]\nnet = '54.72.0.0/16'\norganization = 'acme.example'\n";
    std::fs::write(file("overrides.toml"), overrides).expect("a file");
    let config = format!("[enrich]\noverrides_file = '{}'\n", file("overrides.toml"));
    std::fs::write(file("c.toml"), config).expect("a file");
    let output = whopulls(&["explain", "--config", &file("c.toml"), "--json", "54.72.0.1", "18.9.22.69", "17.0.0.1"]);
    assert!(output.success, "{}", output.stderr);
    let found: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [acme, out, apple] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&acme["org_name"], &acme["cloud"]), (&"Acme".into(), &"AWS".into()), "{acme}");
    assert_eq!(acme["evidence"], serde_json::json!(["override:net:54.72.0.0/16"]));
    assert_eq!(out["org_id"], Value::Null, "{out}");
    assert_eq!(apple["org_id"], "apple.com");
}

#[test]
fn an_explanation_reads_well_and_nonsense_is_refused() {
    let output = whopulls(&["explain", "17.0.0.1", "10.0.0.1"]);
    assert!(output.success, "{}", output.stderr);
    for part in
        ["17.0.0.1\n", "AS714 Apple Inc.", "Apple (apple.com), business", "overlay:as714", "10.0.0.1\n", "private"]
    {
        assert!(output.stdout.contains(part), "{part} in\n{}", output.stdout);
    }
    let output = whopulls(&["explain", "300.1.1.1"]);
    assert!(!output.success && output.stderr.contains("300.1.1.1"), "{}", output.stderr);
}
