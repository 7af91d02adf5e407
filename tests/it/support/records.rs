//! Raw records as anyone may produce them.

use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Kind, RawAccess};

/// A key and a record: the `seq`-th of a node, for one of a hundred clients.
pub(crate) fn record(node: &str, seq: u64) -> (String, Vec<u8>) {
    let path = format!("/files/load/{node}-{seq}.tar.gz");
    let ts = UnixMicros(1_790_000_000_000_000 + i64::try_from(seq).expect("a small number"));
    let id = Uuid::from_u128(u128::from(seq) << 64 | node.bytes().map(u128::from).sum::<u128>());
    let client = seq % 100;
    let record = RawAccess {
        node: node.to_owned(),
        seq,
        client_ip: Some(format!("198.51.100.{client}").parse().expect("an address")),
        package: Some("load".to_owned()),
        ..RawAccess::new(id, ts, Kind::File, "GET", &path, 302)
    };
    (client.to_string(), record.encode())
}

/// Records `from..to` of a node.
pub(crate) fn records(node: &str, from: u64, to: u64) -> Vec<(String, Vec<u8>)> {
    (from..to).map(|seq| record(node, seq)).collect()
}
