//! What is derived from a record: where its client is, whose network that is, and which program asked.

use std::net::IpAddr;
use std::sync::Arc;

use whopulls_schemas::config::IpMode;
use whopulls_schemas::raw::RawAccess;

use super::{Enriched, Event, Organization};
use crate::attribute::{Attribution, attribute};
use crate::client::{Client, recognize};
use crate::endpoint::{EndpointKey, client_net, endpoint_id, ip_version};
use crate::geo::Database;

/// Derives the columns that are not in the record. Total: what is not known is `None`.
#[derive(Debug, Clone)]
pub struct Enricher {
    database: Arc<Database>,
    key: EndpointKey,
    ip_mode: IpMode,
}

impl Enricher {
    /// Looks addresses up in `database`, hashes them under `key`, and keeps of them what `ip_mode` says.
    pub fn new(database: Arc<Database>, key: EndpointKey, ip_mode: IpMode) -> Self {
        Self { database, key, ip_mode }
    }

    /// Derives. Of a client that asked not to be tracked nothing is derived from its address but the IP version: it has no
    /// endpoint, network, place or organization.
    pub fn enrich(&self, raw: &RawAccess) -> Enriched {
        let client = raw.user_agent.as_deref().map(recognize).unwrap_or_default();
        let mut enriched = Enriched { automation: Some(automation(raw, &client).to_owned()), ..Enriched::default() };
        enriched.client = client.name.map(str::to_owned);
        enriched.client_version = client.version;
        enriched.os = client.os.map(str::to_owned);
        enriched.arch = client.arch.map(str::to_owned);
        if let Some(address) = raw.client_ip {
            enriched.ip_version = Some(ip_version(address));
            if !Event::is_untracked(raw) {
                self.locate(address, &mut enriched);
            }
        }
        enriched
    }

    fn locate(&self, address: IpAddr, enriched: &mut Enriched) {
        let data = self.database.snapshot();
        let located = data.lookup(address);
        let Attribution { network_kind, organization, evidence } = attribute(&located);
        enriched.endpoint_id = Some(endpoint_id(&self.key, address));
        enriched.client_net = match self.ip_mode {
            IpMode::Net => Some(client_net(address)),
            IpMode::Drop => None,
        };
        enriched.country = located.country.map(str::to_owned);
        enriched.region = located.region.map(str::to_owned);
        enriched.city = located.city.map(str::to_owned);
        enriched.latitude = located.latitude;
        enriched.longitude = located.longitude;
        enriched.timezone = located.timezone.map(str::to_owned);
        enriched.asn = located.asn;
        enriched.as_name = located.as_name.map(str::to_owned);
        enriched.network_kind = Some(network_kind.as_str().to_owned());
        enriched.org = organization.map(|organization| Organization {
            id: organization.id,
            name: Some(organization.name),
            domain: organization.domain,
            kind: Some(organization.kind.as_str().to_owned()),
            confidence: Some(organization.confidence),
            evidence: evidence.iter().map(ToString::to_string).collect(),
        });
        enriched.enriched_with = Some(data.version().to_owned());
    }
}

/// As far as the request itself says; what the network and the behaviour say is a later rule.
fn automation(raw: &RawAccess, client: &Client) -> &'static str {
    if client.bot {
        "bot"
    } else if raw.ns.is_some() {
        // containerd says with `ns` that it asks a mirror for another registry's content.
        "mirror"
    } else if client.ci {
        "ci"
    } else {
        "unknown"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use whopulls_schemas::UnixMicros;
    use whopulls_schemas::raw::Kind;

    fn enriched(change: impl Fn(&mut RawAccess)) -> Enriched {
        let database = Arc::new(Database::open(&[]).expect("the embedded database"));
        let enricher = Enricher::new(database, EndpointKey::new([7; EndpointKey::BYTES]), IpMode::Net);
        let mut raw = RawAccess::new(Uuid::nil(), UnixMicros(0), Kind::File, "GET", "/a", 200);
        raw.client_ip = Some(IpAddr::from([8, 8, 8, 8]));
        raw.user_agent = Some("curl/8.5.0".to_owned());
        change(&mut raw);
        enricher.enrich(&raw)
    }

    #[test]
    fn an_address_gives_endpoint_network_and_country_and_a_user_agent_the_client() {
        let known = enriched(|_| {});
        assert_eq!(known.client.as_deref(), Some("curl"));
        assert_eq!(known.client_net.as_deref(), Some("8.8.8.0/24"));
        assert_eq!((known.ip_version, known.asn), (Some(4), Some(15169)));
        assert!(known.endpoint_id.is_some() && known.network_kind.is_some() && known.country.is_some());
    }

    #[test]
    fn who_asked_not_to_be_tracked_has_no_endpoint_network_place_or_organization() {
        for ask in [|raw: &mut RawAccess| raw.dnt = true, |raw: &mut RawAccess| raw.gpc = true] {
            let expected = Enriched {
                client: Some("curl".to_owned()),
                client_version: Some("8.5.0".to_owned()),
                automation: Some("unknown".to_owned()),
                ip_version: Some(4),
                ..Enriched::default()
            };
            assert_eq!(enriched(ask), expected);
        }
    }

    #[test]
    fn a_record_without_address_is_enriched_without_one() {
        let unknown = enriched(|raw| raw.client_ip = None);
        assert_eq!((unknown.endpoint_id, unknown.ip_version, unknown.network_kind), (None, None, None));
    }
}
