//! A frame: the records of one group commit, as they stand in a segment file.
//!
//! ```text
//! magic u32 | body length u32 | record count u32 | first seq u64 | CRC32C u32 | body: (length u32, bytes)*
//! ```
//!
//! All integers are little-endian. The checksum covers the header before it and the body.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Record;

/// Bytes before a frame's body.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// The largest body that is written or believed: a group (1 MiB) plus one record at its maximum (1 MiB), with room.
pub(crate) const FRAME_BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes that a record costs besides its payload.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 4;

const FRAME_MAGIC: [u8; 4] = *b"WPF1";
const CHECKSUM_AT: usize = 20;

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) body_bytes: usize,
    pub(crate) records: u32,
    pub(crate) first_seq: u64,
    checksum: u32,
}

impl FrameHeader {
    /// One past the last `seq` of the frame.
    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.records))
    }

    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("the frame is cut short")]
    Short,
    /// There is no frame at this offset.
    #[error("no frame begins here")]
    Magic,
    /// The length or the count cannot be.
    #[error("the frame's length is impossible")]
    Length,
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The frame is whole but does not continue the one before it.
    #[error("the sequence is broken: expected {expected}, found {found}")]
    Sequence {
        /// The sequence number that should stand here.
        expected: u64,
        /// The one that does.
        found: u64,
    },
}

/// Appends a record to a frame that is being made, and gives its length; one of more than `bytes_max` is taken out again. The header's
/// place is left free for [`seal`].
pub(crate) fn push(frame: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>), bytes_max: usize) -> usize {
    let before = frame.len();
    if before < FRAME_HEADER_BYTES {
        frame.resize(FRAME_HEADER_BYTES, 0);
    }
    let length_at = frame.len();
    frame.extend_from_slice(&[0; RECORD_OVERHEAD_BYTES]);
    let start = frame.len();
    encode(frame);
    let bytes = frame.len() - start;
    if bytes > bytes_max {
        frame.truncate(before);
    } else if let Some(length) = frame.get_mut(length_at..start) {
        length.copy_from_slice(&length_u32(bytes).to_le_bytes());
    }
    bytes
}

/// Writes the header of a frame whose records are pushed. The caller keeps a group within [`FRAME_BODY_BYTES_MAX`].
pub(crate) fn seal(frame: &mut [u8], first_seq: u64, records: u32) {
    let Some((header, body)) = frame.split_at_mut_checked(FRAME_HEADER_BYTES) else { return };
    header[0..4].copy_from_slice(&FRAME_MAGIC);
    header[4..8].copy_from_slice(&length_u32(body.len()).to_le_bytes());
    header[8..12].copy_from_slice(&records.to_le_bytes());
    header[12..20].copy_from_slice(&first_seq.to_le_bytes());
    let checksum = checksum(&header[..CHECKSUM_AT], body);
    header[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads a header; nothing is checked but its shape.
pub(crate) fn decode_header(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    let header: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::Short)?;
    if header[0..4] != FRAME_MAGIC {
        return Err(FrameError::Magic);
    }
    let body_bytes = u32_at(header, 4) as usize;
    let records = u32_at(header, 8);
    let smallest = (records as usize).saturating_mul(RECORD_OVERHEAD_BYTES);
    if records == 0 || body_bytes > FRAME_BODY_BYTES_MAX || body_bytes < smallest {
        return Err(FrameError::Length);
    }
    let first_seq = u64::from(u32_at(header, 12)) | u64::from(u32_at(header, 16)) << 32;
    Ok(FrameHeader { body_bytes, records, first_seq, checksum: u32_at(header, CHECKSUM_AT) })
}

/// Checks the frame at the start of `bytes` without taking it apart.
pub(crate) fn check(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    let header = decode_header(bytes)?;
    let frame = bytes.get(..header.frame_bytes()).ok_or(FrameError::Short)?;
    let (head, body) = frame.split_at(FRAME_HEADER_BYTES);
    if checksum(&head[..CHECKSUM_AT], body) != header.checksum {
        return Err(FrameError::Checksum);
    }
    Ok(header)
}

/// Takes the checked frame at the start of `bytes` apart; payloads share its memory. Records below `from_seq` are left out.
pub(crate) fn unpack(
    bytes: &Bytes,
    header: &FrameHeader,
    from_seq: u64,
    into: &mut VecDeque<Record>,
) -> Result<(), FrameError> {
    let mut at = FRAME_HEADER_BYTES;
    let end = header.frame_bytes();
    let before = into.len();
    for seq in header.first_seq..header.end_seq() {
        let payload_at = at + RECORD_OVERHEAD_BYTES;
        let length = bytes.get(at..payload_at).map(|prefix| u32_at(prefix, 0));
        let payload_end = length.map_or(usize::MAX, |length| payload_at + length as usize);
        if payload_end > end {
            into.truncate(before);
            return Err(FrameError::Length);
        }
        if seq >= from_seq {
            into.push_back(Record { seq, payload: bytes.slice(payload_at..payload_end) });
        }
        at = payload_end;
    }
    Ok(())
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), body)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four))
}

/// Lengths are bounded far below 4 GiB before they come here.
fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for payload in payloads {
            push(&mut out, |out| out.extend_from_slice(payload), usize::MAX);
        }
        seal(&mut out, 7 << 32, length_u32(payloads.len()));
        out
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let bytes = Bytes::from(frame(&[b"one", b"", b"three"]));
        let mut records = VecDeque::new();
        let header = check(&bytes).expect("the frame is whole");
        unpack(&bytes, &header, 0, &mut records).expect("the body is whole");
        assert_eq!(header.records, 3);
        let found: Vec<(u64, &[u8])> = records.iter().map(|r| (r.seq, r.payload.as_ref())).collect();
        let base = 7 << 32;
        assert_eq!(found, [(base, b"one".as_ref()), (base + 1, b""), (base + 2, b"three")]);
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let good = frame(&[b"some payload", b"another"]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let good = frame(&[b"some payload", b"another"]);
        for length in 0..good.len() {
            assert_eq!(check(&good[..length]), Err(FrameError::Short));
        }
    }
}
