use super::*;
use crate::attribute::{Evidence, attribute};
use crate::geo::{Known, Located};
use whopulls_schemas::raw::ClaimBy;

const FILE: &str = r#"
ignore = ["noise.example"]
opt_out = ["198.51.100.0/25", "2001:db8:7::/48"]
[[organization]]
id = "acme.example"
name = "Acme"
kind = "business"
aliases = ["as64500", "Old Acme"]
[[organization]]
id = "lab.acme.example"
name = "Acme Lab"
parent = "acme.example"
join = true
[[organization]]
id = "works.acme.example"
name = "Acme Works"
parent = "acme.example"
[[network]]
net = "192.0.2.0/24"
organization = "acme.example"
[[network]]
net = "192.0.0.0/16"
kind = "isp"
[[network]]
net = "192.0.2.16/28"
organization = "works.acme.example"
[[network]]
net = "2001:db8::/32"
organization = "lab.acme.example"
[[network]]
asn = 64501
kind = "hosting"
"#;

fn overrides() -> Overrides {
    Overrides::parse("overrides.toml", FILE).expect("right")
}

fn address(text: &str) -> Subject {
    Subject::Address(text.parse().expect("an address"))
}

fn net(text: &str, said: Option<&str>) -> Subject {
    let parse = |text: &str| text.parse().expect("a network");
    Subject::Net { net: parse(text), said: said.map(parse) }
}

/// What the overlay says of AS64500, or of another.
fn base(asn: u32, organization: &'static str, domain: Option<&'static str>) -> Attribution {
    let known = Known { kind: NetworkKind::Education, organization, domain };
    attribute(&Located { asn: Some(asn), known: Some(known), ..Located::default() })
}

#[track_caller]
fn check(subject: Subject, asn: u32, base: &Attribution, expected: (&str, &str, &[&str])) {
    let decided = overrides().decide(subject, Some(asn), base, None);
    let id = decided.organization.as_ref().map_or("", |found| found.id.as_str());
    let evidence: Vec<&str> = decided.evidence.iter().map(String::as_str).collect();
    assert_eq!((decided.network_kind.as_str(), id, evidence.as_slice()), expected);
}

#[test]
fn the_longest_prefix_wins_and_a_prefix_wins_over_a_system() {
    let base = base(64_501, "School", Some("school.example"));
    check(address("192.0.2.1"), 64_501, &base, ("business", "acme.example", &["override:net:192.0.2.0/24"]));
    check(address("::ffff:192.0.2.1"), 64_501, &base, ("business", "acme.example", &["override:net:192.0.2.0/24"]));
    let works = ("education", "works.acme.example", &["override:net:192.0.2.16/28"][..]);
    check(address("192.0.2.17"), 64_501, &base, works);
    check(address("192.0.3.1"), 64_501, &base, ("isp", "", &["override:net:192.0.0.0/16"]));
    check(address("203.0.113.1"), 64_501, &base, ("hosting", "", &["override:as64501"]));
    check(address("203.0.113.1"), 64_502, &base, ("education", "school.example", &["overlay:as64501"]));
}

#[test]
fn a_network_of_the_past_is_known_by_a_prefix_that_holds_all_of_it_or_by_what_was_said_then() {
    let base = base(64_502, "School", None);
    check(net("192.0.2.0/24", None), 64_502, &base, ("business", "acme.example", &["override:net:192.0.2.0/24"]));
    let works = ("education", "works.acme.example", &["override:net:192.0.2.16/28"][..]);
    check(net("192.0.2.0/24", Some("192.0.2.16/28")), 64_502, &base, works);
    let gone = Some("192.0.2.32/28");
    check(net("192.0.2.0/24", gone), 64_502, &base, ("business", "acme.example", &["override:net:192.0.2.0/24"]));
}

#[test]
fn an_alias_by_id_or_name_and_a_joined_child_take_the_name_of_the_one_that_they_are() {
    let by_id = base(64_500, "Somebody", None);
    check(
        Subject::Unknown,
        64_500,
        &by_id,
        ("business", "acme.example", &["override:alias:as64500", "overlay:as64500"]),
    );
    let by_name = base(7, "OLD ACME", Some("old.example"));
    check(Subject::Unknown, 7, &by_name, ("business", "acme.example", &["override:alias:OLD ACME", "overlay:as7"]));
    let renamed = overrides().decide(Subject::Unknown, None, &by_name, None).organization.expect("one");
    assert!(
        (renamed.confidence - crate::attribute::CONFIDENCE_OVERLAY).abs() < f64::EPSILON,
        "the network is no surer"
    );
    let child = ["override:parent:lab.acme.example", "override:net:2001:db8::/32"];
    check(address("2001:db8::1"), 7, &by_name, ("business", "acme.example", &child));
    let itself = base(7, "Works", Some("works.acme.example"));
    let stays = ["override:organization:works.acme.example", "overlay:as7"];
    check(Subject::Unknown, 7, &itself, ("education", "works.acme.example", &stays));
}

#[test]
fn an_ignored_organization_is_none_and_the_kind_of_network_stays() {
    let noise = base(7, "Noise", Some("noise.example"));
    check(Subject::Unknown, 7, &noise, ("education", "", &["override:ignore:noise.example"]));
}

#[test]
fn a_claim_stands_over_every_override() {
    let claim = |id: &str| Claim { organization: id.to_owned(), name: "Said".to_owned(), by: ClaimBy::Host };
    let base = base(7, "Noise", Some("noise.example"));
    let other = overrides().decide(address("192.0.2.1"), Some(7), &base, Some(&claim("said.example")));
    let organization = other.organization.expect("it said so");
    assert_eq!((organization.id.as_str(), organization.kind), ("said.example", NetworkKind::Unknown));
    assert_eq!(other.network_kind, NetworkKind::Business);
    assert_eq!(other.evidence, ["claim:host", "override:net:192.0.2.0/24"], "the kind of network is the override's");
    let same = overrides().decide(address("192.0.2.1"), Some(7), &base, Some(&claim("acme.example")));
    assert_eq!(same.evidence, ["claim:host", "override:net:192.0.2.0/24"]);
    assert_eq!(same.organization.map(|found| found.kind), Some(NetworkKind::Business));
    let ignored = overrides().decide(Subject::Unknown, Some(7), &base, Some(&claim("noise.example")));
    assert_eq!(ignored.organization.map(|found| found.id), Some("noise.example".to_owned()));
}

#[test]
fn without_overrides_everything_is_as_the_databases_say() {
    let base = base(7, "School", Some("school.example"));
    let claim = Claim { organization: "school.example".to_owned(), name: "School".to_owned(), by: ClaimBy::User };
    for claim in [None, Some(&claim)] {
        let expected = claim.map_or(base.clone(), |claim| base.clone().with_claim(claim));
        let decided = Overrides::default().decide(address("192.0.2.1"), Some(7), &base, claim);
        assert_eq!(decided.organization, expected.organization);
        assert_eq!(decided.evidence, expected.evidence.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    assert_eq!(base.evidence, [Evidence::Overlay { asn: 7 }]);
    assert_eq!(Overrides::default().version(), None);
}

#[test]
fn an_opt_out_holds_for_addresses_and_for_networks_that_it_covers() {
    let overrides = overrides();
    assert!(overrides.opts_out(address("198.51.100.1")));
    assert!(!overrides.opts_out(address("198.51.100.200")));
    assert!(!overrides.opts_out(net("198.51.100.0/24", None)), "half of it did not opt out");
    assert!(overrides.opts_out(net("2001:db8:7::/48", None)));
}

#[test]
fn the_version_is_of_the_content() {
    let version = |text: &str| Overrides::parse("o", text).expect("right").version().map(str::to_owned);
    assert_eq!(version("ignore = []\n"), version("ignore = []\n"));
    assert_ne!(version("ignore = []\n"), version("ignore = [\"a\"]\n"));
}

#[test]
fn a_changed_file_is_taken_when_it_stands_still_and_a_bad_one_is_refused_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("overrides.toml");
    std::fs::write(&path, "ignore = ['a']\n").expect("a file");
    let file = OverridesFile::open(Some(&path)).expect("right");
    let first = file.current().version().map(str::to_owned);
    assert!(matches!(file.reload_if_changed(), Reload::Unchanged));
    std::fs::write(&path, "ignore = ['b']\n").expect("a file");
    assert!(matches!(file.reload_if_changed(), Reload::Unchanged), "it may be half a file");
    assert!(matches!(file.reload_if_changed(), Reload::Reloaded(_)));
    let second = file.current().version().map(str::to_owned);
    assert_ne!(first, second);
    std::fs::write(&path, "ignor = ['b']\n").expect("a file");
    assert!(matches!(file.reload_if_changed(), Reload::Unchanged));
    assert!(matches!(file.reload_if_changed(), Reload::Refused(_)));
    assert!(matches!(file.reload_if_changed(), Reload::Unchanged), "told once");
    std::fs::remove_file(&path).expect("a file");
    assert!(matches!(file.reload_if_changed(), Reload::Unchanged));
    assert_eq!(file.current().version().map(str::to_owned), second);
}
