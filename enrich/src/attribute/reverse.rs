//! What the name of an address says, where nothing else names an organization.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::{
    Attribution, CONFIDENCE_REVERSE, CONFIDENCE_REVERSE_ENDING, CONFIDENCE_REVERSE_KNOWN, Evidence, NetworkKind,
    Organization, attribute,
};
use crate::geo::{Located, Overlay, OverlayRow};
use crate::reverse::kind_by_suffix;

/// Domains of the overlay: those of networks that serve many, and the line of each that does not.
static DOMAINS: LazyLock<(HashSet<&str>, HashMap<&str, &OverlayRow>)> = LazyLock::new(|| {
    let rows = || Overlay::embedded().rows().iter().filter(|row| !row.domain.is_empty());
    let many: HashSet<&str> = rows().filter(|row| !row.kind.is_organization()).map(|row| row.domain.as_str()).collect();
    let own = rows().filter(|row| !many.contains(row.domain.as_str())).map(|row| (row.domain.as_str(), row)).collect();
    (many, own)
});

/// Whether the domain is one of a network that serves many.
pub fn is_providers(domain: &str) -> bool {
    DOMAINS.0.contains(domain)
}

/// Whether the name of the address could say more: nothing names an organization, and the network is a provider's or nobody knows whose.
pub fn asks_for_a_name(located: &Located<'_>) -> bool {
    may_be_named(&attribute(&Located { reverse_domain: None, ..*located }))
}

const fn may_be_named(found: &Attribution) -> bool {
    found.organization.is_none() && matches!(found.network_kind, NetworkKind::Isp | NetworkKind::Unknown)
}

/// A provider's customer with a name of its own. The network stays what it is.
pub(super) fn with_name(located: &Located<'_>, found: Attribution) -> Attribution {
    let Some(domain) = located.reverse_domain.filter(|domain| may_be_named(&found) && !is_providers(domain)) else {
        return found;
    };
    let known = DOMAINS.1.get(domain);
    let by_ending = kind_by_suffix(domain);
    let confidence = match (known, by_ending) {
        (Some(_), _) => CONFIDENCE_REVERSE_KNOWN,
        (None, Some(_)) => CONFIDENCE_REVERSE_ENDING,
        (None, None) => CONFIDENCE_REVERSE,
    };
    let organization = Organization {
        id: domain.to_owned(),
        name: known.map_or(domain, |row| &row.organization).to_owned(),
        domain: Some(domain.to_owned()),
        kind: known.map(|row| row.kind).or(by_ending).unwrap_or(NetworkKind::Unknown),
        confidence,
    };
    let mut evidence = vec![Evidence::Reverse(domain.to_owned())];
    evidence.extend(found.evidence);
    Attribution { organization: Some(organization), evidence, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Known;

    fn located(kind: NetworkKind, domain: &str) -> Located<'_> {
        let known = Known { kind, organization: "Somebody", domain: None };
        Located { asn: Some(64_500), known: Some(known), reverse_domain: Some(domain), ..Located::default() }
    }

    #[track_caller]
    fn check(domain: &str, name: &str, kind: NetworkKind, confidence: f64) {
        let found = attribute(&located(NetworkKind::Isp, domain));
        assert_eq!(found.network_kind, NetworkKind::Isp, "the network is still the provider's");
        let evidence: Vec<String> = found.evidence.iter().map(ToString::to_string).collect();
        assert_eq!(evidence, [format!("rdns:{domain}"), "overlay:as64500".to_owned()]);
        let organization = found.organization.expect("the name says who");
        assert_eq!((organization.id.as_str(), organization.name.as_str(), organization.kind), (domain, name, kind));
        assert!((organization.confidence - confidence).abs() < f64::EPSILON, "{}", organization.confidence);
    }

    #[test]
    fn a_providers_customer_is_who_its_name_says() {
        check("acme.example", "acme.example", NetworkKind::Unknown, CONFIDENCE_REVERSE);
        check("some.ac.uk", "some.ac.uk", NetworkKind::Education, CONFIDENCE_REVERSE_ENDING);
        check("mit.edu", "MIT", NetworkKind::Education, CONFIDENCE_REVERSE_KNOWN);
    }

    #[test]
    fn a_name_is_heard_where_nothing_else_names_anybody() {
        for kind in NetworkKind::ALL {
            let heard = matches!(kind, NetworkKind::Isp | NetworkKind::Unknown);
            let here = located(kind, "acme.example");
            assert_eq!(asks_for_a_name(&here), heard, "{}", kind.as_str());
            let id = attribute(&here).organization.map(|found| found.id);
            assert_eq!(id.as_deref() == Some("acme.example"), heard, "{}", kind.as_str());
        }
        assert!(!asks_for_a_name(&Located { reserved: true, ..Located::default() }));
    }

    #[test]
    fn a_providers_own_domain_names_nobody() {
        assert!(is_providers("comcast.com") || is_providers("comcast.net"), "the overlay has it");
        let domain = if is_providers("comcast.com") { "comcast.com" } else { "comcast.net" };
        assert_eq!(attribute(&located(NetworkKind::Isp, domain)).organization, None);
    }
}
