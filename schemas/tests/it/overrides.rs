//! `overrides.toml`: what it says, and every contradiction in it.

use whopulls_schemas::config::{NetworkMeaning, NetworkName, OverridesConfig};

fn mistakes(text: &str) -> String {
    OverridesConfig::parse("overrides.toml", text).expect_err("mistakes").to_string()
}

#[test]
fn networks_organizations_and_lists_are_read() {
    let text = r#"
ignore = ["noise.example"]
opt_out = ["198.51.100.0/24", "2001:db8::1"]
[[organization]]
id = "acme.example"
name = "Acme"
kind = "business"
aliases = ["as64500", "ACME Widgets"]
[[organization]]
id = "lab.acme.example"
name = "Acme Lab"
parent = "acme.example"
join = true
[[network]]
net = "192.0.2.0/24"
organization = "acme.example"
[[network]]
asn = 64501
kind = "hosting"
"#;
    let read = OverridesConfig::parse("overrides.toml", text).expect("right");
    assert_eq!(read.organizations.iter().map(|known| known.line).collect::<Vec<_>>(), [4, 9]);
    assert_eq!(read.networks[0].network, NetworkName::Net("192.0.2.0/24".parse().expect("a network")));
    assert_eq!(read.networks[0].meaning, NetworkMeaning::Organization("acme.example".to_owned()));
    assert_eq!(read.networks[1].network, NetworkName::Asn(64_501));
    assert_eq!(read.networks[1].meaning, NetworkMeaning::Kind("hosting"));
    assert_eq!((read.ignore.len(), read.opt_out.len()), (1, 2));
    assert_eq!(OverridesConfig::parse("overrides.toml", "").expect("nothing is right too"), OverridesConfig::default());
}

#[test]
fn every_value_that_does_not_read_is_told_at_once_with_its_line() {
    let text = r#"
ignor = ["a.example"]
opt_out = ["192.0.2.0/33"]
[[organization]]
id = "Acme Example"
kind = "firm"
join = true
[[network]]
net = "192.0.2.7/24"
organization = "acme.example"
kind = "isp"
[[network]]
kind = "business"
"#;
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn every_contradiction_is_told_at_once_with_its_line() {
    let text = r#"
ignore = ["acme.example"]
[[organization]]
id = "acme.example"
name = "Acme"
aliases = ["as64500"]
parent = "lab.example"
[[organization]]
id = "acme.example"
name = "Acme again"
[[organization]]
id = "lab.example"
name = "Lab"
aliases = ["AS64500", "acme.example"]
parent = "acme.example"
[[organization]]
id = "orphan.example"
name = "Orphan"
parent = "nobody.example"
[[network]]
asn = 64500
organization = "acme.exmaple"
[[network]]
asn = 64500
kind = "isp"
"#;
    insta::assert_snapshot!(mistakes(text));
}
