//! Records of our own schema, one JSON object a line.

use whopulls_schemas::raw::{RawAccess, stamp};
use whopulls_schemas::{RejectReason, Rejected};

/// The record, with its own identity, as line `number` of the file that `node` names. One that was never in a spool has no place of its
/// own and gets the file's.
pub(super) fn parse(line: &[u8], number: u64, node: &str) -> Result<RawAccess, Rejected> {
    let mut record = RawAccess::decode(&stamp(node, number, line)).map_err(without_place)?;
    node.clone_into(&mut record.node);
    record.seq = number;
    Ok(record)
}

/// Refused lines are counted by reason: where in a line JSON ends would make each a reason of its own.
fn without_place(rejected: Rejected) -> Rejected {
    match rejected.reason {
        RejectReason::NotJson => Rejected::whole(RejectReason::NotJson, "not JSON"),
        RejectReason::Oversized => Rejected::whole(RejectReason::Oversized, "longer than a record may be"),
        RejectReason::MissingField
        | RejectReason::InvalidField
        | RejectReason::UnsupportedSchema
        | RejectReason::UnparsableLine => rejected,
    }
}
