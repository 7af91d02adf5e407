//! What is derived from a record's address and user agent.

use std::sync::{Arc, Mutex, PoisonError};

use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::{IpMode, KeyRotation};
use whopulls_schemas::raw::RawAccess;

use crate::attribute::{NetworkKind, attribute};
use crate::client::automation;
use crate::endpoint::{EndpointKey, Month, client_host, client_net, endpoint_id, ip_version};
use crate::event::{Enriched, Event};
use crate::geo::{Database, Located, Snapshot};
use crate::overrides::{Overrides, OverridesFile, Subject, versions};
use crate::recent::{Asked, Recent};
use crate::reverse::ReverseNames;

/// Derives the columns that no record holds. Total: what is unknown is `None`.
#[derive(Debug)]
pub struct Enricher {
    database: Arc<Database>,
    key: EndpointKey,
    ip_mode: IpMode,
    /// With rotation: the key of the month that was asked for last.
    month_key: Option<Mutex<(Month, EndpointKey)>>,
    overrides: Arc<OverridesFile>,
    names: Option<Arc<ReverseNames>>,
    recent: Recent,
}

impl Enricher {
    /// An enricher over a database, with the key of `endpoint_id`.
    pub fn new(database: Arc<Database>, key: EndpointKey, ip_mode: IpMode) -> Self {
        let recent = Recent::default();
        Self { database, key, ip_mode, month_key: None, overrides: Arc::default(), names: None, recent }
    }

    /// The same under overrides.
    #[must_use]
    pub fn with_overrides(self, overrides: Arc<OverridesFile>) -> Self {
        Self { overrides, ..self }
    }

    /// The same with a key that changes.
    #[must_use]
    pub fn with_rotation(self, rotation: KeyRotation) -> Self {
        let month = Month::of(UnixMicros(0));
        let month_key = match rotation {
            KeyRotation::Never => None,
            KeyRotation::Monthly => Some(Mutex::new((month, self.key.of_month(month)))),
        };
        Self { month_key, ..self }
    }

    /// The same with what was learned of the names of addresses.
    #[must_use]
    pub fn with_names(self, names: Option<Arc<ReverseNames>>) -> Self {
        Self { names, ..self }
    }

    /// Derives. A client that asked not to be tracked has neither endpoint, network nor organization.
    pub fn enrich(&self, raw: &RawAccess) -> Arc<Enriched> {
        let snapshot = self.database.snapshot();
        let overrides = self.overrides.current();
        let complete = |place| self.complete(place, raw);
        match raw.client_ip {
            Some(address) if raw.claim.is_none() && !Event::is_untracked(raw) => {
                let name = self.names.as_ref().and_then(|names| names.domain(address));
                let derive = || self.derive(raw, name.as_deref(), &snapshot, &overrides);
                let asked = Asked {
                    address,
                    name: name.as_ref(),
                    user_agent: raw.user_agent.as_deref(),
                    is_mirrored: raw.ns.is_some(),
                    month: self.month_key.as_ref().map(|_| Month::of(raw.ts)),
                };
                self.recent.enriched(&asked, (&snapshot, &overrides), derive, complete)
            }
            _ => Arc::new(complete(self.derive(raw, None, &snapshot, &overrides))),
        }
    }

    /// Adds to what the address says what the time and the user agent do.
    fn complete(&self, mut enriched: Enriched, raw: &RawAccess) -> Enriched {
        let client = raw.user_agent.as_deref().map(|user_agent| self.recent.client(user_agent)).unwrap_or_default();
        if let (Some(id), Some(address), Some(keys)) = (&mut enriched.endpoint_id, raw.client_ip, &self.month_key) {
            *id = endpoint_id(&self.key_of(Month::of(raw.ts), keys), address);
        }
        let network = enriched.network_kind.as_deref().and_then(NetworkKind::from_name);
        enriched.automation = Some(automation(&client, network, raw.ns.is_some()).as_str().to_owned());
        enriched.client = client.name.map(str::to_owned);
        enriched.client_version = client.version;
        enriched.os = client.os.map(str::to_owned);
        enriched.arch = client.arch.map(str::to_owned);
        enriched
    }

    fn key_of(&self, month: Month, last: &Mutex<(Month, EndpointKey)>) -> EndpointKey {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != month {
            *last = (month, self.key.of_month(month));
        }
        last.1.clone()
    }

    fn derive(
        &self,
        raw: &RawAccess,
        reverse_domain: Option<&str>,
        snapshot: &Snapshot,
        overrides: &Overrides,
    ) -> Enriched {
        let enriched_with = Some(versions(snapshot, overrides));
        let Some(address) = raw.client_ip else {
            let claim = raw.claim.as_ref().filter(|_| !Event::is_untracked(raw));
            let base = attribute(&Located::default());
            let (org, ruled_out_by) = overrides.decide(Subject::Unknown, None, &base, claim).into_columns();
            return Enriched { org, ruled_out_by, enriched_with, ..Enriched::default() };
        };
        let subject = Subject::Address(address);
        let located = Located { reverse_domain, ..snapshot.lookup(address) };
        let country = located.country.map(str::to_owned);
        if Event::is_untracked(raw) || overrides.opts_out(subject) {
            return Enriched { country, enriched_with, ..Enriched::default() };
        }
        let attribution = attribute(&located);
        let cloud = attribution.cloud.clone();
        let decided = overrides.decide(subject, located.asn, &attribution, raw.claim.as_ref());
        let network_kind = Some(decided.network_kind.as_str().to_owned());
        let (org, ruled_out_by) = decided.into_columns();
        let client_net = match self.ip_mode {
            IpMode::Net => Some(client_net(address)),
            IpMode::Keep => Some(client_host(address)),
            IpMode::Drop => None,
        };
        Enriched {
            endpoint_id: Some(endpoint_id(&self.key, address)),
            client_net,
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
            cloud: cloud.as_ref().map(|cloud| cloud.name.clone()),
            cloud_region: cloud.and_then(|cloud| cloud.region),
            org,
            ruled_out_by,
            enriched_with,
            ..Enriched::default()
        }
    }
}
