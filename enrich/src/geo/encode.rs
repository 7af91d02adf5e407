//! The MaxMind DB file format, version 2.0, written: values, search tree, metadata.
//!
//! The format is described at <https://maxmind.github.io/MaxMind-DB/>. Only the types that our records use are here.

use thiserror::Error;

/// What lies between the search tree and the data: sixteen zero bytes.
const SEPARATOR_BYTES: usize = 16;
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

const TYPE_POINTER: u8 = 1;
const TYPE_STRING: u8 = 2;
const TYPE_UINT16: u8 = 5;
const TYPE_UINT32: u8 = 6;
const TYPE_MAP: u8 = 7;
const TYPE_UINT64: u8 = 9;
const TYPE_ARRAY: u8 = 11;

/// In place of a size: one more byte holds what is above it. Sizes below it stand in the control byte.
const SIZE_ONE_BYTE: u8 = 29;
/// In place of a size: two more bytes hold what is above [`SIZE_TWO_BYTES_START`].
const SIZE_TWO_BYTES: u8 = 30;
const SIZE_TWO_BYTES_START: usize = 29 + 256;

/// Pointers below this take two bytes, and so on: each width begins where the narrower one ends.
const POINTER_TWO_BYTES_END: usize = 1 << 11;
const POINTER_THREE_BYTES_END: usize = POINTER_TWO_BYTES_END + (1 << 19);

/// Why a database could not be written.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EncodeError {
    /// Tree and data do not fit the widest record that is written here.
    #[error("the database needs {reach} record values, but a 28-bit record holds {}: use smaller sources", 1_u32 << 28)]
    TooLarge {
        /// Nodes plus separator plus bytes of data.
        reach: usize,
    },
}

/// What a branch of the tree leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Branch {
    /// Nothing is known about these addresses.
    Empty,
    /// Another node, by index.
    Node(u32),
    /// A record, by its offset in the data section.
    Data(u32),
}

/// What the metadata says beside what follows from the tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Description<'a> {
    pub(super) database_type: &'a str,
    pub(super) english: &'a str,
    /// Seconds since 1970.
    pub(super) build_epoch: u64,
}

/// A whole file from an IPv6 tree (node 0 is the root) and its data section.
pub(super) fn file(nodes: &[[Branch; 2]], data: &[u8], description: Description<'_>) -> Result<Vec<u8>, EncodeError> {
    let reach = nodes.len() + SEPARATOR_BYTES + data.len();
    let record_bits = match reach {
        0..=0x00ff_ffff => 24,
        0x0100_0000..=0x0fff_ffff => 28,
        _ => return Err(EncodeError::TooLarge { reach }),
    };
    let mut out = Vec::with_capacity(nodes.len() * 7 + data.len() + 1024);
    for [left, right] in nodes {
        let (left, right) = (record_value(*left, nodes.len()), record_value(*right, nodes.len()));
        node(&mut out, record_bits, left, right);
    }
    out.extend_from_slice(&[0; SEPARATOR_BYTES]);
    out.extend_from_slice(data);
    out.extend_from_slice(METADATA_MARKER);
    metadata(&mut out, nodes.len(), record_bits, description);
    Ok(out)
}

fn record_value(branch: Branch, node_count: usize) -> u32 {
    let node_count = u32::try_from(node_count).unwrap_or(u32::MAX);
    match branch {
        Branch::Empty => node_count,
        Branch::Node(index) => index,
        Branch::Data(offset) => node_count + 16 + offset,
    }
}

fn node(out: &mut Vec<u8>, record_bits: u16, left: u32, right: u32) {
    let ([left_high, left @ ..], [right_high, right @ ..]) = (left.to_be_bytes(), right.to_be_bytes());
    out.extend_from_slice(&left);
    if record_bits == 28 {
        out.push(left_high << 4 | right_high);
    }
    out.extend_from_slice(&right);
}

fn metadata(out: &mut Vec<u8>, node_count: usize, record_bits: u16, description: Description<'_>) {
    map(out, 9);
    string(out, "binary_format_major_version");
    uint16(out, 2);
    string(out, "binary_format_minor_version");
    uint16(out, 0);
    string(out, "build_epoch");
    uint64(out, description.build_epoch);
    string(out, "database_type");
    string(out, description.database_type);
    string(out, "description");
    map(out, 1);
    string(out, "en");
    string(out, description.english);
    string(out, "ip_version");
    uint16(out, 6);
    string(out, "languages");
    control(out, TYPE_ARRAY, 1);
    string(out, "en");
    string(out, "node_count");
    uint32(out, u32::try_from(node_count).unwrap_or(u32::MAX));
    string(out, "record_size");
    uint16(out, record_bits);
}

/// Begins a map of `pairs` keys, each followed by its value.
pub(super) fn map(out: &mut Vec<u8>, pairs: usize) {
    control(out, TYPE_MAP, pairs);
}

/// A string; longer ones than the format's two-byte sizes can say are cut at a character.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    const BYTES_MAX: usize = SIZE_TWO_BYTES_START + u16::MAX as usize;
    let end = text.floor_char_boundary(BYTES_MAX);
    let bytes = text.as_bytes().get(..end).unwrap_or_default();
    control(out, TYPE_STRING, bytes.len());
    out.extend_from_slice(bytes);
}

/// An unsigned number of up to 32 bits.
pub(super) fn uint32(out: &mut Vec<u8>, value: u32) {
    number(out, TYPE_UINT32, &value.to_be_bytes());
}

fn uint16(out: &mut Vec<u8>, value: u16) {
    number(out, TYPE_UINT16, &value.to_be_bytes());
}

fn uint64(out: &mut Vec<u8>, value: u64) {
    number(out, TYPE_UINT64, &value.to_be_bytes());
}

/// A pointer to a value in the data section.
pub(super) fn pointer(out: &mut Vec<u8>, offset: usize) {
    let (size, value) = if offset < POINTER_TWO_BYTES_END {
        (0_u8, offset)
    } else if offset < POINTER_THREE_BYTES_END {
        (1, offset - POINTER_TWO_BYTES_END)
    } else {
        (2, offset - POINTER_THREE_BYTES_END)
    };
    // A data section is below 2^28 bytes, but the four-byte form holds 27 bits and what the narrower ones hold: enough for 128 MB.
    let [_, a, b, c] = u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    let first = TYPE_POINTER << 5 | size << 3;
    match size {
        0 => out.extend_from_slice(&[first | b, c]),
        1 => out.extend_from_slice(&[first | a, b, c]),
        _ => {
            let high = u8::try_from(value >> 24 & 7).unwrap_or_default();
            out.extend_from_slice(&[first | high, a, b, c]);
        }
    }
}

/// Big-endian without leading zeros: zero has no bytes at all.
fn number(out: &mut Vec<u8>, kind: u8, big_endian: &[u8]) {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let significant = big_endian.get(zeros..).unwrap_or_default();
    control(out, kind, significant.len());
    out.extend_from_slice(significant);
}

fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let extended = kind > 7;
    let high = if extended { 0 } else { kind << 5 };
    let extra: &[u8];
    let (one, two);
    let low = if let Some(inline) = u8::try_from(size).ok().filter(|size| *size < SIZE_ONE_BYTE) {
        extra = &[];
        inline
    } else if let Ok(byte) = u8::try_from(size - usize::from(SIZE_ONE_BYTE)) {
        one = [byte];
        extra = &one;
        SIZE_ONE_BYTE
    } else {
        two = u16::try_from(size - SIZE_TWO_BYTES_START).unwrap_or(u16::MAX).to_be_bytes();
        extra = &two;
        SIZE_TWO_BYTES
    };
    out.push(high | low);
    if extended {
        out.push(kind - 7);
    }
    out.extend_from_slice(extra);
}
