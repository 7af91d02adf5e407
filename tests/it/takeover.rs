//! Two workers of one group that both think they own a partition: only one commits.

use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::pipe::{Pipe, TOPIC, role};
use crate::support::records::records;
use crate::support::{number, wait_until};

const COUNT: &str = "select count(*) from events";

#[test]
fn a_worker_that_was_replaced_while_it_slept_is_refused() {
    let kafka = Kafka::start();
    let pipe = Pipe::new(&kafka, "http://127.0.0.1:1");
    // The sleeper holds what it reads for eight seconds before it commits; its successor for one.
    let mut sleeper = role("enrich", &pipe.write_config("sleeper.toml", &kafka, "http://127.0.0.1:1", 8));
    kafka.produce(TOPIC, &records("n1", 1, 1001));
    wait_until("the first commit", Duration::from_secs(60), || number(&pipe.data(), COUNT) == 1000);

    kafka.produce(TOPIC, &records("n1", 1001, 3001));
    sleeper.line_with("records wait for the next commit");
    sleeper.signal("STOP");
    let mut successor = pipe.start_worker();
    wait_until("the successor's commits", Duration::from_secs(60), || number(&pipe.data(), COUNT) == 3000);

    sleeper.signal("CONT");
    sleeper.line_with("commit refused");
    kafka.produce(TOPIC, &records("n1", 3001, 4001));
    wait_until("both go on", Duration::from_secs(60), || number(&pipe.data(), COUNT) >= 4000);
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
    wait_until("the first five hundred", Duration::from_secs(60), || number(&pipe.data(), COUNT) == 500);
    worker.stop();
    // Sent again by a forwarder that died before it noted the acknowledgement, and read by a worker that was not there then.
    kafka.produce(TOPIC, &records("n1", 301, 801));
    let mut worker = pipe.start_worker();
    wait_until("what is new", Duration::from_secs(60), || number(&pipe.data(), COUNT) >= 800);
    worker.stop();
    assert_eq!(number(&pipe.data(), COUNT), 800);
}
