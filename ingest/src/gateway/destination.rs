//! Where a request may go that no rule names: a token service or a storage that an upstream led to. Only to public addresses, unless the
//! configuration says otherwise; else an upstream could make the gateway ask its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Whether a request may go to `address`.
pub(crate) fn is_allowed(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    let is_public = match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    };
    is_public || networks.iter().any(|network| network.contains(&address))
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match a {
        // This network, private, loopback; multicast and what is reserved above it.
        0 | 10 | 127 | 224.. => true,
        // Shared with a carrier's customers.
        100 => b & 0xc0 == 64,
        169 => b == 254,
        172 => b & 0xf0 == 16,
        // Protocol assignments, documentation, 6to4 relays, private.
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        // Benchmarks, documentation.
        198 => b & 0xfe == 18 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64: the address behind it counts.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo and other protocol assignments; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Unicast that is routed at all.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Whether `host` is `parent` or below it. A client that was sent below the host that it asked sends its credentials along.
pub(crate) fn is_below(host: &str, parent: &str) -> bool {
    let (host, parent) = (host.trim_end_matches('.'), parent.trim_end_matches('.'));
    if host.eq_ignore_ascii_case(parent) {
        return true;
    }
    let Some(at) = host.len().checked_sub(parent.len() + 1) else {
        return false;
    };
    !parent.is_empty()
        && host.is_char_boundary(at)
        && host.get(at..).and_then(|end| end.strip_prefix('.')).is_some_and(|end| end.eq_ignore_ascii_case(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: bool) {
        assert_eq!(is_allowed(address.parse().expect("an address"), &[]), expected, "{address}");
    }

    #[test]
    fn only_public_addresses_are_allowed() {
        for address in ["93.184.216.34", "2606:4700::1", "1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1"] {
            check(address, true);
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:db8::1",
            "2001::1",
            "::7f00:1",
            "3fff::1",
        ] {
            check(address, false);
        }
    }

    #[test]
    fn a_configured_network_is_allowed() {
        let networks = ["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")];
        for (address, expected) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("fd00::1", true), ("192.168.0.1", false)]
        {
            assert_eq!(is_allowed(address.parse().expect("an address"), &networks), expected, "{address}");
        }
    }

    #[test]
    fn a_host_is_below_itself_and_its_parents() {
        for (host, parent, expected) in [
            ("cdn.get.example.org", "get.example.org", true),
            ("GET.example.org.", "get.example.org", true),
            ("forget.example.org", "get.example.org", false),
            ("example.org", "get.example.org", false),
            ("example.org", "", false),
            ("éxample.org", "xample.org", false),
        ] {
            assert_eq!(is_below(host, parent), expected, "{host} {parent}");
        }
    }
}
