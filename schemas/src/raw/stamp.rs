//! Adding `node` and `seq` to a record that the gateway encoded before it knew its position.

/// What every record of ours begins with.
const HEAD: &[u8] = b"{\"schema\":1,";
const NODE: &[u8] = b"\"node\":";

/// Adds `node` and `seq` behind the head of an encoded record. A record that already has them (an import's), or that is not
/// one of ours, is returned as it is: decoding says what is wrong with the latter.
pub fn stamp(node: &str, seq: u64, encoded: &[u8]) -> Vec<u8> {
    let Some(rest) = encoded.strip_prefix(HEAD).filter(|rest| !rest.starts_with(NODE)) else {
        return encoded.to_vec();
    };
    let mut out = Vec::with_capacity(encoded.len() + node.len() + 40);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(NODE);
    out.push(b'"');
    out.extend_from_slice(node.as_bytes());
    out.extend_from_slice(b"\",\"seq\":");
    out.extend_from_slice(seq.to_string().as_bytes());
    out.push(b',');
    out.extend_from_slice(rest);
    out
}
