//! What the name of an address says about who uses it.

use std::net::IpAddr;

use psl::{List, Psl as _, Type};

use crate::attribute::NetworkKind;

/// Words in front of the domain that speak of a provider's pool or of a rented machine, not of a user. A word is what stands between dots, hyphens and digits.
const POOL_WORDS: [&str; 55] = [
    "access",
    "adsl",
    "bb",
    "bras",
    "broadband",
    "bsr",
    "cable",
    "catv",
    "cgn",
    "cgnat",
    "client",
    "clients",
    "cpe",
    "cust",
    "customer",
    "customers",
    "dedicated",
    "dhcp",
    "dial",
    "dialup",
    "docsis",
    "dsl",
    "dyn",
    "dynamic",
    "dynip",
    "fiber",
    "fibre",
    "fixed",
    "ftth",
    "gpon",
    "home",
    "host",
    "hsd",
    "internet",
    "ip",
    "ipv",
    "kabel",
    "lte",
    "mobile",
    "pool",
    "pools",
    "ppp",
    "pppoe",
    "rdns",
    "res",
    "residential",
    "rev",
    "reverse",
    "static",
    "subs",
    "unassigned",
    "user",
    "vps",
    "wifi",
    "wireless",
];

/// Parts of a domain's own word that make it a provider's.
const PROVIDER_PARTS: [&str; 22] = [
    "broadband",
    "cable",
    "cloud",
    "colo",
    "datacent",
    "dsl",
    "fiber",
    "fibre",
    "host",
    "internet",
    "isp",
    "mobile",
    "server",
    "telco",
    "telecom",
    "telefon",
    "telekom",
    "telia",
    "vpn",
    "vps",
    "wifi",
    "wireless",
];

/// The registrable domain of whoever uses the address, by the name that the address has; `None` where the name is a pool's, a provider's, or nothing
/// that anybody registered. The name still has to lead back to the address.
pub fn customer_domain(name: &str, address: IpAddr) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let domain = List.domain(name.as_bytes())?;
    // Below a private suffix (`dyndns.org`) anybody gets a name.
    if domain.suffix().typ() != Some(Type::Icann) {
        return None;
    }
    let domain = str::from_utf8(domain.as_bytes()).ok()?;
    let front = name.strip_suffix(domain)?.trim_end_matches('.');
    let word = domain.split('.').next()?;
    let is_provider = word.ends_with("net") || PROVIDER_PARTS.iter().any(|part| word.contains(part));
    if is_provider || domain.rsplit('.').next() == Some("arpa") || is_pool(front) || spells(front, address) {
        return None;
    }
    Some(domain.to_owned())
}

/// What a domain's ending says of its owner: schools and public bodies have endings of their own.
pub fn kind_by_suffix(domain: &str) -> Option<NetworkKind> {
    let suffix = List.suffix(domain.as_bytes())?;
    let suffix = str::from_utf8(suffix.as_bytes()).ok()?;
    match suffix.split('.').next()? {
        "edu" | "ac" if suffix != "ac" => Some(NetworkKind::Education),
        "gov" | "mil" => Some(NetworkKind::Government),
        "gob" | "gouv" | "go" | "gc" | "govt" if suffix.contains('.') => Some(NetworkKind::Government),
        _ => None,
    }
}

fn is_pool(front: &str) -> bool {
    let is_word = |part: &str| POOL_WORDS.binary_search(&part).is_ok();
    front.split(|c: char| !c.is_ascii_alphabetic()).any(is_word)
}

/// Whether the name spells the address, as pools do: its last two numbers side by side in any order, or all of it in hexadecimal.
fn spells(front: &str, address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, third, last] = v4.octets();
            let numbers: Vec<&str> =
                front.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
            let is = |text: &str, octet: u8| text.parse() == Ok(octet);
            let side_by_side = numbers.windows(2).any(|pair| match *pair {
                [a, b] => (is(a, third) && is(b, last)) || (is(a, last) && is(b, third)),
                _ => false,
            });
            let padded = format!("{first:03}{second:03}{third:03}{last:03}");
            let plain = format!("{first}{second}{third}{last}");
            let hex = format!("{:08x}", v4.to_bits());
            side_by_side || [padded, plain, hex].iter().any(|spelled| front.contains(spelled.as_str()))
        }
        IpAddr::V6(v6) => {
            let digits: String = front.chars().filter(char::is_ascii_hexdigit).collect();
            let hex = format!("{:032x}", v6.to_bits());
            let groups = v6.segments().map(|group| format!("{group:x}"));
            let tail = groups.get(4..).unwrap_or_default();
            hex.get(16..).is_some_and(|tail| digits.contains(tail)) || front.contains(&tail.join("-"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, address: &str, expected: Option<&str>) {
        let address = address.parse().expect("the tests' addresses are valid");
        assert_eq!(customer_domain(name, address).as_deref(), expected, "{name}");
    }

    #[test]
    fn a_name_of_its_own_is_the_users() {
        check("nat1.acme.com.", "192.0.2.7", Some("acme.com"));
        check("Proxy-B.Corp.Acme.co.uk", "192.0.2.7", Some("acme.co.uk"));
        check("mail.acme.de", "2001:db8::7", Some("acme.de"));
        check("acme.com", "192.0.2.7", Some("acme.com"));
        check("gw7.acme.com", "192.0.2.7", Some("acme.com"));
    }

    #[test]
    fn a_pool_is_nobodys() {
        check("192-0-2-7.acme.com", "192.0.2.7", None);
        check("ip-7-2.acme.com", "192.0.2.7", None);
        check("h7.2.0.192.acme.com", "192.0.2.7", None);
        check("c0000207.acme.com", "192.0.2.7", None);
        check("x192000002007.acme.com", "192.0.2.7", None);
        check("p123.dynamic.acme.com", "192.0.2.7", None);
        check("dsl-b.acme.com", "192.0.2.7", None);
        check("static.7.acme.com", "192.0.2.7", None);
        check("2001-db8-0-0-1-2-3-7.acme.com", "2001:db8::1:2:3:7", None);
        check("g0001000200030007.acme.com", "2001:db8::1:2:3:7", None);
    }

    #[test]
    fn a_provider_and_what_nobody_registered_are_nobodys() {
        check("gw.sometelecom.com", "192.0.2.7", None);
        check("gw.fastnet.com", "192.0.2.7", None);
        check("home.somebody.dyndns.org", "192.0.2.7", None);
        check("7.2.0.192.in-addr.arpa", "192.0.2.7", None);
        check("localhost", "192.0.2.7", None);
        check("com", "192.0.2.7", None);
        check("", "192.0.2.7", None);
        check("...", "192.0.2.7", None);
    }

    #[test]
    fn an_ending_tells_schools_and_public_bodies() {
        use NetworkKind::{Education, Government};
        for (domain, kind) in [
            ("some.edu", Some(Education)),
            ("some.ac.uk", Some(Education)),
            ("some.edu.au", Some(Education)),
            ("some.gov", Some(Government)),
            ("some.gov.uk", Some(Government)),
            ("some.go.jp", Some(Government)),
            ("some.gouv.fr", Some(Government)),
            ("some.mil", Some(Government)),
            ("some.ac", None),
            ("some.com", None),
            ("some.go.example", None),
        ] {
            assert_eq!(kind_by_suffix(domain), kind, "{domain}");
        }
    }

    #[test]
    fn the_words_can_be_searched() {
        assert!(POOL_WORDS.is_sorted(), "{POOL_WORDS:?}");
    }
}
