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

/// The `seq` of an encoded record that is stamped, without decoding the rest.
pub fn stamped_seq(encoded: &[u8]) -> Option<u64> {
    const SEQ: &[u8] = b"\",\"seq\":";
    let node_and_rest = encoded.strip_prefix(HEAD)?.strip_prefix(NODE)?.strip_prefix(b"\"")?;
    let quote = node_and_rest.iter().position(|byte| *byte == b'"')?;
    let rest = node_and_rest.get(quote..)?.strip_prefix(SEQ)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}
