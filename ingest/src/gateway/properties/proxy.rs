//! The PROXY protocol's header.

use super::super::proxy_header::{PROXY_HEADER_BYTES_MAX, ProxyHeader};

/// A whole header is bounded, says the same whatever follows it, and a part of it asks for no more than is still to come: the reader never
/// waits for bytes that nobody sends, and never eats a byte of the request.
pub fn a_proxy_header_is_read_to_its_end_and_no_further(bytes: &[u8]) {
    let Ok(ProxyHeader::Whole { client, length }) = ProxyHeader::decode(bytes) else { return };
    assert!((1..=PROXY_HEADER_BYTES_MAX.min(bytes.len())).contains(&length), "a header of {length} bytes");
    assert_eq!(client, client.map(|address| address.to_canonical()), "one client has one form of address");
    let header = bytes.get(..length).unwrap_or_default();
    assert_eq!(ProxyHeader::decode(header), Ok(ProxyHeader::Whole { client, length }), "what follows changes it");
    for (begun, left) in (1..length).map(|end| (header.get(..end).unwrap_or_default(), length - end)) {
        match ProxyHeader::decode(begun) {
            Ok(ProxyHeader::Wants(bytes)) => assert!((1..=left).contains(&bytes), "wants {bytes} of {left}"),
            Ok(ProxyHeader::WantsLine(most)) => assert!(most >= left, "takes {most} of {left}"),
            whole_or_fault => panic!("{begun:?} is {whole_or_fault:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_headers_of_text(
            line in "PROXY (TCP4 192\\.0\\.2\\.[0-9] 10\\.0\\.0\\.[0-9]|TCP6 2001:db8::[0-9a-f]{1,4} ::ffff:10\\.0\\.0\\.1|UNKNOWN|TCP4 ::1 ::1)( [0-9]{1,5} [0-9]{1,5})?",
            end in "\r\n|\n|\r|",
            after in "[ -~]{0,9}",
        ) {
            a_proxy_header_is_read_to_its_end_and_no_further(format!("{line}{end}{after}").as_bytes());
        }

        #[test]
        fn holds_for_binary_headers(
            command in prop::sample::select(vec![0x20_u8, 0x21, 0x22]),
            family in prop::sample::select(vec![0_u8, 0x11, 0x12, 0x21, 0x31, 0x41]),
            block in prop::collection::vec(any::<u8>(), 0..60),
            addition in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
            after in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut block = block;
            if let Some(addition) = addition {
                block.resize(if family >> 4 == 1 { 12 } else { 36 }, 7);
                block.extend([4, 0, u8::try_from(addition.len()).unwrap_or(0)]);
                block.extend(addition);
            }
            let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
            header.extend([command, family, 0, u8::try_from(block.len()).unwrap_or(0)]);
            header.extend(block);
            header.extend(after);
            a_proxy_header_is_read_to_its_end_and_no_further(&header);
        }
    }
}
