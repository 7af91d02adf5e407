//! What is refused, by which field, and that a refusal never repeats the value.

use serde_json::{Value, json};
use whopulls_schemas::RejectReason::{self, InvalidField, MissingField, NotJson, Oversized, UnsupportedSchema};
use whopulls_schemas::raw::{RAW_RECORD_BYTES_MAX, RawAccess, TEXT_BYTES_MAX};

fn good() -> Value {
    json!({"schema": 1, "node": "n", "seq": 1, "id": "018f3c1e-7c13-7abc-8def-0123456789ab", "ts": 1, "method": "GET",
           "path": "/", "status": 200, "kind": "file", "client_ip": "198.51.100.7"})
}

#[track_caller]
fn check(field: &str, value: Value, reason: RejectReason) {
    let mut record = good();
    record[field] = value;
    let rejected = RawAccess::decode(record.to_string().as_bytes()).expect_err("a bad field");
    assert_eq!((rejected.reason, rejected.field.as_deref()), (reason, Some(field)), "{rejected}");
}

#[test]
fn a_bad_field_is_named() {
    check("schema", json!(2), UnsupportedSchema);
    check("schema", json!("1"), UnsupportedSchema);
    check("node", json!(""), MissingField);
    check("node", json!("a/b"), InvalidField);
    check("seq", json!(0), MissingField);
    check("seq", json!(-1), InvalidField);
    check("seq", json!(u64::MAX), InvalidField);
    check("id", json!("not a uuid"), InvalidField);
    check("ts", json!("yesterday"), InvalidField);
    check("ts", json!(-1), InvalidField);
    check("ts", json!(i64::MAX), InvalidField);
    check("status", json!(99), InvalidField);
    check("status", json!(70_000), InvalidField);
    check("kind", json!("tape"), InvalidField);
    check("client_ip", json!("198.51.100.777"), InvalidField);
    check("outcome", json!(5), InvalidField);
    check("path", json!("x".repeat(TEXT_BYTES_MAX + 1)), InvalidField);
    check("user_agent", json!("x".repeat(TEXT_BYTES_MAX + 1)), InvalidField);
    check("children", json!([{"platform": "linux/amd64"}]), InvalidField);
}

#[track_caller]
fn check_whole(bytes: &[u8], reason: RejectReason) {
    let rejected = RawAccess::decode(bytes).expect_err("not a record");
    assert_eq!(rejected.reason, reason, "{rejected}");
}

#[test]
fn what_is_no_record_is_refused_as_a_whole() {
    check_whole(b"", NotJson);
    check_whole(b"{\"schema\":1", NotJson);
    check_whole(b"[]", NotJson);
    check_whole(b"\xff\xfe", NotJson);
    check_whole(b"{}", MissingField);
    check_whole(&vec![b' '; RAW_RECORD_BYTES_MAX + 1], Oversized);
}

#[test]
fn unknown_fields_are_ignored() {
    let mut record = good();
    record["invented_later"] = json!({"deep": [1]});
    assert!(RawAccess::decode(record.to_string().as_bytes()).is_ok());
}

#[test]
fn a_refusal_does_not_repeat_the_value() {
    let mut record = good();
    record["status"] = json!("198.51.100.7");
    let rejected = RawAccess::decode(record.to_string().as_bytes()).expect_err("a status is a number");
    assert!(!rejected.to_string().contains("198.51"), "{rejected}");
}
