//! What is derived from a record, with the embedded database.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use uuid::Uuid;
use whopulls_enrich::Enricher;
use whopulls_enrich::endpoint::EndpointKey;
use whopulls_enrich::event::Enriched;
use whopulls_enrich::geo::Database;
use whopulls_enrich::overrides::OverridesFile;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::IpMode;
use whopulls_schemas::raw::{Claim, ClaimBy, Kind, RawAccess};

static DATABASE: LazyLock<Arc<Database>> =
    LazyLock::new(|| Arc::new(Database::open(&[]).expect("the embedded database")));

fn enriched(ip_mode: IpMode, change: impl Fn(&mut RawAccess)) -> Enriched {
    let enricher = Enricher::new(Arc::clone(&DATABASE), EndpointKey::new([7; EndpointKey::BYTES]), ip_mode);
    let mut raw = RawAccess::new(Uuid::nil(), UnixMicros(0), Kind::File, "GET", "/a", 200);
    raw.client_ip = Some(IpAddr::from([8, 8, 8, 8]));
    raw.user_agent = Some("curl/8.5.0".to_owned());
    change(&mut raw);
    Arc::unwrap_or_clone(enricher.enrich(&raw))
}

#[test]
fn an_address_gives_endpoint_network_and_country_and_a_user_agent_the_client() {
    let known = enriched(IpMode::Net, |_| {});
    assert_eq!((known.client.as_deref(), known.client_version.as_deref()), (Some("curl"), Some("8.5.0")));
    assert_eq!(known.client_net.as_deref(), Some("8.8.8.0/24"));
    assert_eq!((known.ip_version, known.asn), (Some(4), Some(15169)));
    assert!(known.endpoint_id.is_some() && known.network_kind.is_some() && known.country.is_some());
    assert!(known.enriched_with.is_some());
}

#[test]
fn who_asked_not_to_be_tracked_has_no_endpoint_network_or_organization() {
    for ask in [|raw: &mut RawAccess| raw.dnt = true, |raw: &mut RawAccess| raw.gpc = true] {
        let asked = enriched(IpMode::Net, ask);
        assert_eq!((asked.endpoint_id, asked.client_net, asked.asn, asked.as_name), (None, None, None, None));
        assert_eq!((asked.network_kind, asked.org), (None, None));
        assert_eq!((asked.city, asked.region, asked.latitude, asked.longitude), (None, None, None, None));
        assert_eq!(asked.client.as_deref(), Some("curl"), "it is still counted");
    }
}

#[test]
fn a_lake_without_networks_still_tells_endpoints_apart() {
    let without = enriched(IpMode::Drop, |_| {});
    assert_eq!(without.client_net, None);
    assert_eq!(without.endpoint_id, enriched(IpMode::Net, |_| {}).endpoint_id);
}

#[test]
fn a_record_without_address_is_enriched_without_one() {
    let unknown = enriched(IpMode::Net, |raw| raw.client_ip = None);
    assert_eq!((unknown.endpoint_id, unknown.ip_version, unknown.network_kind), (None, None, None));
}

#[test]
fn an_organization_that_says_who_it_is_is_believed_from_a_cloud_unless_it_asked_not_to_be_tracked() {
    let claim = || Some(Claim { organization: "acme.example".into(), name: "Acme".into(), by: ClaimBy::User });
    let said = enriched(IpMode::Net, |raw| raw.claim = claim());
    let org = said.org.expect("it said so");
    assert_eq!(
        (org.id.as_str(), org.confidence, org.evidence),
        ("acme.example", Some(1.0), vec!["claim:user".to_owned()])
    );
    assert_eq!(said.asn, Some(15169), "the network is kept beside it");
    let without_address = enriched(IpMode::Net, |raw| (raw.client_ip, raw.claim) = (None, claim()));
    assert_eq!(without_address.org.map(|org| org.id).as_deref(), Some("acme.example"));
    let untracked = enriched(IpMode::Net, |raw| (raw.dnt, raw.claim) = (true, claim()));
    assert_eq!(untracked.org, None);
}

#[test]
fn overrides_name_networks_take_organizations_away_and_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("overrides.toml");
    let under = |overrides: &str, address: [u8; 4]| {
        std::fs::write(&path, overrides).expect("a file");
        let file = Arc::new(OverridesFile::open(Some(&path)).expect("right"));
        let key = EndpointKey::new([7; EndpointKey::BYTES]);
        let mut raw = RawAccess::new(Uuid::nil(), UnixMicros(0), Kind::File, "GET", "/a", 200);
        raw.client_ip = Some(IpAddr::from(address));
        Arc::unwrap_or_clone(Enricher::new(Arc::clone(&DATABASE), key, IpMode::Net).with_overrides(file).enrich(&raw))
    };
    let acme = "[[organization]]\nid = 'acme.example'\nname = 'Acme'\n";
    let named =
        under(&format!("{acme}[[network]]\nnet = '10.7.0.0/16'\norganization = 'acme.example'\n"), [10, 7, 1, 1]);
    let org = named.org.expect("an override names it, although it is private");
    assert_eq!(
        (org.id.as_str(), org.confidence, org.evidence),
        ("acme.example", Some(1.0), vec!["override:net:10.7.0.0/16".to_owned()])
    );
    assert_eq!(named.network_kind.as_deref(), Some("private"), "the organization's kind is not known");
    assert!(named.enriched_with.is_some_and(|versions| versions.contains(" overrides-")));
    let ruled_out = under("[[network]]\nasn = 15169\nkind = 'vpn'\n", [8, 8, 8, 8]);
    assert_eq!((ruled_out.org, ruled_out.network_kind.as_deref()), (None, Some("vpn")));
    assert_eq!(ruled_out.ruled_out_by, ["override:as15169"]);
    let out = under("opt_out = ['8.8.8.8']\n", [8, 8, 8, 8]);
    assert_eq!((out.endpoint_id, out.client_net, out.asn, out.network_kind, out.org), (None, None, None, None, None));
    assert!(out.country.is_some(), "as for a client that asked not to be tracked");
}

#[test]
fn who_asked_is_told_by_program_network_and_mirror() {
    let of = |change: &dyn Fn(&mut RawAccess)| enriched(IpMode::Net, change).automation;
    let from = |address: [u8; 4], user_agent: &'static str| {
        move |raw: &mut RawAccess| {
            raw.client_ip = Some(IpAddr::from(address));
            raw.user_agent = Some(user_agent.to_owned());
        }
    };
    let (cloud, home) = ([8, 8, 8, 8], [73, 0, 0, 1]);
    for (address, user_agent, expected) in [
        (cloud, "curl/8.5.0", "ci"),
        (home, "curl/8.5.0", "person"),
        (cloud, "containerd/v1.7.2", "production"),
        (home, "Artifactory/7.77.5 77705900", "mirror"),
        (home, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
    ] {
        assert_eq!(of(&from(address, user_agent)).as_deref(), Some(expected), "{user_agent}");
    }
    let mirrored = of(&|raw| raw.ns = Some("registry.example".to_owned()));
    assert_eq!(mirrored.as_deref(), Some("mirror"));
}
