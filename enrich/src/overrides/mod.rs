//! What the operator knows better than the databases: `overrides.toml`, applied to what was concluded about a network.
//!
//! The order of what has a say, the stronger first: what an organization said itself ([`Claim`]), `ignore`, `[[network]]` (the longest
//! prefix, then the autonomous system), aliases and joined children, what the databases say. A claim goes first because the organization is
//! the one source that knows; an override only speaks of networks, and many may sit behind one. `docs/overrides.md` tells it to users.

mod decided;
mod io;
mod prefixes;
mod reenrich;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use whopulls_schemas::config::{Mistakes, NetworkMeaning, NetworkName, OverrideOrganization, OverridesConfig};
use whopulls_schemas::raw::Claim;

pub use decided::Decided;
pub use io::{OverridesError, OverridesFile, Reload, watch};
pub use reenrich::{READ_COLUMNS, Reenricher, Scope};

use crate::attribute::{Attribution, NetworkKind, Organization, RULES_VERSION};
use crate::endpoint::client_net_bits;
use crate::geo::Snapshot;
use prefixes::Prefixes;

/// What an override that names an organization is worth: somebody looked at that very network.
pub const CONFIDENCE_OVERRIDE: f64 = 1.0;

/// Every reason of an override begins so in `org_evidence`.
pub const EVIDENCE_PREFIX: &str = "override:";

/// Whom a question is about, as exactly as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One address.
    Address(IpAddr),
    /// Somebody in this network: what the table keeps of an address.
    Net {
        /// The network.
        net: IpNet,
        /// A network inside it that the address was in, when it was still known.
        said: Option<IpNet>,
    },
    /// Nothing is known of the address.
    Unknown,
}

/// The overrides in force.
#[derive(Debug, Default)]
pub struct Overrides {
    /// Absent without a file.
    version: Option<String>,
    organizations: HashMap<String, OverrideOrganization>,
    /// From an alias in small letters to an id.
    aliases: HashMap<String, String>,
    networks: Prefixes<Meaning>,
    asns: HashMap<u32, Meaning>,
    ignored: HashSet<String>,
    opt_out: Prefixes<()>,
}

/// What a network is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Organization(String),
    Kind(NetworkKind),
}

impl Overrides {
    /// Reads the text of a file. `name` is the file's name for messages.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        let config = OverridesConfig::parse(name, text)?;
        let mut overrides = Self { version: Some(version_of(text)), ..Self::default() };
        for network in config.networks {
            let meaning = Meaning::of(network.meaning);
            match network.network {
                NetworkName::Net(net) => overrides.networks.insert(net, meaning),
                NetworkName::Asn(asn) => drop(overrides.asns.insert(asn, meaning)),
            }
        }
        for net in config.opt_out {
            overrides.opt_out.insert(net, ());
        }
        overrides.ignored = config.ignore.into_iter().collect();
        for organization in config.organizations {
            let aliases = organization.aliases.iter().map(|alias| (alias.to_lowercase(), organization.id.clone()));
            overrides.aliases.extend(aliases);
            overrides.organizations.insert(organization.id.clone(), organization);
        }
        Ok(overrides)
    }

    /// Which content this is; `None` when there are no overrides.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Networks smaller than what the table keeps of an address: nothing tells which events of the past they hold.
    pub fn finer_than_the_table(&self) -> Vec<IpNet> {
        let finer = |net: &IpNet| net.prefix_len() > client_net_bits(net);
        let mut nets: Vec<IpNet> = self.networks.nets().chain(self.opt_out.nets()).filter(finer).collect();
        nets.sort_unstable();
        nets
    }

    /// Whether a client is taken as having asked not to be tracked.
    pub fn opts_out(&self, subject: Subject) -> bool {
        self.opt_out.longest(subject).is_some()
    }

    /// Whether this file has a say about a network, or about an organization by the id or the name that the table has.
    pub fn speak_of(&self, subject: Subject, asn: Option<u32>, id: Option<&str>, name: Option<&str>) -> bool {
        let network = self.networks.longest(subject).is_some() || asn.is_some_and(|asn| self.asns.contains_key(&asn));
        let organization = |id: &str| self.organizations.contains_key(id) || self.ignored.contains(id);
        let alias = |word: &str| self.aliases.contains_key(&word.to_lowercase());
        network
            || self.opts_out(subject)
            || id.is_some_and(organization)
            || id.is_some_and(alias)
            || name.is_some_and(alias)
    }

    /// Applies this file to what the databases say (`base`) and to what the organization said itself. Pure: the same input gets the same answer.
    pub fn decide(&self, subject: Subject, asn: Option<u32>, base: &Attribution, claim: Option<&Claim>) -> Decided {
        let mut decided = match self.meaning(subject, asn) {
            Some((reason, Meaning::Organization(id))) => self.named(id, reason, base),
            Some((reason, Meaning::Kind(kind))) => Decided::nobody(*kind, vec![reason]),
            None => self.renamed(self.without_ignored(Decided::of(base))),
        };
        decided = self.without_ignored(self.joined(decided));
        match claim {
            Some(claim) => decided.with_claim(base, claim),
            None => decided,
        }
    }

    /// The longest prefix, else the autonomous system, with the reason for the evidence.
    fn meaning(&self, subject: Subject, asn: Option<u32>) -> Option<(String, &Meaning)> {
        if let Some((net, meaning)) = self.networks.longest(subject) {
            return Some((format!("{EVIDENCE_PREFIX}net:{net}"), meaning));
        }
        let asn = asn?;
        self.asns.get(&asn).map(|meaning| (format!("{EVIDENCE_PREFIX}as{asn}"), meaning))
    }

    /// A network's organization by its id. A network of an organization whose kind is not known keeps its own kind.
    fn named(&self, id: &str, reason: String, base: &Attribution) -> Decided {
        let known = self.organizations.get(id);
        let kind = known.map_or(NetworkKind::Unknown, kind_of);
        let organization = Organization {
            id: id.to_owned(),
            name: known.map_or_else(|| id.to_owned(), |known| known.name.clone()),
            domain: domain_of(id),
            kind,
            confidence: CONFIDENCE_OVERRIDE,
        };
        let network_kind = if kind.is_organization() { kind } else { base.network_kind };
        Decided { network_kind, organization: Some(organization), evidence: vec![reason] }
    }

    /// The databases' organization under the name that the file gives it. How sure it is that the network is its own stays what it was.
    fn renamed(&self, decided: Decided) -> Decided {
        let Some(found) = &decided.organization else { return decided };
        let alias = [&found.id, &found.name].into_iter().find_map(|word| {
            let id = self.aliases.get(&word.to_lowercase())?;
            Some((format!("{EVIDENCE_PREFIX}alias:{word}"), id))
        });
        let itself = || {
            let (id, _) = self.organizations.get_key_value(&found.id)?;
            Some((format!("{EVIDENCE_PREFIX}organization:{id}"), id))
        };
        match alias.or_else(itself) {
            Some((reason, id)) => self.called(decided, id, reason),
            None => decided,
        }
    }

    /// Children that are joined to a parent are shown as the parent.
    fn joined(&self, mut decided: Decided) -> Decided {
        // The file has no circle; its length bounds the climb all the same.
        for _ in 0..self.organizations.len() {
            let child = decided.organization.as_ref().and_then(|found| self.organizations.get(&found.id));
            let Some(OverrideOrganization { id, parent: Some(parent), join: true, .. }) = child else { break };
            decided = self.called(decided, parent, format!("{EVIDENCE_PREFIX}parent:{id}"));
        }
        decided
    }

    fn called(&self, mut decided: Decided, id: &str, reason: String) -> Decided {
        let (Some(found), Some(known)) = (&mut decided.organization, self.organizations.get(id)) else {
            return decided;
        };
        id.clone_into(&mut found.id);
        found.name.clone_from(&known.name);
        found.domain = domain_of(id);
        if kind_of(known).is_organization() {
            found.kind = kind_of(known);
            decided.network_kind = found.kind;
        }
        decided.evidence.insert(0, reason);
        decided
    }

    fn without_ignored(&self, decided: Decided) -> Decided {
        match decided.organization.as_ref().filter(|shown| self.ignored.contains(&shown.id)) {
            Some(ignored) => {
                let reason = format!("{EVIDENCE_PREFIX}ignore:{}", ignored.id);
                Decided::nobody(decided.network_kind, vec![reason])
            }
            None => decided,
        }
    }
}

impl Meaning {
    fn of(meaning: NetworkMeaning) -> Self {
        match meaning {
            NetworkMeaning::Organization(id) => Self::Organization(id),
            NetworkMeaning::Kind(kind) => Self::Kind(NetworkKind::from_name(kind).unwrap_or(NetworkKind::Unknown)),
        }
    }
}

/// What goes into `enriched_with`: the databases, the rules, the overrides where there are any.
pub fn versions(snapshot: &Snapshot, overrides: &Overrides) -> String {
    let data = format!("{} rules-{RULES_VERSION}", snapshot.version());
    overrides.version().map_or(data.clone(), |version| format!("{data} {version}"))
}

/// Short: it names a content, it protects nothing.
fn version_of(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let [a, b, c, d, ..] = digest;
    format!("overrides-{:08x}", u32::from_be_bytes([a, b, c, d]))
}

fn kind_of(organization: &OverrideOrganization) -> NetworkKind {
    NetworkKind::from_name(organization.kind).unwrap_or(NetworkKind::Unknown)
}

fn domain_of(id: &str) -> Option<String> {
    id.contains('.').then(|| id.to_owned())
}
