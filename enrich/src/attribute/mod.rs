//! Whose network an address belongs to, from evidence that can be checked, or nobody's.
//!
//! Three kinds of evidence are weighed here: what an organization says itself by a host name or user name that only it has, the
//! overlay of known networks, and words in the name that the registry has for a network. Networks that serve many (hosting, providers, mobile, VPN, Tor, private) never become an
//! organization, and a company is named only by the overlay.

mod kind;
mod name;
mod words;

use std::fmt;

pub use kind::NetworkKind;
pub use name::clean;
use whopulls_schemas::raw::{Claim, ClaimBy};
pub use words::{NameRule, rule_for};

use crate::geo::Located;

/// Version of the rules, for the column `enriched_with`. Raise it when the same input would get another answer.
pub const RULES_VERSION: u32 = 2;

/// The organization said itself who it is, in a way that the operator configured.
pub const CONFIDENCE_CLAIM: f64 = 1.0;
/// The overlay names a network: facts that were looked at one by one.
pub const CONFIDENCE_OVERLAY: f64 = 0.95;
/// One word in a registry name.
pub const CONFIDENCE_NAME: f64 = 0.6;
/// One word, and another that speaks for a network that serves many.
pub const CONFIDENCE_NAME_DISPUTED: f64 = 0.4;

/// What was concluded about a network, and from what.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// What kind of network it is.
    pub network_kind: NetworkKind,
    /// The organization, when one is known.
    pub organization: Option<Organization>,
    /// What said so, the deciding piece first.
    pub evidence: Vec<Evidence>,
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
    /// The overlay has the network.
    Overlay {
        /// The network.
        asn: u32,
    },
    /// A word in the network's registered name.
    Name {
        /// The word of the table.
        word: &'static str,
        /// What it speaks for.
        kind: NetworkKind,
    },
}

/// As the column `org_evidence` has it: `claim:host`, `reserved`, `overlay:as15169`, `name:education:university`.
impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(by) => write!(formatter, "claim:{}", by.as_str()),
            Self::Reserved => formatter.write_str("reserved"),
            Self::Overlay { asn } => write!(formatter, "overlay:as{asn}"),
            Self::Name { word, kind } => write!(formatter, "name:{}:{word}", kind.as_str()),
        }
    }
}

/// Concludes from what is known about an address whose it is. The same input always gets the same answer.
pub fn attribute(located: &Located<'_>) -> Attribution {
    if located.reserved {
        return Attribution {
            network_kind: NetworkKind::Private,
            organization: None,
            evidence: vec![Evidence::Reserved],
        };
    }
    let Some(asn) = located.asn else { return unknown() };
    if let Some(known) = located.known {
        let organization = known.kind.is_organization().then(|| Organization {
            id: known.domain.map_or_else(|| format!("as{asn}"), str::to_owned),
            name: known.organization.to_owned(),
            domain: known.domain.map(str::to_owned),
            kind: known.kind,
            confidence: CONFIDENCE_OVERLAY,
        });
        return Attribution { network_kind: known.kind, organization, evidence: vec![Evidence::Overlay { asn }] };
    }
    located.as_name.map_or_else(unknown, |name| by_name(asn, name))
}

impl Attribution {
    /// Puts what the organization says itself over what its network says: it holds from any network, a cloud's too. The network's
    /// own kind stays; what it said of the organization stays as evidence where it is the same one.
    #[must_use]
    pub fn with_claim(self, claim: &Claim) -> Self {
        let same = self.organization.filter(|organization| organization.id == claim.organization);
        let mut evidence = vec![Evidence::Claim(claim.by)];
        if same.is_some() {
            evidence.extend(self.evidence);
        }
        let organization = Organization {
            id: claim.organization.clone(),
            name: claim.name.clone(),
            domain: claim.organization.contains('.').then(|| claim.organization.clone()),
            kind: same.map_or(NetworkKind::Unknown, |organization| organization.kind),
            confidence: CONFIDENCE_CLAIM,
        };
        Self { network_kind: self.network_kind, organization: Some(organization), evidence }
    }
}

fn unknown() -> Attribution {
    Attribution { network_kind: NetworkKind::Unknown, organization: None, evidence: Vec::new() }
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
    Attribution { network_kind: first.kind, organization, evidence }
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
