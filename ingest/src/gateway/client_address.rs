//! Who is asking. The left-most `X-Forwarded-For` is written by the client: only configured trust makes an entry count.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use whopulls_schemas::config::Trust;
use whopulls_schemas::raw::ClientIpSource;

/// Entries looked at, from the right: more proxies than that are not in front of anybody.
const ENTRIES_MAX: usize = 32;

/// Who opened a connection, as far as it is known before any request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The socket's address, or the one that the PROXY protocol gave in its place.
    pub(crate) address: IpAddr,
    /// Which of the two it is.
    pub(crate) source: ClientIpSource,
    /// The connection is TLS.
    pub(crate) tls: bool,
}

impl Peer {
    /// A plain connection from `address`.
    pub(crate) fn plain(address: IpAddr) -> Self {
        Self { address, source: ClientIpSource::Socket, tls: false }
    }
}

/// The client's address and how it was learned.
pub(crate) fn client_address(trust: &Trust, peer: &Peer, headers: &HeaderMap) -> (IpAddr, ClientIpSource) {
    let address = peer.address.to_canonical();
    let forwarded = match trust {
        Trust::Socket => None,
        Trust::Networks(networks) => {
            let trusted = |address: &IpAddr| networks.iter().any(|network| network.contains(address));
            let mut client = None;
            if trusted(&address) {
                for entry in entries(headers) {
                    // What cannot be read was written by nobody whom we trust; the one who passed it on is the client.
                    let Some(address) = entry else { break };
                    client = Some(address);
                    if !trusted(&address) {
                        break;
                    }
                }
            }
            client
        }
        Trust::Hops(hops) => {
            let written: Vec<IpAddr> = entries(headers).take(*hops).map_while(|entry| entry).collect();
            written.last().copied()
        }
    };
    forwarded.map_or((address, peer.source), |client| (client, ClientIpSource::Forwarded))
}

/// The entries of all `X-Forwarded-For` lines, from the right.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    lines
        .into_iter()
        .rev()
        .flat_map(|line| {
            let entries = line.to_str().map_or_else(|_| vec![None], |text| text.rsplit(',').map(address_of).collect());
            entries.into_iter()
        })
        .take(ENTRIES_MAX)
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address_of(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.parse().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn networks(list: &[&str]) -> Trust {
        Trust::Networks(list.iter().map(|n| n.parse().expect("a network")).collect())
    }

    #[track_caller]
    fn check(trust: &Trust, peer: &str, lines: &[&str], expected: (&str, ClientIpSource)) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("a header value"));
        }
        let (address, source) = client_address(trust, &Peer::plain(peer.parse().expect("an address")), &headers);
        assert_eq!((address.to_string().as_str(), source), expected);
    }

    #[test]
    fn by_default_only_the_socket_counts() {
        check(&Trust::Socket, "203.0.113.9", &["198.51.100.1"], ("203.0.113.9", ClientIpSource::Socket));
        check(&Trust::Socket, "::ffff:203.0.113.9", &[], ("203.0.113.9", ClientIpSource::Socket));
    }

    #[test]
    fn trusted_networks_are_passed_over_from_the_right() {
        let trust = networks(&["10.0.0.0/8", "fd00::/8"]);
        let forwarded = ClientIpSource::Forwarded;
        check(&trust, "10.0.0.1", &["198.51.100.1"], ("198.51.100.1", forwarded));
        check(&trust, "10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.2.0.1"], ("198.51.100.1", forwarded));
        check(&trust, "10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.2.0.1"], ("198.51.100.1", forwarded));
        check(&trust, "fd00::1", &["[2001:db8::1]:4711"], ("2001:db8::1", forwarded));
        check(&trust, "10.0.0.1", &["10.3.0.1, 10.2.0.1"], ("10.3.0.1", forwarded));
        check(&trust, "10.0.0.1", &["198.51.100.1, nonsense, 10.2.0.1"], ("10.2.0.1", forwarded));
        check(&trust, "10.0.0.1", &["unknown"], ("10.0.0.1", ClientIpSource::Socket));
        check(&trust, "10.0.0.1", &[], ("10.0.0.1", ClientIpSource::Socket));
    }

    #[test]
    fn the_proxy_protocols_address_is_where_trust_begins() {
        let said = Peer { source: ClientIpSource::ProxyProtocol, ..Peer::plain(IpAddr::from([10, 0, 0, 1])) };
        let mut headers = HeaderMap::new();
        let found = client_address(&Trust::Socket, &said, &headers);
        assert_eq!(found, (said.address, ClientIpSource::ProxyProtocol));
        headers.append("x-forwarded-for", HeaderValue::from_static("198.51.100.1"));
        let (address, source) = client_address(&networks(&["10.0.0.0/8"]), &said, &headers);
        assert_eq!((address.to_string().as_str(), source), ("198.51.100.1", ClientIpSource::Forwarded));
    }

    #[test]
    fn a_stranger_cannot_speak_for_others() {
        let trust = networks(&["10.0.0.0/8"]);
        check(&trust, "203.0.113.9", &["198.51.100.1"], ("203.0.113.9", ClientIpSource::Socket));
    }

    #[test]
    fn hops_are_counted_from_the_right() {
        let forwarded = ClientIpSource::Forwarded;
        check(&Trust::Hops(1), "203.0.113.9", &["1.1.1.1, 198.51.100.1"], ("198.51.100.1", forwarded));
        check(&Trust::Hops(2), "203.0.113.9", &["1.1.1.1, 198.51.100.1:80, 192.0.2.1"], ("198.51.100.1", forwarded));
        check(&Trust::Hops(3), "203.0.113.9", &["198.51.100.1"], ("198.51.100.1", forwarded));
        check(&Trust::Hops(1), "203.0.113.9", &[], ("203.0.113.9", ClientIpSource::Socket));
    }
}
