//! The PROXY protocol's header, versions 1 and 2, as balancers put it before the first byte of a connection. Pure: bytes in, who
//! connected out, or how many bytes more. Of the crates that read it none is both kept up and used, and the format is small.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest header that is read: 16 bytes of frame, at most 216 of addresses (two UNIX paths), the rest for what balancers append
/// about themselves and about the client's certificate, which is some hundred bytes in practice.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

/// "PROXY TCP6 " and the longest addresses and ports, with the line's end; the specification's own figure.
const LINE_BYTES_MAX: usize = 107;
const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 2: signature, command, family, length.
const FRAME_BYTES: usize = 16;
const TLV_CRC32C: u8 = 0x03;

/// What the bytes so far come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// At least so many bytes more.
    Wants(usize),
    /// The rest of a line of text, of which so many bytes may still come.
    WantsLine(usize),
    /// A whole header.
    Whole {
        /// The client's address; none when the balancer speaks for itself, as in a health check, or does not know.
        client: Option<IpAddr>,
        /// The header's own bytes.
        length: usize,
    },
}

/// Why something is not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderFault {
    /// Something else, such as a request.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// Longer than any real one.
    #[error("the PROXY header is too long")]
    TooLong,
    /// Begun well, but not to be read.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// Its own checksum says that it was damaged.
    #[error("the PROXY header's checksum does not match")]
    Checksum,
}

impl ProxyHeader {
    /// Reads what `bytes` begin with.
    ///
    /// # Errors
    /// No bytes that could follow would make it a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProxyHeaderFault> {
        if begins_alike(bytes, BINARY) {
            if bytes.len() < FRAME_BYTES { Ok(Self::Wants(FRAME_BYTES - bytes.len())) } else { binary(bytes) }
        } else if begins_alike(bytes, TEXT) {
            text(bytes)
        } else {
            Err(ProxyHeaderFault::Absent)
        }
    }
}

/// `bytes` are a beginning of `expected`, or the other way round.
fn begins_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| byte == expected)
}

fn text(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderFault> {
    let seen = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        return match LINE_BYTES_MAX.checked_sub(bytes.len()) {
            None | Some(0) => Err(ProxyHeaderFault::TooLong),
            Some(left) => Ok(ProxyHeader::WantsLine(left)),
        };
    };
    let line = seen.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ProxyHeaderFault::Malformed)?;
    let line = str::from_utf8(line).map_err(|_| ProxyHeaderFault::Malformed)?;
    let said = line.strip_prefix("PROXY ").ok_or(ProxyHeaderFault::Malformed)?;
    let mut words = said.split(' ');
    let client = match words.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => None,
        family => Some(client_of_words(family, words).ok_or(ProxyHeaderFault::Malformed)?),
    };
    Ok(ProxyHeader::Whole { client, length: end + 1 })
}

fn client_of_words<'a>(family: Option<&str>, mut words: impl Iterator<Item = &'a str>) -> Option<IpAddr> {
    let [source, destination, source_port, destination_port] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    let parse = |text: &str| -> Option<IpAddr> {
        match family {
            Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let client = parse(source)?;
    parse(destination)?;
    let whole = is_port(source_port) && is_port(destination_port) && words.next().is_none();
    whole.then_some(client.to_canonical())
}

fn is_port(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain && text.parse::<u16>().is_ok()
}

/// At least the frame is here.
fn binary(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderFault> {
    use ProxyHeaderFault::{Malformed, TooLong};
    let [command, family, length @ ..] = bytes.get(BINARY.len()..FRAME_BYTES).ok_or(Malformed)? else {
        return Err(Malformed);
    };
    let length = FRAME_BYTES + usize::from(u16::from_be_bytes(length.try_into().map_err(|_| Malformed)?));
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(TooLong);
    }
    // The lower halves: LOCAL or PROXY; not said, stream or datagram.
    if !matches!(command, 0x20 | 0x21) || !matches!(family, 0x00..=0x02 | 0x10..=0x12 | 0x20..=0x22 | 0x30..=0x32) {
        return Err(Malformed);
    }
    let Some(header) = bytes.get(..length) else { return Ok(ProxyHeader::Wants(length - bytes.len())) };
    let block = header.get(FRAME_BYTES..).unwrap_or_default();
    if *command == 0x20 {
        // The balancer's own connection; whatever it says about addresses is to be ignored.
        return Ok(ProxyHeader::Whole { client: None, length });
    }
    let addresses_bytes = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    let (addresses, additions) = block.split_at_checked(addresses_bytes).ok_or(Malformed)?;
    check_additions(header, additions)?;
    let client = match family {
        0x11 => addresses.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        0x21 => addresses.first_chunk::<16>().map(|octets| IpAddr::from(*octets).to_canonical()),
        // A datagram or a path cannot be the client of a TCP connection.
        _ => None,
    };
    Ok(ProxyHeader::Whole { client, length })
}

/// What balancers append says nothing that is used here, but must be well-formed, and its checksum, when there is one, must match.
fn check_additions(header: &[u8], mut additions: &[u8]) -> Result<(), ProxyHeaderFault> {
    while let [kind, high, low, rest @ ..] = additions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or(ProxyHeaderFault::Malformed)?;
        if *kind == TLV_CRC32C {
            let said: [u8; 4] = value.try_into().map_err(|_| ProxyHeaderFault::Malformed)?;
            // The sum is taken with its own four bytes as zeros.
            let before = header.get(..header.len() - rest.len()).unwrap_or_default();
            let sum = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), next);
            if sum != u32::from_be_bytes(said) {
                return Err(ProxyHeaderFault::Checksum);
            }
        }
        additions = next;
    }
    if additions.is_empty() { Ok(()) } else { Err(ProxyHeaderFault::Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(client: Option<&str>, length: usize) -> ProxyHeader {
        ProxyHeader::Whole { client: client.map(|text| text.parse().expect("an address")), length }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<ProxyHeader, ProxyHeaderFault>) {
        assert_eq!(ProxyHeader::decode(bytes), expected, "{}", bytes.escape_ascii());
    }

    /// Version 2, with its length filled in.
    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("a short block").to_be_bytes();
        [BINARY.as_slice(), &[command, family], &length, block].concat()
    }

    const FOUR: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0xD4, 0x31, 1, 187];

    fn six(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().expect("an address");
        [source.octets().as_slice(), &Ipv6Addr::LOCALHOST.octets(), &[0, 1, 0, 2]].concat()
    }

    #[test]
    fn lines_of_version_1_are_read() {
        check(b"PROXY TCP4 203.0.113.9 10.0.0.1 54321 443\r\nGET", Ok(whole(Some("203.0.113.9"), 43)));
        check(b"PROXY TCP6 2001:db8::9 2001:db8::1 1 65535\r\n", Ok(whole(Some("2001:db8::9"), 44)));
        check(b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n", Ok(whole(Some("203.0.113.9"), 39)));
        check(b"PROXY UNKNOWN\r\n", Ok(whole(None, 15)));
        check(b"PROXY UNKNOWN ffff:f::1 whatever 1 2\r\n", Ok(whole(None, 38)));
    }

    #[test]
    fn lines_that_are_not_over_want_more_and_long_ones_are_refused() {
        check(b"", Ok(ProxyHeader::Wants(16)));
        check(b"PROX", Ok(ProxyHeader::WantsLine(103)));
        check(b"PROXY TCP4 203.0.113.9\r", Ok(ProxyHeader::WantsLine(84)));
        let longest = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 91], b"\r\n"].concat();
        check(&longest, Ok(whole(None, 107)));
        let longer = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat();
        check(&longer, Err(ProxyHeaderFault::TooLong));
    }

    #[test]
    fn what_is_not_to_the_letter_is_malformed() {
        for line in [
            "PROXY TCP4 203.0.113.9 10.0.0.1 54321 443\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 54321\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 54321 443 1\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 54321 65536\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 054 443\r\n",
            "PROXY TCP4 203.0.113.9 10.0.0.1 +54 443\r\n",
            "PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n",
            "PROXY TCP6 203.0.113.9 10.0.0.1 1 2\r\n",
            "PROXY TCP4  203.0.113.9 10.0.0.1 1 2\r\n",
            "PROXY TCP5 203.0.113.9 10.0.0.1 1 2\r\n",
            "PROXY \r\n",
        ] {
            check(line.as_bytes(), Err(ProxyHeaderFault::Malformed));
        }
        check(b"GET / HTTP/1.1\r\n", Err(ProxyHeaderFault::Absent));
        check(b"PROXXY TCP4", Err(ProxyHeaderFault::Absent));
        check(&[0x16, 0x03, 0x01], Err(ProxyHeaderFault::Absent));
    }

    #[test]
    fn blocks_of_version_2_are_read() {
        check(&v2(0x21, 0x11, &FOUR), Ok(whole(Some("203.0.113.9"), 28)));
        check(&v2(0x21, 0x21, &six("2001:db8::9")), Ok(whole(Some("2001:db8::9"), 52)));
        check(&v2(0x21, 0x21, &six("::ffff:203.0.113.9")), Ok(whole(Some("203.0.113.9"), 52)));
        check(&v2(0x21, 0x31, &[b'/'; 216]), Ok(whole(None, 232)));
        check(&v2(0x21, 0x12, &FOUR), Ok(whole(None, 28)));
        check(&v2(0x21, 0x00, &[]), Ok(whole(None, 16)));
        let named = [FOUR.as_slice(), &[0xEA, 0, 3, b'v', b'p', b'c', 0x04, 0, 0]].concat();
        check(&v2(0x21, 0x11, &named), Ok(whole(Some("203.0.113.9"), 37)));
    }

    #[test]
    fn a_balancers_own_connection_has_no_client() {
        check(&v2(0x20, 0x11, &FOUR), Ok(whole(None, 28)));
        check(&v2(0x20, 0x00, &[0xFF; 7]), Ok(whole(None, 23)));
    }

    #[test]
    fn what_version_2_does_not_know_is_malformed() {
        let malformed = Err(ProxyHeaderFault::Malformed);
        check(&v2(0x11, 0x11, &FOUR), malformed);
        check(&v2(0x22, 0x11, &FOUR), malformed);
        check(&v2(0x21, 0x13, &FOUR), malformed);
        check(&v2(0x21, 0x41, &FOUR), malformed);
        check(&v2(0x21, 0x21, &FOUR), malformed);
        check(&v2(0x21, 0x11, &[FOUR.as_slice(), &[0xEA, 0, 9, 1]].concat()), malformed);
        check(&v2(0x21, 0x11, &[FOUR.as_slice(), &[0xEA]].concat()), malformed);
        check(&v2(0x21, 0x00, &[0; 4081]), Err(ProxyHeaderFault::TooLong));
        check(&v2(0x21, 0x11, &FOUR)[..20], Ok(ProxyHeader::Wants(8)));
        check(&BINARY[..5], Ok(ProxyHeader::Wants(11)));
    }

    #[test]
    fn a_checksum_must_match() {
        let mut header = v2(0x21, 0x11, &[FOUR.as_slice(), &[3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 9]].concat());
        let sum = crc32c::crc32c(&header);
        header[31..35].copy_from_slice(&sum.to_be_bytes());
        check(&header, Ok(whole(Some("203.0.113.9"), 39)));
        header[20] ^= 1;
        check(&header, Err(ProxyHeaderFault::Checksum));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(
            prefix in prop_oneof![Just(Vec::new()), Just(TEXT.to_vec()), Just(BINARY.to_vec())],
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [prefix, rest].concat();
            match ProxyHeader::decode(&bytes) {
                Ok(ProxyHeader::Wants(more)) => prop_assert!(more > 0 && bytes.len() + more <= PROXY_HEADER_BYTES_MAX),
                Ok(ProxyHeader::WantsLine(more)) => prop_assert!(more > 0 && bytes.len() + more <= LINE_BYTES_MAX),
                Ok(ProxyHeader::Whole { length, .. }) => prop_assert!(length <= bytes.len()),
                Err(_) => {}
            }
        }

        #[test]
        fn a_header_is_found_however_it_is_cut(source in any::<[u8; 16]>(), four in any::<bool>(), tail in any::<Vec<u8>>()) {
            let header = if four {
                let octets: [u8; 4] = [source[0], source[1], source[2], source[3]];
                format!("PROXY TCP4 {} 10.0.0.1 1 2\r\n", Ipv4Addr::from(octets)).into_bytes()
            } else {
                v2(0x21, 0x21, &six(&Ipv6Addr::from(source).to_string()))
            };
            for cut in 0..header.len() {
                let part = ProxyHeader::decode(&header[..cut]);
                prop_assert!(matches!(part, Ok(ProxyHeader::Wants(more)) if cut + more <= header.len())
                    || matches!(part, Ok(ProxyHeader::WantsLine(_))), "{part:?}");
            }
            let whole = ProxyHeader::decode(&[header.as_slice(), &tail].concat());
            let client = if four { IpAddr::from([source[0], source[1], source[2], source[3]]) } else { IpAddr::from(source) };
            prop_assert_eq!(whole, Ok(ProxyHeader::Whole { client: Some(client.to_canonical()), length: header.len() }));
        }
    }
}
