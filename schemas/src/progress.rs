//! The names under which a Delta commit records how far a source has been read.
//!
//! `whopulls/<topic>/<partition>` holds the next offset to read; `whopulls/<topic>/<partition>/<node>` holds the last `seq`
//! taken from that node in that partition. Both stand in the same commit as the files that hold the rows.

const PREFIX: &str = "whopulls";

/// The application id whose version is the next offset to read of a partition.
pub fn partition_app_id(topic: &str, partition: i32) -> String {
    format!("{PREFIX}/{topic}/{partition}")
}

/// The application id whose version is the last `seq` taken from `node` in a partition.
pub fn node_app_id(topic: &str, partition: i32, node: &str) -> String {
    format!("{PREFIX}/{topic}/{partition}/{node}")
}

/// The node in an application id of this partition; `None` for every other id.
pub fn node_of<'a>(app_id: &'a str, topic: &str, partition: i32) -> Option<&'a str> {
    app_id
        .strip_prefix(PREFIX)?
        .strip_prefix('/')?
        .strip_prefix(topic)?
        .strip_prefix('/')?
        .split_once('/')
        .and_then(|(number, node)| (number.parse() == Ok(partition) && !node.is_empty()).then_some(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_again_in_its_own_partition_only() {
        let id = node_app_id("access.raw", 3, "n1");
        assert_eq!(node_of(&id, "access.raw", 3), Some("n1"));
        assert_eq!(node_of(&id, "access.raw", 4), None);
        assert_eq!(node_of(&id, "access", 3), None);
        assert_eq!(node_of(&partition_app_id("access.raw", 3), "access.raw", 3), None);
    }
}
