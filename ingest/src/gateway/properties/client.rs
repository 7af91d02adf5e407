//! The client's address.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};
use whopulls_schemas::config::Trust;
use whopulls_schemas::raw::ClientIpSource;

use super::super::client_address::{Peer, client_address};

/// What somebody would like to be taken for.
const FORGED: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));
/// The balancers of these tests.
const BALANCERS: &str = "10.0.0.0/8";

/// The first byte chooses the trust and the peer, the rest are `X-Forwarded-For` lines. Nothing that a client puts to the left of what
/// a trusted proxy wrote changes the address, and who is not trusted changes nothing at all.
pub fn a_client_cannot_write_its_own_address(bytes: &[u8]) {
    let Some((choice, written)) = bytes.split_first() else { return };
    let balancer = IpAddr::from([10, 0, 0, choice & 7]);
    let stranger = IpAddr::from([198, 51, 100, choice & 7]);
    let headers = headers(written);
    let networks = || Trust::Networks(BALANCERS.parse().into_iter().collect());
    let hops = usize::from(choice >> 4) + 1;
    let by_socket = (stranger, ClientIpSource::Socket);
    assert_eq!(client_address(&Trust::Socket, &Peer::plain(stranger), &headers), by_socket, "nobody is trusted");
    assert_eq!(client_address(&networks(), &Peer::plain(stranger), &headers), by_socket, "the peer is not trusted");

    let (address, source) = client_address(&networks(), &Peer::plain(balancer), &headers);
    assert_eq!(address, address.to_canonical(), "one client has one form of address");
    assert!(source == ClientIpSource::Forwarded || address == balancer, "the address comes from nowhere");
    if !matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10) {
        // A proxy of ours said who it is: what that client itself sent stands to the left.
        assert_eq!(client_address(&networks(), &Peer::plain(balancer), &forged(&headers)), (address, source));
    }
    let by_hops = client_address(&Trust::Hops(hops), &Peer::plain(balancer), &headers);
    if entries(&headers) >= hops {
        assert_eq!(client_address(&Trust::Hops(hops), &Peer::plain(balancer), &forged(&headers)), by_hops);
    }
}

const NAME: &str = "x-forwarded-for";

fn headers(written: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in written.split(|byte| *byte == b'\n').take(64).filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(NAME, value);
    }
    headers
}

fn entries(headers: &HeaderMap) -> usize {
    headers.get_all(NAME).iter().map(|line| line.as_bytes().split(|byte| *byte == b',').count()).sum()
}

/// The same with one more entry at the very left, as a client writes it that sends a header of its own.
fn forged(headers: &HeaderMap) -> HeaderMap {
    let mut forged = HeaderMap::new();
    forged.append(NAME, HeaderValue::from_str(&FORGED.to_string()).unwrap_or(HeaderValue::from_static("")));
    for line in headers.get_all(NAME) {
        forged.append(NAME, line.clone());
    }
    forged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_whatever_is_forwarded(
            choice in any::<u8>(),
            entries in prop::collection::vec("10\\.0\\.0\\.[1-9]|192\\.0\\.2\\.[1-9](:80)?|\\[2001:db8::[1-9]\\](:443)?|::ffff:10\\.1\\.2\\.[1-9]|unknown|[ -~]{0,6}", 0..40),
            separators in prop::collection::vec(",|, |\n", 40),
        ) {
            let mut written = vec![choice];
            for (entry, separator) in entries.iter().zip(&separators) {
                written.extend_from_slice(entry.as_bytes());
                written.extend_from_slice(separator.as_bytes());
            }
            a_client_cannot_write_its_own_address(&written);
        }
    }
}
