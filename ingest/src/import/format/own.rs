//! Records of our own schema, one JSON object a line.

use whopulls_schemas::Rejected;
use whopulls_schemas::raw::{RawAccess, stamp};

/// The record, with its own identity, as line `number` of the file that `node` names. One that was never in a spool has no place of its
/// own and gets the file's.
pub(super) fn parse(line: &[u8], number: u64, node: &str) -> Result<RawAccess, Rejected> {
    let mut record = RawAccess::decode(&stamp(node, number, line))?;
    node.clone_into(&mut record.node);
    record.seq = number;
    Ok(record)
}
