//! Gateway process, broker, worker process, table: every request is an event, once.

use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::load::Load;
use crate::support::pipe::Pipe;
use crate::support::registry::Registry;
use crate::support::{number, query, repository, wait_until};

#[test]
fn ten_thousand_requests_are_ten_thousand_events() {
    let (kafka, registry) = (Kafka::start(), Registry::start());
    registry.push("acme/app", "1.0");
    let pipe = Pipe::new(&kafka, &registry.url());
    let mut gateway = pipe.start_gateway();
    let mut worker = pipe.start_worker();
    let load = Load::new(pipe.gateway(), "load", 16, 10_000);
    load.run();
    let list = load.list();
    assert_eq!((list.answered.len(), list.unanswered.len()), (10_000, 0));
    pipe.check(&list, &[&gateway, &worker]);
    let actions = query(&pipe.data(), "select action, count(*) from events group by action order by action");
    assert_eq!(actions, [["download", "5000"], ["pull", "5000"]]);
    gateway.stop();
    worker.stop();
    independent_readers_agree(&pipe);
}

/// DuckDB reads the files that another Delta reader lists, and counts the same.
fn independent_readers_agree(pipe: &Pipe) {
    let lake = pipe.data().join("lake");
    let script = repository().join("tests/it/organizations_by_duckdb.py");
    let output = std::process::Command::new(repository().join("scripts/python"))
        .arg(script)
        .arg(&lake)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = String::from_utf8(output.stdout).expect("text");
    let ours = query(
        &pipe.data(),
        "select coalesce(org_id, network_kind, 'none') as who, action, count(*), count(distinct endpoint_id) \
         from events group by 1, 2 order by 1, 2",
    );
    let theirs: Vec<Vec<String>> = theirs.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    assert!(!theirs.is_empty());
    assert_eq!(ours, theirs);
}

#[test]
fn a_gateway_without_a_broker_answers_and_forwards_later() {
    let (kafka, registry) = (Kafka::start(), Registry::start());
    registry.push("acme/app", "1.0");
    let pipe = Pipe::new(&kafka, &registry.url());
    kafka.kill();
    let gateway = pipe.start_gateway();
    let load = Load::new(pipe.gateway(), "load", 8, 500);
    load.run();
    let list = load.list();
    assert_eq!(list.answered.len(), 500, "a broker that is away takes no download");
    kafka.restart();
    let worker = pipe.start_worker();
    pipe.check(&list, &[&gateway, &worker]);
    wait_until("nothing is added later", Duration::from_secs(5), || {
        number(&pipe.data(), "select count(*) from events") == 500
    });
}
