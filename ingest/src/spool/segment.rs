//! A segment file's name and header.
//!
//! ```text
//! magic "WHPSEG01" | base seq u64 | where the segment before ended u64, 0 until that is synced | created, ms since the epoch u64 | CRC32C u32
//! ```

use std::path::{Path, PathBuf};

/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 36;
const SEGMENT_MAGIC: [u8; 8] = *b"WHPSEG01";
const SUFFIX: &str = ".log";

/// What a segment says about itself before its first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The sequence number of its first record.
    pub(crate) base_seq: u64,
    /// One past the last record of the segment before it; this is how a sealed segment that was cut at a frame boundary is noticed. It is
    /// `None` until the segment before is synced: until then a power cut may have taken its end.
    pub(crate) previous_end_seq: Option<u64>,
    /// For people who look at the file.
    pub(crate) created_ms: u64,
}

/// One segment as the spool knows it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) base_seq: u64,
    /// One past its last record.
    pub(crate) end_seq: u64,
    /// Bytes that are whole and may be read, the header with them.
    pub(crate) bytes: u64,
    /// When it was last written to, in milliseconds since the epoch.
    pub(crate) modified_ms: u64,
}

impl Segment {
    pub(crate) fn records(&self) -> u64 {
        self.end_seq.saturating_sub(self.base_seq)
    }

    /// An estimate of the bytes that hold the records from `seq` on.
    pub(crate) fn bytes_from(&self, seq: u64) -> u64 {
        let records = u128::from(self.records().max(1));
        let wanted = u128::from(self.end_seq.saturating_sub(seq.max(self.base_seq)));
        u64::try_from(u128::from(self.bytes) * wanted / records).unwrap_or(self.bytes)
    }
}

/// `<dir>/segments/<base seq, 20 digits>.log`
pub(crate) fn path(segments_dir: &Path, base_seq: u64) -> PathBuf {
    segments_dir.join(format!("{base_seq:020}{SUFFIX}"))
}

/// The base sequence number in a segment's file name; `None` for a file that is not a segment.
pub(crate) fn base_seq_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

pub(crate) fn encode_header(header: &SegmentHeader) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
    bytes[8..16].copy_from_slice(&header.base_seq.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.previous_end_seq.unwrap_or(0).to_le_bytes());
    bytes[24..32].copy_from_slice(&header.created_ms.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The header, or `None` when the bytes are not one.
pub(crate) fn decode_header(bytes: &[u8]) -> Option<SegmentHeader> {
    let header: &[u8; SEGMENT_HEADER_BYTES] = bytes.first_chunk()?;
    let (fields, checksum) = header.split_at(32);
    let valid = fields.starts_with(&SEGMENT_MAGIC) && crc32c::crc32c(fields).to_le_bytes().as_slice() == checksum;
    valid.then(|| SegmentHeader {
        base_seq: u64_at(fields, 8),
        previous_end_seq: Some(u64_at(fields, 16)).filter(|seq| *seq > 0),
        created_ms: u64_at(fields, 24),
    })
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_flipped_bit_is_noticed() {
        let header =
            SegmentHeader { base_seq: 3 << 32, previous_end_seq: Some((2 << 32) + 17), created_ms: 1_700_000_000_000 };
        let mut bytes = encode_header(&header);
        assert_eq!(decode_header(&bytes), Some(header));
        bytes[17] ^= 4;
        assert_eq!(decode_header(&bytes), None);
    }

    #[test]
    fn only_twenty_digits_and_log_name_a_segment() {
        assert_eq!(base_seq_of("00000000004294967296.log"), Some(1 << 32));
        assert_eq!(base_seq_of("4294967296.log"), None);
        assert_eq!(base_seq_of("00000000004294967296.tmp"), None);
        assert_eq!(base_seq_of("0000000000429496729x.log"), None);
    }
}
