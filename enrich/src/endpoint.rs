//! A client's address turned into what the lake may keep: its network, its version, and a keyed hash.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Datelike as _};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher24;
use whopulls_schemas::UnixMicros;

/// Bits of an IPv4 address that are kept in `client_net`.
const NET_BITS_V4: u8 = 24;
/// Bits of an IPv6 address that are kept in `client_net`: what a site is usually given.
const NET_BITS_V6: u8 = 48;
/// Bits of an IPv6 address that tell one client from another: within a /64 a client changes its address at will.
const CLIENT_BITS_V6: u32 = 64;

/// The operator's secret, under which addresses are hashed. Whoever has it can test whether an address was seen.
#[derive(Clone)]
pub struct EndpointKey([u8; Self::BYTES]);

impl EndpointKey {
    /// The length of a key.
    pub const BYTES: usize = 16;

    /// Takes the secret as it was read.
    pub const fn new(secret: [u8; Self::BYTES]) -> Self {
        Self(secret)
    }

    /// The key of a calendar month: SHA-256 of a label, the secret and `YYYY-MM`, cut to a key's length. Every worker with the same secret has the same, also
    /// for records that come late.
    #[must_use]
    pub fn of_month(&self, month: Month) -> Self {
        let mut hasher = Sha256::new_with_prefix(b"whopulls endpoint key of a month");
        hasher.update(self.0);
        hasher.update(format!("{:04}-{:02}", month.year, month.month));
        Self::of_digest(&hasher.finalize().into())
    }

    /// Tells one key from another, and gives nothing of it away.
    pub fn fingerprint(&self) -> String {
        let mut hasher = Sha256::new_with_prefix(b"whopulls endpoint key fingerprint");
        hasher.update(self.0);
        let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }

    fn of_digest(digest: &[u8; 32]) -> Self {
        let mut key = [0; Self::BYTES];
        for (byte, from) in key.iter_mut().zip(digest) {
            *byte = *from;
        }
        Self(key)
    }
}

/// A calendar month in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    year: i32,
    month: u32,
}

impl Month {
    /// The month of a moment.
    pub fn of(moment: UnixMicros) -> Self {
        let date = DateTime::from_timestamp_micros(moment.0).unwrap_or_default();
        Self { year: date.year(), month: date.month() }
    }
}

impl std::fmt::Debug for EndpointKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EndpointKey(secret)")
    }
}

/// The /24 (IPv4) or /48 (IPv6) network of an address, in CIDR form.
pub fn client_net(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let net = Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (u32::BITS - u32::from(NET_BITS_V4))));
            format!("{net}/{NET_BITS_V4}")
        }
        IpAddr::V6(v6) => {
            let net = Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (u128::BITS - u32::from(NET_BITS_V6))));
            format!("{net}/{NET_BITS_V6}")
        }
    }
}

/// The address itself as a network of one, for an operator who keeps addresses.
pub fn client_host(address: IpAddr) -> String {
    IpNet::from(address.to_canonical()).to_string()
}

/// Bits of `client_net` in the family of this network.
pub const fn client_net_bits(net: &IpNet) -> u8 {
    match net {
        IpNet::V4(_) => NET_BITS_V4,
        IpNet::V6(_) => NET_BITS_V6,
    }
}

/// 4 or 6; an IPv4 address that is mapped into IPv6 is version 4.
pub const fn ip_version(address: IpAddr) -> i32 {
    match address.to_canonical() {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 6,
    }
}

/// The same number for the same client under the same key, and no way back without it: SipHash-2-4 of the address, of
/// an IPv6 address its /64. The bits of the hash are taken as a signed number, as the table's 64-bit column has it.
pub fn endpoint_id(key: &EndpointKey, address: IpAddr) -> i64 {
    let mut hasher = SipHasher24::new_with_key(&key.0);
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            hasher.write(&[4]);
            hasher.write(&v4.octets());
        }
        IpAddr::V6(v6) => {
            let client = v6.to_bits() & (u128::MAX << (u128::BITS - CLIENT_BITS_V6));
            hasher.write(&[6]);
            hasher.write(&client.to_be_bytes());
        }
    }
    hasher.finish().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("the tests' addresses are valid")
    }

    #[track_caller]
    fn check_net(text: &str, expected: &str) {
        assert_eq!(client_net(address(text)), expected);
    }

    #[test]
    fn only_the_network_of_an_address_is_kept() {
        check_net("192.0.2.77", "192.0.2.0/24");
        check_net("255.255.255.255", "255.255.255.0/24");
        check_net("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48");
        check_net("::ffff:192.0.2.77", "192.0.2.0/24");
    }

    #[test]
    fn a_mapped_address_is_version_4() {
        assert_eq!(ip_version(address("::ffff:192.0.2.1")), 4);
        assert_eq!(ip_version(address("2001:db8::1")), 6);
    }

    #[test]
    fn one_client_has_one_endpoint_and_two_have_two() {
        let key = EndpointKey::new([7; 16]);
        let id = |text| endpoint_id(&key, address(text));
        assert_eq!(id("192.0.2.1"), id("::ffff:192.0.2.1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_eq!(id("2001:db8::1"), id("2001:db8::ffff"), "one /64");
        assert_ne!(id("2001:db8::1"), id("2001:db8:0:1::1"), "another /64");
    }

    #[test]
    fn another_key_gives_unrelated_endpoints() {
        let client = address("192.0.2.1");
        assert_ne!(endpoint_id(&EndpointKey::new([1; 16]), client), endpoint_id(&EndpointKey::new([2; 16]), client));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // If this changes, every endpoint in every table changes. SipHash-2-4, key 00..0f, bytes 04 c0 00 02 01.
        let mut key = [0; 16];
        for (value, byte) in (0..).zip(&mut key) {
            *byte = value;
        }
        assert_eq!(endpoint_id(&EndpointKey::new(key), address("192.0.2.1")), -8_797_173_403_046_500_479);
    }

    #[test]
    fn each_month_has_a_key_of_its_own_which_every_worker_derives() {
        let at = |text: &str| {
            let moment = DateTime::parse_from_rfc3339(text).expect("the tests' moments are valid");
            Month::of(UnixMicros(moment.timestamp_micros()))
        };
        let id = |month| endpoint_id(&EndpointKey::new([7; 16]).of_month(month), address("192.0.2.1"));
        assert_eq!(id(at("2026-11-01T00:00:00Z")), id(at("2026-11-30T23:59:59.999999Z")));
        assert_ne!(id(at("2026-11-30T23:59:59Z")), id(at("2026-12-01T00:00:00Z")));
        assert_ne!(id(at("2026-11-01T00:00:00Z")), id(at("2025-11-01T00:00:00Z")));
        assert_ne!(id(at("2026-11-01T00:00:00Z")), endpoint_id(&EndpointKey::new([7; 16]), address("192.0.2.1")));
        // If this changes, a month is counted twice by those who rotate.
        assert_eq!(id(at("2026-11-24T12:00:00Z")), 870_630_768_687_823_385);
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_is_not_the_key() {
        let fingerprint = |byte| EndpointKey::new([byte; 16]).fingerprint();
        assert_ne!(fingerprint(1), fingerprint(2));
        assert_eq!(fingerprint(1).len(), 8);
    }

    #[test]
    fn an_address_that_is_kept_is_a_network_of_one() {
        assert_eq!(client_host(address("::ffff:192.0.2.77")), "192.0.2.77/32");
        assert_eq!(client_host(address("2001:db8::1")), "2001:db8::1/128");
    }

    #[test]
    fn a_key_is_not_printed() {
        assert!(!format!("{:?}", EndpointKey::new([42; 16])).contains("42"));
    }
}
