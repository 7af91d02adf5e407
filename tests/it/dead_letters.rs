//! Bad records on the topic: kept with their reason, counted, and the pipe goes on.

use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::pipe::{Pipe, TOPIC};
use crate::support::process::value_in;
use crate::support::records::{record, records};
use crate::support::{metrics, number, wait_until};

#[test]
fn bad_records_are_kept_with_their_reason_and_the_pipe_goes_on() {
    let kafka = Kafka::start();
    let pipe = Pipe::new(&kafka, "http://127.0.0.1:1");
    let mut worker = pipe.start_worker();
    let address = value_in(&worker.line_with("health and metrics listening"), "addr");

    let wrong_schema = String::from_utf8(record("n1", 7).1).expect("text").replacen("\"schema\":1", "\"schema\":9", 1);
    let oversized = format!("{{\"schema\":1,\"path\":\"{}\"}}", "x".repeat(300 * 1024));
    let mut sent = records("n1", 1, 6);
    for bad in ["not JSON at all".to_owned(), oversized, wrong_schema] {
        sent.push(("1".to_owned(), bad.into_bytes()));
    }
    sent.extend(records("n1", 10, 15));
    kafka.produce(TOPIC, &sent);
    wait_until("the good ones", Duration::from_mins(1), || number(&pipe.data(), "select count(*) from events") == 10);

    let letters = kafka.consume("access.dead", 3);
    assert_eq!(letters.len(), 3);
    for reason in ["not_json", "oversized", "unsupported_schema"] {
        let kept = letters.iter().find(|letter| letter.headers.iter().any(|(_, value)| value.contains(reason)));
        let letter = kept.unwrap_or_else(|| panic!("no letter says {reason}"));
        assert!(!letter.payload.is_empty(), "the bytes are kept");
        for header in ["topic", "partition", "offset", "reason"] {
            assert!(letter.headers.iter().any(|(key, _)| key == header), "{header} in {:?}", letter.headers);
        }
    }
    let text = metrics(&address);
    for reason in ["not_json", "oversized", "unsupported_schema"] {
        let counted = text.lines().find(|line| line.contains("rejected") && line.contains(reason));
        assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{reason} in\n{text}");
    }
    worker.stop();
}
