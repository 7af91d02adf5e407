//! Addresses that no public network announces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is private, shared, local, documentation, multicast or otherwise not on the public internet (RFC 6890 and its updates).
/// An IPv4 address that is mapped into IPv6 is judged as the IPv4 address.
pub fn is_reserved(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_reserved_v4(address),
        IpAddr::V6(address) => is_reserved_v6(address),
    }
}

fn is_reserved_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_reserved_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Today's global unicast is 2000::/3; 64:ff9b::/96 stands for IPv4 behind NAT64 and says nothing about the client.
    a & 0xe000 != 0x2000 || (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000)
}
