//! Whose network an address belongs to, from evidence that can be checked, or nobody's.
//!
//! What is weighed here: what an organization says itself by a host name or user name that only it has, the networks that clouds publish, what
//! the operator's own files say of an address, the overlay of known networks, and words in the name that the registry has for a network. Networks that serve many (hosting, providers, mobile, VPN, Tor, private) never become an
//! organization, and a company is named only by the overlay.

mod file;
mod kind;
mod name;
mod reverse;
mod words;

use std::fmt;

pub use kind::NetworkKind;
pub use name::clean;
pub use reverse::{asks_for_a_name, is_providers};
use whopulls_schemas::raw::{Claim, ClaimBy};
pub use words::{NameRule, rule_for};

use crate::geo::{Known, Located};

/// Version of the rules, for the column `enriched_with`. Raise it when the same input would get another answer.
pub const RULES_VERSION: u32 = 4;

/// The organization said itself who it is, in a way that the operator configured.
pub const CONFIDENCE_CLAIM: f64 = 1.0;
/// The overlay names a network: facts that were looked at one by one.
pub const CONFIDENCE_OVERLAY: f64 = 0.95;
/// A file of the operator names who uses the address, with a domain.
pub const CONFIDENCE_FILE: f64 = 0.8;
/// A file names who uses it, without a domain.
pub const CONFIDENCE_FILE_NAME: f64 = 0.7;
/// A file and the overlay name the same organization.
pub const CONFIDENCE_AGREED: f64 = 0.98;
/// One word in a registry name.
pub const CONFIDENCE_NAME: f64 = 0.6;
/// One word, and another that speaks for a network that serves many.
pub const CONFIDENCE_NAME_DISPUTED: f64 = 0.4;

/// The name of the address leads to the domain of an organization that the overlay knows.
pub const CONFIDENCE_REVERSE_KNOWN: f64 = 0.7;
/// It leads to a domain with an ending that only schools or public bodies get.
pub const CONFIDENCE_REVERSE_ENDING: f64 = 0.6;
/// It leads to a domain of which nothing else is known.
pub const CONFIDENCE_REVERSE: f64 = 0.5;

/// What was concluded about a network, and from what.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// What kind of network it is.
    pub network_kind: NetworkKind,
    /// The organization, when one is known.
    pub organization: Option<Organization>,
    /// The cloud or hoster, when the network is one's and it is known which.
    pub cloud: Option<Cloud>,
    /// What said so, the deciding piece first.
    pub evidence: Vec<Evidence>,
}

/// A cloud or hoster: who rents there is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// As people call it.
    pub name: String,
    /// As the cloud calls it, where it says so.
    pub region: Option<String>,
}

/// An organization that a network stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Organization {
    /// The registrable domain where one is known, else `as<number>`.
    pub id: String,
    /// As people call it.
    pub name: String,
    /// The registrable domain.
    pub domain: Option<String>,
    /// What kind of organization: the kind of its network.
    pub kind: NetworkKind,
    /// From 0 to 1, by the kind of evidence.
    pub confidence: f64,
}

/// One reason for an attribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The organization's own host name or user name.
    Claim(ClaimBy),
    /// The address is private or reserved.
    Reserved,
    /// A cloud publishes the address as its own.
    Cloud(Cloud),
    /// A file of the operator says this of the address.
    File {
        /// What it speaks of: `tor`, `vpn`, `hosting`, `cellular` or `user_type`.
        what: &'static str,
        /// The maker's word, where it has one.
        word: Option<String>,
    },
    /// The overlay has the network.
    Overlay {
        /// The network.
        asn: u32,
    },
    /// The name of the address, which leads back to it, is in this domain.
    Reverse(String),
    /// A word in the network's registered name.
    Name {
        /// The word of the table.
        word: &'static str,
        /// What it speaks for.
        kind: NetworkKind,
    },
}

/// How [`Evidence::Reverse`] begins in `org_evidence`: the past is read by it.
pub const REVERSE_PREFIX: &str = "rdns:";

/// As the column `org_evidence` has it: `claim:host`, `reserved`, `cloud:AWS:eu-west-1`, `file:user_type:business`, `overlay:as15169`, `rdns:acme.example`,
/// `name:education:university`.
impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(by) => write!(formatter, "claim:{}", by.as_str()),
            Self::Reserved => formatter.write_str("reserved"),
            Self::Cloud(Cloud { name, region: Some(region) }) => write!(formatter, "cloud:{name}:{region}"),
            Self::Cloud(Cloud { name, region: None }) => write!(formatter, "cloud:{name}"),
            Self::File { what, word: Some(word) } => write!(formatter, "file:{what}:{word}"),
            Self::File { what, word: None } => write!(formatter, "file:{what}"),
            Self::Overlay { asn } => write!(formatter, "overlay:as{asn}"),
            Self::Reverse(domain) => write!(formatter, "{REVERSE_PREFIX}{domain}"),
            Self::Name { word, kind } => write!(formatter, "name:{}:{word}", kind.as_str()),
        }
    }
}

/// Concludes from what is known about an address whose it is. The same input always gets the same answer.
pub fn attribute(located: &Located<'_>) -> Attribution {
    reverse::with_name(located, by_network(located))
}

fn by_network(located: &Located<'_>) -> Attribution {
    if located.reserved {
        return Attribution { network_kind: NetworkKind::Private, evidence: vec![Evidence::Reserved], ..unknown() };
    }
    if let Some(found) = file::anonymous(located) {
        return found;
    }
    if let Some(name) = located.cloud {
        let cloud = Cloud { name: name.to_owned(), region: located.cloud_region.map(str::to_owned) };
        let evidence = vec![Evidence::Cloud(cloud.clone())];
        return Attribution { network_kind: NetworkKind::Hosting, cloud: Some(cloud), evidence, ..unknown() };
    }
    if let Some(found) = file::used_by(located) {
        return found;
    }
    let Some(asn) = located.asn else { return unknown() };
    if let Some(known) = located.known {
        let organization = known.kind.is_organization().then(|| of_overlay(asn, known, CONFIDENCE_OVERLAY));
        let is_cloud = known.kind == NetworkKind::Hosting;
        let cloud = is_cloud.then(|| Cloud { name: known.organization.to_owned(), region: None });
        let evidence = vec![Evidence::Overlay { asn }];
        return Attribution { network_kind: known.kind, organization, cloud, evidence };
    }
    located.as_name.map_or_else(unknown, |name| by_name(asn, name))
}

impl Attribution {
    /// The rule that decided, in words.
    pub fn rule(&self) -> &'static str {
        let is_known = self.organization.is_some();
        match self.evidence.first() {
            Some(Evidence::Claim(_)) => "the organization said itself who it is",
            Some(Evidence::Reserved) => "the address is private or reserved",
            Some(Evidence::Cloud(_)) => "a cloud publishes the address as its own: who rents there is not known",
            Some(Evidence::File { .. }) if is_known => "a file of the operator says who uses the address",
            Some(Evidence::File { .. }) => "a file of the operator says that the address serves many: it is nobody's",
            Some(Evidence::Overlay { .. }) if is_known => "the overlay of known networks names its organization",
            Some(Evidence::Overlay { .. }) => "the overlay of known networks says that it serves many: it is nobody's",
            Some(Evidence::Reverse(_)) => "the name of the address leads to a domain and back",
            Some(Evidence::Name { .. }) if is_known => "a word in the network's registered name says what it is",
            Some(Evidence::Name { .. }) => {
                "a word in the network's registered name says that it serves many: it is nobody's"
            }
            None => "nothing says whose the network is",
        }
    }

    /// Puts what the organization says itself over what its network says: it holds from any network, a cloud's too. The network's
    /// own kind stays; what it said of the organization stays as evidence where it is the same one.
    #[must_use]
    pub fn with_claim(self, claim: &Claim) -> Self {
        let same = self.organization.as_ref().filter(|organization| organization.id == claim.organization);
        let mut evidence = vec![Evidence::Claim(claim.by)];
        if same.is_some() {
            evidence.extend(self.evidence.iter().cloned());
        }
        let organization = Organization {
            id: claim.organization.clone(),
            name: claim.name.clone(),
            domain: claim.organization.contains('.').then(|| claim.organization.clone()),
            kind: same.map_or(NetworkKind::Unknown, |organization| organization.kind),
            confidence: CONFIDENCE_CLAIM,
        };
        Self { organization: Some(organization), evidence, ..self }
    }
}

fn of_overlay(asn: u32, known: Known<'_>, confidence: f64) -> Organization {
    Organization {
        id: known.domain.map_or_else(|| format!("as{asn}"), str::to_owned),
        name: known.organization.to_owned(),
        domain: known.domain.map(str::to_owned),
        kind: known.kind,
        confidence,
    }
}

fn unknown() -> Attribution {
    Attribution { network_kind: NetworkKind::Unknown, organization: None, cloud: None, evidence: Vec::new() }
}

/// Only schools, research and public bodies are recognized by their names; a name never makes a business.
fn by_name(asn: u32, registered: &str) -> Attribution {
    let matches = words::matches(registered);
    let Some(first) = matches.first() else { return unknown() };
    let disputed = matches.iter().any(|rule| !rule.kind.is_organization());
    let organization = first.kind.is_organization().then(|| Organization {
        id: format!("as{asn}"),
        name: clean(registered),
        domain: None,
        kind: first.kind,
        confidence: if disputed { CONFIDENCE_NAME_DISPUTED } else { CONFIDENCE_NAME },
    });
    let evidence = matches.iter().map(|rule| Evidence::Name { word: rule.word, kind: rule.kind }).collect();
    Attribution { network_kind: first.kind, organization, evidence, cloud: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Known;

    #[track_caller]
    fn check(name: &str, kind: NetworkKind, organization: Option<&str>) {
        let located = Located { asn: Some(64_500), as_name: Some(name), ..Located::default() };
        let attribution = attribute(&located);
        assert_eq!(attribution.network_kind, kind, "{name}");
        assert_eq!(attribution.organization.as_ref().map(|found| found.name.as_str()), organization, "{name}");
        if let Some(found) = attribution.organization {
            assert_eq!(found.id, "as64500", "a name says no domain");
            assert!(found.confidence < CONFIDENCE_OVERLAY);
        }
    }

    #[test]
    fn a_name_tells_schools_and_public_bodies_from_networks_that_serve_many() {
        check("University of South Alabama", NetworkKind::Education, Some("University of South Alabama"));
        check("Technische Universitaet Graz", NetworkKind::Education, Some("Technische Universitaet Graz"));
        check("Ministry of Finance", NetworkKind::Government, Some("Ministry of Finance"));
        check("Serverius Hosting B.V.", NetworkKind::Hosting, None);
        check("Andhra Telecom Ltd", NetworkKind::Isp, None);
        check("Zed Mobile Ltd", NetworkKind::Mobile, None);
    }

    #[test]
    fn a_company_without_positive_evidence_stays_unknown() {
        check("Acme Widgets, Inc.", NetworkKind::Unknown, None);
        check("", NetworkKind::Unknown, None);
    }

    #[test]
    fn a_disputed_name_is_less_sure() {
        let located = Located { asn: Some(1), as_name: Some("University Telecom Services"), ..Located::default() };
        let organization = attribute(&located).organization.expect("the first rule is education");
        assert!(organization.confidence < CONFIDENCE_NAME);
    }

    #[test]
    fn the_overlay_goes_before_the_name_and_only_it_makes_a_business() {
        let known = Known { kind: NetworkKind::Business, organization: "Acme", domain: Some("acme.example") };
        let located = Located { asn: Some(1), as_name: Some("Acme Telecom"), known: Some(known), ..Located::default() };
        let attribution = attribute(&located);
        assert_eq!(attribution.network_kind, NetworkKind::Business);
        assert_eq!(attribution.organization.map(|found| found.id), Some("acme.example".to_owned()));
        assert_eq!(attribution.evidence, [Evidence::Overlay { asn: 1 }]);
    }

    #[test]
    fn a_network_that_serves_many_never_becomes_an_organization() {
        for kind in NetworkKind::ALL {
            let known = Known { kind, organization: "Acme", domain: Some("acme.example") };
            let located = Located { asn: Some(1), known: Some(known), ..Located::default() };
            assert_eq!(attribute(&located).organization.is_some(), kind.is_organization(), "{}", kind.as_str());
        }
    }

    #[test]
    fn a_clouds_own_networks_are_hosting_whoever_announces_them() {
        let known = Known { kind: NetworkKind::Business, organization: "Acme", domain: Some("acme.example") };
        let cloud = |region| Located {
            asn: Some(1),
            known: Some(known),
            cloud: Some("Acme Cloud"),
            cloud_region: region,
            ..Located::default()
        };
        let found = attribute(&cloud(Some("west-1")));
        assert_eq!((found.network_kind, found.organization), (NetworkKind::Hosting, None));
        assert_eq!(found.evidence.first().map(ToString::to_string).as_deref(), Some("cloud:Acme Cloud:west-1"));
        let region = |found: Attribution| found.cloud.and_then(|cloud| cloud.region);
        assert_eq!(region(attribute(&cloud(None))), None);
        let hoster = Known { kind: NetworkKind::Hosting, organization: "Host", domain: None };
        let located = Located { asn: Some(1), known: Some(hoster), ..Located::default() };
        assert_eq!(attribute(&located).cloud.map(|cloud| cloud.name).as_deref(), Some("Host"));
    }

    #[test]
    fn what_an_organization_says_itself_holds_from_any_network_and_keeps_the_evidence_that_agrees() {
        let claim = Claim { organization: "acme.example".to_owned(), name: "Acme".to_owned(), by: ClaimBy::Host };
        let from = |kind, domain| {
            let known = Known { kind, organization: "Somebody", domain: Some(domain) };
            let located = Located { asn: Some(1), known: Some(known), ..Located::default() };
            attribute(&located).with_claim(&claim)
        };
        let cloud = from(NetworkKind::Hosting, "cloud.example");
        let organization = cloud.organization.expect("it said who it is");
        assert_eq!((organization.id.as_str(), organization.kind), ("acme.example", NetworkKind::Unknown));
        assert!((organization.confidence - CONFIDENCE_CLAIM).abs() < f64::EPSILON);
        assert_eq!((cloud.network_kind, cloud.evidence), (NetworkKind::Hosting, vec![Evidence::Claim(ClaimBy::Host)]));
        let own = from(NetworkKind::Business, "acme.example");
        assert_eq!(own.evidence, [Evidence::Claim(ClaimBy::Host), Evidence::Overlay { asn: 1 }]);
        assert_eq!(own.organization.map(|found| found.kind), Some(NetworkKind::Business));
        let other = from(NetworkKind::Business, "other.example");
        assert_eq!(other.organization.map(|found| found.id), Some("acme.example".to_owned()));
    }

    #[test]
    fn a_private_address_is_private_whatever_else_is_said() {
        let located = Located { reserved: true, asn: Some(15_169), ..Located::default() };
        assert_eq!(attribute(&located).network_kind, NetworkKind::Private);
    }
}
