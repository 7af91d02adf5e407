//! What the operator's own files say of an address. They know single networks, so they go before what is known of a whole
//! autonomous system.

use super::{
    Attribution, CONFIDENCE_AGREED, CONFIDENCE_FILE, CONFIDENCE_FILE_NAME, Evidence, NetworkKind, Organization, clean,
    of_overlay, unknown,
};
use crate::geo::{Known, Located, Said};

/// Tor, a VPN, a proxy or a relay: whoever is behind it hides.
pub(super) fn anonymous(located: &Located<'_>) -> Option<Attribution> {
    let Said { tor, vpn, .. } = located.said;
    let (kind, what) = match (tor, vpn) {
        (true, _) => (NetworkKind::Tor, "tor"),
        (_, true) => (NetworkKind::Vpn, "vpn"),
        _ => return None,
    };
    Some(many(kind, what, None))
}

/// Who uses the address; `None` when the files do not say.
pub(super) fn used_by(located: &Located<'_>) -> Option<Attribution> {
    let said = located.said;
    let kind = said.user_type.and_then(kind_of);
    let word = said.user_type.map(str::to_owned);
    match kind {
        Some(kind) if kind.is_organization() => organization(located, kind).map(|(organization, agreed)| {
            let mut evidence = vec![Evidence::File { what: "user_type", word }];
            evidence.extend(agreed);
            Attribution { network_kind: kind, organization: Some(organization), evidence, cloud: None }
        }),
        _ if said.hosting => Some(many(NetworkKind::Hosting, "hosting", None)),
        Some(kind) => Some(many(kind, "user_type", word)),
        None if said.cellular => Some(many(NetworkKind::Mobile, "cellular", None)),
        None => None,
    }
}

fn many(network_kind: NetworkKind, what: &'static str, word: Option<String>) -> Attribution {
    Attribution { network_kind, evidence: vec![Evidence::File { what, word }], ..unknown() }
}

/// The user types of `GeoIP2` and the types of `IPinfo`.
fn kind_of(word: &str) -> Option<NetworkKind> {
    Some(match word.to_ascii_lowercase().as_str() {
        "business" => NetworkKind::Business,
        "college" | "school" | "library" | "education" => NetworkKind::Education,
        "government" | "military" => NetworkKind::Government,
        "hosting" | "content_delivery_network" | "search_engine_spider" => NetworkKind::Hosting,
        "cellular" => NetworkKind::Mobile,
        "residential" | "dialup" | "router" | "traveler" | "cafe" | "consumer_privacy_network" | "isp" => {
            NetworkKind::Isp
        }
        _ => return None,
    })
}

/// The organization that a file names, and the overlay as evidence where it agrees. A file that says `business` of a provider's own network
/// and names only the provider knows no organization.
fn organization(located: &Located<'_>, kind: NetworkKind) -> Option<(Organization, Option<Evidence>)> {
    let said = located.said;
    let known = located.asn.zip(located.known);
    let serving = known.filter(|(_, known)| !known.kind.is_organization()).map(|(_, known)| known);
    if let Some((asn, known)) = known.filter(|(_, known)| known.kind.is_organization())
        && (said.organization.is_none_or(|name| is_same(name, known.organization)) || said.domain == known.domain)
    {
        let mut found = of_overlay(asn, known, CONFIDENCE_AGREED);
        found.kind = kind;
        return Some((found, Some(Evidence::Overlay { asn })));
    }
    let is_providers = |name: &str| {
        said.isp.is_some_and(|isp| is_same(isp, name)) || serving.is_some_and(|known| is_same(known.organization, name))
    };
    let name = said.organization.filter(|name| !is_providers(name))?;
    let of_provider = |domain: &&str| serving.and_then(|known: Known<'_>| known.domain) == Some(domain);
    let is_own = |domain: &&str| !of_provider(domain) && !domain.to_ascii_lowercase().ends_with("arpa");
    let domain = said.domain.filter(is_own).map(str::to_ascii_lowercase);
    let confidence = if domain.is_some() { CONFIDENCE_FILE } else { CONFIDENCE_FILE_NAME };
    let name = clean(name);
    let id = domain.clone().unwrap_or_else(|| format!("name:{}", slug(&name)));
    Some((Organization { id, name, domain, kind, confidence }, None))
}

fn is_same(one: &str, other: &str) -> bool {
    slug(&clean(one)) == slug(&clean(other))
}

/// Letters and digits in lower case, with single hyphens between the words.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::super::attribute;
    use super::*;

    const PROVIDER: Known<'static> =
        Known { kind: NetworkKind::Isp, organization: "Some Telecom", domain: Some("telecom.example") };

    fn located<'a>(said: Said<'a>, known: Option<Known<'a>>) -> Located<'a> {
        Located { asn: Some(64_500), said, known, ..Located::default() }
    }

    #[track_caller]
    fn check(said: Said<'_>, known: Option<Known<'_>>, kind: NetworkKind, id: Option<&str>, evidence: &[&str]) {
        let found = attribute(&located(said, known));
        assert_eq!(found.network_kind, kind, "{said:?}");
        assert_eq!(found.organization.as_ref().map(|found| found.id.as_str()), id, "{said:?}");
        let texts: Vec<String> = found.evidence.iter().map(ToString::to_string).collect();
        assert_eq!(texts, evidence, "{said:?}");
    }

    #[test]
    fn what_serves_many_is_nobodys_whatever_the_network_is() {
        let acme = Known { kind: NetworkKind::Business, organization: "Acme", domain: Some("acme.example") };
        let said = Said::default();
        check(Said { tor: true, vpn: true, ..said }, Some(acme), NetworkKind::Tor, None, &["file:tor"]);
        check(Said { vpn: true, hosting: true, ..said }, Some(acme), NetworkKind::Vpn, None, &["file:vpn"]);
        check(Said { hosting: true, ..said }, Some(acme), NetworkKind::Hosting, None, &["file:hosting"]);
        check(Said { cellular: true, ..said }, Some(acme), NetworkKind::Mobile, None, &["file:cellular"]);
        let home = Said { user_type: Some("residential"), ..said };
        check(home, Some(acme), NetworkKind::Isp, None, &["file:user_type:residential"]);
        check(Said { user_type: Some("unheard of"), ..said }, None, NetworkKind::Unknown, None, &[]);
    }

    #[test]
    fn a_customer_of_a_provider_is_named_and_the_provider_is_not() {
        let business = Said { user_type: Some("business"), isp: Some("Some Telecom Ltd"), ..Said::default() };
        let evidence = ["file:user_type:business"];
        let named = Said { organization: Some("Acme Widgets, Inc."), ..business };
        check(named, Some(PROVIDER), NetworkKind::Business, Some("name:acme-widgets"), &evidence);
        let with_domain = Said { domain: Some("Acme.example"), ..named };
        check(with_domain, Some(PROVIDER), NetworkKind::Business, Some("acme.example"), &evidence);
        let of_provider = Said { domain: Some("telecom.example"), ..named };
        check(of_provider, Some(PROVIDER), NetworkKind::Business, Some("name:acme-widgets"), &evidence);
        let itself = Said { organization: Some("SOME TELECOM"), ..business };
        check(itself, Some(PROVIDER), NetworkKind::Isp, None, &["overlay:as64500"]);
        check(business, Some(PROVIDER), NetworkKind::Isp, None, &["overlay:as64500"]);
    }

    #[test]
    fn agreement_with_the_overlay_raises_confidence_and_a_more_special_source_wins() {
        let acme = Known { kind: NetworkKind::Business, organization: "Acme", domain: Some("acme.example") };
        let said = Said { user_type: Some("business"), organization: Some("ACME Inc."), ..Said::default() };
        let evidence = ["file:user_type:business", "overlay:as64500"];
        check(said, Some(acme), NetworkKind::Business, Some("acme.example"), &evidence);
        let confidence = |found: Attribution| found.organization.map(|found| found.confidence);
        let alone = confidence(attribute(&located(Said::default(), Some(acme))));
        assert!(confidence(attribute(&located(said, Some(acme)))) > alone);
        let other = Said { organization: Some("Tenant University"), user_type: Some("college"), ..said };
        let id = Some("name:tenant-university");
        check(other, Some(acme), NetworkKind::Education, id, &["file:user_type:college"]);
    }
}
