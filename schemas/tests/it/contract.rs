//! Golden messages, the JSON Schema and the decoder agree.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{
    Child, Claim, ClaimBy, ClientIpSource, HttpVersion, Kind, Outcome, RawAccess, RawAccessView, stamp, stamped_seq,
};

const SCHEMA: &str = include_str!("../../raw-access.schema.json");

fn golden() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let entries = std::fs::read_dir(folder).expect("the golden folder is in the repository");
    entries
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            (path.display().to_string(), std::fs::read_to_string(&path).expect("a readable file"))
        })
        .collect()
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is a JSON Schema")
}

#[test]
fn every_golden_message_is_read_and_written_back_the_same() {
    let golden = golden();
    assert!(golden.len() >= 4, "golden messages are kept for ever");
    for (name, text) in golden {
        let record = RawAccess::decode(text.as_bytes()).unwrap_or_else(|rejected| panic!("{name}: {rejected}"));
        let written: Value = serde_json::from_slice(&record.encode()).expect("JSON");
        let original: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(written, original, "{name}");
    }
}

#[test]
fn every_golden_message_keeps_the_json_schema() {
    let validator = validator();
    for (name, text) in golden() {
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert!(
            validator.is_valid(&value),
            "{name}: {:?}",
            validator.iter_errors(&value).map(|e| e.to_string()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_json_schema_requires_what_the_decoder_requires() {
    let validator = validator();
    for name in ["schema", "node", "seq", "id", "ts", "method", "path", "status", "kind"] {
        let mut value: Value = serde_json::from_str(&golden()[0].1).expect("JSON");
        value.as_object_mut().expect("an object").remove(name);
        assert!(!validator.is_valid(&value), "{name}");
        let rejected = RawAccess::decode(value.to_string().as_bytes()).expect_err("a required field is absent");
        assert_eq!(rejected.field.as_deref(), Some(name), "{rejected}");
    }
}

#[test]
fn a_stamp_is_added_once_and_never_over_another() {
    let mut record = RawAccess::new(Uuid::nil(), UnixMicros(7), Kind::File, "GET", "/a", 200);
    let stamped = stamp("n1", 9, &record.encode());
    assert_eq!(stamp("n2", 10, &stamped), stamped);
    record.node = "n1".to_owned();
    record.seq = 9;
    assert_eq!(RawAccess::decode(&stamped), Ok(record));
    assert_eq!(stamp("n1", 9, b"noise"), b"noise");
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect())
}

prop_compose! {
    fn record()(
        node in "[a-z0-9-]{1,36}", seq in 1..i64::MAX as u64, id in any::<u128>(), ts in 0..UnixMicros::MAX.0,
        texts in proptest::collection::vec(proptest::option::of(text()), 12),
        (status, bytes, duration_us) in (100u16..600, any::<u64>(), any::<u64>()),
        ip in proptest::option::of(any::<std::net::IpAddr>()),
        words in (0usize..4, 0usize..8, proptest::option::of(0usize..7), proptest::option::of(0usize..4)),
        flags in any::<[bool; 3]>(),
        vars in proptest::collection::btree_map(text(), text(), 0..4),
        children in proptest::collection::vec((text(), proptest::option::of(text())), 0..3),
        (range_start, upstream_status) in (proptest::option::of(any::<u64>()), proptest::option::of(any::<u16>())),
        claim in proptest::option::of((text(), text(), 0usize..2)),
    ) -> RawAccess {
        let text = |at: usize| texts[at].clone();
        RawAccess {
            node, seq, status, bytes, duration_us, client_ip: ip, range_start, upstream_status,
            host: text(0), user_agent: text(1), referer: text(2), accept: text(3), route: text(4), package: text(5),
            version: text(6), repository: text(7), reference: text(8), digest: text(9), media_type: text(10), ns: text(11),
            query: vars.clone(), vars, dnt: flags[0], gpc: flags[1], tls: flags[2],
            client_ip_source: ClientIpSource::ALL[words.0], outcome: words.2.map(|at| Outcome::ALL[at]),
            http_version: words.3.map(|at| HttpVersion::ALL[at]),
            children: children.into_iter().map(|(digest, platform)| Child { digest, platform }).collect(),
            claim: claim.map(|(organization, name, by)| Claim { organization, name, by: ClaimBy::ALL[by] }),
            body: Some(json!({"a": [1, 2.5, null]})),
            ..RawAccess::new(Uuid::from_u128(id), UnixMicros(ts), Kind::ALL[words.1], "GET", "/x", 200)
        }
    }
}

/// Everything of a record that a view of it can say.
fn view_of<'a>(
    record: &'a RawAccess,
    query: &'a [(&'a str, &'a str)],
    vars: &'a [(&'a str, &'a str)],
) -> RawAccessView<'a> {
    RawAccessView {
        host: record.host.as_deref(),
        query,
        bytes: record.bytes,
        duration_us: record.duration_us,
        client_ip: record.client_ip,
        client_ip_source: record.client_ip_source,
        user_agent: record.user_agent.as_deref(),
        referer: record.referer.as_deref(),
        accept: record.accept.as_deref(),
        dnt: record.dnt,
        gpc: record.gpc,
        http_version: record.http_version,
        tls: record.tls,
        route: record.route.as_deref(),
        package: record.package.as_deref(),
        version: record.version.as_deref(),
        range_start: record.range_start,
        ns: record.ns.as_deref(),
        outcome: record.outcome,
        claim: record.claim.as_ref(),
        vars,
        ..RawAccessView::new(record.id, record.ts, record.kind, &record.method, &record.path, record.status)
    }
}

proptest! {
    #[test]
    fn encode_then_decode_is_identity(record in record()) {
        prop_assert_eq!(RawAccess::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_view_is_encoded_as_the_record_that_it_shows(mut record in record()) {
        let unstamped = RawAccess::new(record.id, record.ts, record.kind, &record.method, &record.path, record.status);
        (record.node, record.seq, record.body) = (unstamped.node, unstamped.seq, unstamped.body);
        (record.repository, record.reference, record.digest, record.media_type) = (None, None, None, None);
        (record.children, record.upstream, record.upstream_status) = (Vec::new(), None, None);
        let query: Vec<(&str, &str)> = record.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let vars: Vec<(&str, &str)> = record.vars.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let view = view_of(&record, &query, &vars);
        let mut encoded = b"before".to_vec();
        view.encode_into(&mut encoded);
        let expected = [b"before".as_slice(), &record.encode()].concat();
        prop_assert_eq!(String::from_utf8_lossy(&encoded), String::from_utf8_lossy(&expected));
        prop_assert_eq!(view.to_owned(), record);
    }

    #[test]
    fn what_is_encoded_keeps_the_json_schema(record in record()) {
        let value: Value = serde_json::from_slice(&record.encode()).expect("JSON");
        prop_assert!(validator().is_valid(&value));
    }

    #[test]
    fn any_bytes_decode_or_are_rejected(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(RawAccess::decode(&bytes).is_err());
    }

    #[test]
    fn a_stamped_record_is_the_record_with_node_and_seq(record in record()) {
        let unstamped = RawAccess { node: String::new(), seq: 0, ..record.clone() };
        let stamped = stamp(&record.node, record.seq, &unstamped.encode());
        prop_assert_eq!(stamped_seq(&unstamped.encode()), None);
        prop_assert_eq!(stamped_seq(&stamped), Some(record.seq));
        prop_assert_eq!(RawAccess::decode(&stamped), Ok(record));
    }
}
