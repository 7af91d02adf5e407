//! What is derived from a record's address and user agent.

use std::sync::Arc;

use whopulls_schemas::config::IpMode;
use whopulls_schemas::raw::RawAccess;

use crate::attribute::{Attribution, RULES_VERSION, attribute};
use crate::client::{Client, recognize};
use crate::endpoint::{EndpointKey, client_net, endpoint_id, ip_version};
use crate::event::{Enriched, Event, Organization};
use crate::geo::{Database, Located};

/// Derives the columns that no record holds. Total: what is unknown is `None`.
#[derive(Debug)]
pub struct Enricher {
    database: Arc<Database>,
    key: EndpointKey,
    ip_mode: IpMode,
}

impl Enricher {
    /// An enricher over a database, with the key of `endpoint_id`.
    pub const fn new(database: Arc<Database>, key: EndpointKey, ip_mode: IpMode) -> Self {
        Self { database, key, ip_mode }
    }

    /// Derives. A client that asked not to be tracked has neither endpoint, network nor organization.
    pub fn enrich(&self, raw: &RawAccess) -> Enriched {
        let client = raw.user_agent.as_deref().map(recognize).unwrap_or_default();
        let mut enriched = self.place(raw);
        enriched.automation = automation(&client).map(str::to_owned);
        enriched.client = client.name.map(str::to_owned);
        enriched.client_version = client.version;
        enriched.os = client.os.map(str::to_owned);
        enriched.arch = client.arch.map(str::to_owned);
        enriched
    }

    fn place(&self, raw: &RawAccess) -> Enriched {
        let snapshot = self.database.snapshot();
        let enriched_with = Some(format!("{} rules-{RULES_VERSION}", snapshot.version()));
        let untracked = Event::is_untracked(raw);
        let Some(address) = raw.client_ip else {
            let claim = raw.claim.as_ref().filter(|_| !untracked);
            let org = claim.and_then(|claim| organization(attribute(&Located::default()).with_claim(claim)));
            return Enriched { org, enriched_with, ..Enriched::default() };
        };
        let located = snapshot.lookup(address);
        let country = located.country.map(str::to_owned);
        if untracked {
            return Enriched { country, enriched_with, ..Enriched::default() };
        }
        let attribution = attribute(&located);
        let attribution = match &raw.claim {
            Some(claim) => attribution.with_claim(claim),
            None => attribution,
        };
        let network_kind = Some(attribution.network_kind.as_str().to_owned());
        let (cloud, cloud_region) = attribution.cloud.clone().map(|cloud| (cloud.name, cloud.region)).unzip();
        let keeps_network = self.ip_mode == IpMode::Net;
        Enriched {
            endpoint_id: Some(endpoint_id(&self.key, address)),
            client_net: keeps_network.then(|| client_net(address)),
            ip_version: Some(ip_version(address)),
            country,
            region: located.region.map(str::to_owned),
            city: located.city.map(str::to_owned),
            latitude: located.latitude,
            longitude: located.longitude,
            timezone: located.timezone.map(str::to_owned),
            asn: located.asn,
            as_name: located.as_name.map(str::to_owned),
            network_kind,
            cloud,
            cloud_region: cloud_region.flatten(),
            org: organization(attribution),
            enriched_with,
            ..Enriched::default()
        }
    }
}

/// The columns of the organization.
fn organization(attribution: Attribution) -> Option<Organization> {
    let evidence = attribution.evidence.iter().map(ToString::to_string).collect();
    attribution.organization.map(|organization| Organization {
        id: organization.id,
        name: Some(organization.name),
        domain: organization.domain,
        kind: Some(organization.kind.as_str().to_owned()),
        confidence: Some(organization.confidence),
        evidence,
    })
}

/// What the user agent alone says; network and behaviour are not weighed yet.
const fn automation(client: &Client) -> Option<&'static str> {
    if client.bot {
        Some("bot")
    } else if client.ci {
        Some("ci")
    } else {
        None
    }
}
