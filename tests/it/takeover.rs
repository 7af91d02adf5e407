//! Two workers of one group that both think they own a partition: only one commits.

use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::pipe::{Pipe, TOPIC, role};
use crate::support::process::value_in;
use crate::support::records::records;
use crate::support::{metric, now, number, wait_until};

/// How long the sleeper holds what it reads before it commits.
const HELD: Duration = Duration::from_secs(8);

const COUNT: &str = "select count(*) from events";

#[test]
fn a_worker_that_was_replaced_while_it_slept_writes_nothing() {
    let kafka = Kafka::start();
    let pipe = Pipe::new(&kafka, "http://127.0.0.1:1");
    // Its successor commits after one second.
    let mut sleeper = role("enrich", &pipe.write_config("sleeper.toml", &kafka, "http://127.0.0.1:1", HELD.as_secs()));
    let metrics = value_in(&sleeper.line_with("health and metrics listening"), "addr");
    kafka.produce(TOPIC, &records("n1", 1, 1001));
    wait_until("the first commit", Duration::from_mins(1), || number(&pipe.data(), COUNT) == 1000);

    kafka.produce(TOPIC, &records("n1", 1001, 3001));
    wait_until("the sleeper holds what it has not committed", Duration::from_secs(30), || {
        metric(&metrics, "whopulls_enrich_waiting") == Some(2000.0)
    });
    sleeper.signal("STOP");
    let stopped = now();
    let mut successor = pipe.start_worker();
    wait_until("the successor's commits", Duration::from_mins(1), || number(&pipe.data(), COUNT) == 3000);
    // Its batch is due when it wakes. It commits then and is refused, or learns first from the group that it was replaced and lets the
    // batch go: on a busy machine either comes first, and neither writes.
    wait_until("its batch is due", Duration::from_secs(20), || stopped.elapsed() > HELD);

    sleeper.signal("CONT");
    sleeper.line_with_any(&["commit refused", "partitions were revoked"]);
    kafka.produce(TOPIC, &records("n1", 3001, 4001));
    wait_until("both go on", Duration::from_mins(1), || number(&pipe.data(), COUNT) >= 4000);
    assert_eq!(number(&pipe.data(), COUNT), 4000);
    assert_eq!(number(&pipe.data(), "select count(distinct path) from events"), 4000);
    sleeper.stop();
    successor.stop();
}

#[test]
fn what_a_forwarder_sends_twice_is_one_event() {
    let kafka = Kafka::start();
    let pipe = Pipe::new(&kafka, "http://127.0.0.1:1");
    let mut worker = pipe.start_worker();
    kafka.produce(TOPIC, &records("n1", 1, 501));
    wait_until("the first five hundred", Duration::from_mins(1), || number(&pipe.data(), COUNT) == 500);
    worker.stop();
    // Sent again by a forwarder that died before it noted the acknowledgement, and read by a worker that was not there then.
    kafka.produce(TOPIC, &records("n1", 301, 801));
    let mut worker = pipe.start_worker();
    wait_until("what is new", Duration::from_mins(1), || number(&pipe.data(), COUNT) >= 800);
    worker.stop();
    assert_eq!(number(&pipe.data(), COUNT), 800);
}
