//! What the database says about one address.

use super::snapshot::LAYERS_MAX;
use crate::attribute::NetworkKind;

/// What is known about an address. Total: what is not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Located<'a> {
    /// The address is private or reserved: no network or country applies.
    pub reserved: bool,
    /// The autonomous system that announces the address.
    pub asn: Option<u32>,
    /// What the registry calls that system.
    pub as_name: Option<&'a str>,
    /// ISO 3166-1, two letters.
    pub country: Option<&'a str>,
    /// First-level subdivision, as a code where the file has one.
    pub region: Option<&'a str>,
    /// City, in English.
    pub city: Option<&'a str>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Name in the time zone database.
    pub timezone: Option<&'a str>,
    /// The cloud that publishes the address as its own.
    pub cloud: Option<&'a str>,
    /// The cloud's region, as the cloud calls it.
    pub cloud_region: Option<&'a str>,
    /// What the operator's files say about the address itself.
    pub said: Said<'a>,
    /// The overlay's word on the network.
    pub known: Option<Known<'a>>,
    /// The domain that the address's own name leads to and back from; no database knows it.
    pub reverse_domain: Option<&'a str>,
    /// Which records said so: equal keys of one snapshot mean equal answers, so it can key a cache.
    pub key: RecordKey,
}

/// What files of the operator say about an address, each thing from the uppermost file that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a yes of its own in files")]
pub struct Said<'a> {
    /// Who provides the connection.
    pub isp: Option<&'a str>,
    /// Who uses the address.
    pub organization: Option<&'a str>,
    /// The second-level domain that goes with the address.
    pub domain: Option<&'a str>,
    /// Who uses it, in the maker's word: `business`, `college`, `residential`, …
    pub user_type: Option<&'a str>,
    /// The connection is a mobile carrier's.
    pub cellular: bool,
    /// A Tor exit.
    pub tor: bool,
    /// A VPN, a relay or an open proxy.
    pub vpn: bool,
    /// A hoster's.
    pub hosting: bool,
}

impl Said<'_> {
    /// What is said here, and what the other says where this is silent.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            isp: self.isp.or(other.isp),
            organization: self.organization.or(other.organization),
            domain: self.domain.or(other.domain),
            user_type: self.user_type.or(other.user_type),
            cellular: self.cellular || other.cellular,
            tor: self.tor || other.tor,
            vpn: self.vpn || other.vpn,
            hosting: self.hosting || other.hosting,
        }
    }
}

/// What the overlay says about a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// What kind of network it is.
    pub kind: NetworkKind,
    /// Whose it is.
    pub organization: &'a str,
    /// The organization's registrable domain.
    pub domain: Option<&'a str>,
}

/// Which record of each file of a snapshot answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RecordKey(pub(super) [u32; LAYERS_MAX]);

impl RecordKey {
    /// Of every private or reserved address.
    pub(super) const RESERVED: Self = Self([u32::MAX; LAYERS_MAX]);
}
