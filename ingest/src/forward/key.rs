//! The Kafka key: what keeps one client's records in order in one partition.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};

use serde::Deserialize;
use siphasher::sip::SipHasher13;

#[derive(Deserialize)]
struct Client {
    client_ip: Option<IpAddr>,
}

/// Eight bytes from the client's address, of IPv6 from its /64; where there is no address, from the record itself. Never absent and
/// the same each time: a record that is sent twice must come to the same partition, where the second one is noticed.
pub(crate) fn key(record: &[u8]) -> [u8; 8] {
    let client = serde_json::from_slice::<Client>(record).ok().and_then(|c| c.client_ip);
    let mut hasher = SipHasher13::new();
    match client.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(address)) => hasher.write(&address.octets()),
        Some(IpAddr::V6(address)) => hasher.write(&network(address)),
        None => hasher.write(record),
    }
    hasher.finish().to_be_bytes()
}

fn network(address: Ipv6Addr) -> [u8; 8] {
    let mut network = [0; 8];
    network.copy_from_slice(&address.octets()[..8]);
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ip: &str, path: &str) -> [u8; 8] {
        key(format!(r#"{{"schema":1,"path":"{path}","client_ip":"{ip}"}}"#).as_bytes())
    }

    #[test]
    fn one_client_has_one_key() {
        assert_eq!(of("192.0.2.1", "/a"), of("192.0.2.1", "/b"));
        assert_eq!(of("192.0.2.1", "/a"), of("::ffff:192.0.2.1", "/a"));
        assert_ne!(of("192.0.2.1", "/a"), of("192.0.2.2", "/a"));
        assert_eq!(of("2001:db8::1", "/a"), of("2001:db8::ffff:1", "/a"));
        assert_ne!(of("2001:db8::1", "/a"), of("2001:db8:0:1::1", "/a"));
    }

    #[test]
    fn a_record_without_an_address_has_the_same_key_each_time() {
        assert_eq!(key(b"{\"path\":\"/a\"}"), key(b"{\"path\":\"/a\"}"));
        assert_ne!(key(b"{\"path\":\"/a\"}"), key(b"{\"path\":\"/b\"}"));
        assert_eq!(key(b"not JSON"), key(b"not JSON"));
    }
}
