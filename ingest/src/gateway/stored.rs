//! A thing in the cache and its form on disk: `WPC1`, CRC32C of what follows, length of the head, head (JSON), body.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use whopulls_schemas::UnixMicros;

const MAGIC: &[u8; 4] = b"WPC1";
/// Magic, checksum, length of the head.
const PREFIX_BYTES: usize = 12;
/// A key, and the few header fields that are kept. Upstream heads are at most 64 KiB.
const HEAD_BYTES_MAX: usize = 128 << 10;

/// What the cache keeps of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Name and value of the header fields that are kept with it.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// When the upstream last said that it is so.
    pub(crate) stored: UnixMicros,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    headers: Vec<(String, String)>,
    stored: i64,
}

impl Stored {
    /// The first value of a header field that is kept with it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        (self.body.len() + headers) as u64
    }

    /// Its form on disk.
    pub(crate) fn encode(&self, key: &str) -> Vec<u8> {
        let head = Head { key: key.to_owned(), headers: self.headers.clone(), stored: self.stored.0 };
        // Text and a number: serde_json has no way to fail on these.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut file = Vec::with_capacity(PREFIX_BYTES + head.len() + self.body.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&[0; 4]);
        file.extend_from_slice(&length);
        file.extend_from_slice(&head);
        file.extend_from_slice(&self.body);
        let sum = crc32c::crc32c(file.get(8..).unwrap_or_default()).to_le_bytes();
        file.splice(4..8, sum);
        file
    }

    /// Reads it back. `None` for what is damaged, foreign or of another key.
    pub(crate) fn decode(key: &str, file: Bytes) -> Option<Self> {
        let number = |at: Range<usize>| Some(u32::from_le_bytes(file.get(at)?.try_into().ok()?));
        if file.get(..4)? != MAGIC || number(4..8)? != crc32c::crc32c(file.get(8..)?) {
            return None;
        }
        let length = usize::try_from(number(8..12)?).ok().filter(|length| *length <= HEAD_BYTES_MAX)?;
        let head: Head = serde_json::from_slice(file.get(PREFIX_BYTES..PREFIX_BYTES + length)?).ok()?;
        let body = file.slice(PREFIX_BYTES + length..);
        (head.key == key).then_some(Self { headers: head.headers, body, stored: UnixMicros(head.stored) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored() -> Stored {
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        Stored { headers, body: Bytes::from_static(b"body"), stored: UnixMicros(7) }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let file = Bytes::from(stored().encode("k"));
        assert_eq!(Stored::decode("k", file.clone()), Some(stored()));
        assert_eq!(Stored::decode("other", file), None);
        assert_eq!(stored().header("Content-Type"), Some("text/plain"));
    }

    #[test]
    fn damage_anywhere_is_seen() {
        let file = stored().encode("k");
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(Stored::decode("k", Bytes::from(damaged)), None, "at byte {at}");
            assert_eq!(Stored::decode("k", Bytes::copy_from_slice(&file[..at])), None, "cut at byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = b"WPC1".to_vec();
            framed.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
            framed.extend_from_slice(&bytes);
            prop_assert_eq!(Stored::decode("k", Bytes::from(framed)), None);
        }
    }
}
