//! The soak's short form: the same faults and the same account in twenty seconds.

#[path = "../../../bench/soak/harness/mod.rs"]
mod harness;

use std::time::Duration;

use harness::Plan;
use harness::account::{Account, Answer, Asked, Judged, Recorded, Source, judge};
use harness::schedule::{Fault, schedule};
use harness::verdict::Memory;

use crate::support::{is_here, program};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cache_or_a_fallback_has_is_answered_while_upstreams_misbehave_and_every_answer_is_recorded() {
    if !is_here(&program("docker-registry")) {
        return;
    }
    let plan = Plan {
        seed: 1,
        calibration: Duration::from_secs(2),
        duration: Duration::from_secs(20),
        fault: Duration::from_millis(1200),
        connections: 32,
        // Other tests run beside it.
        rate_max: 300,
        // Longer than a busy machine makes a registry wait, shorter than the longest fault.
        upstream_timeout: Duration::from_secs(3),
        memory_every: Duration::from_millis(250),
        // In twenty seconds memory is still growing to what it needs: connections, caches, tokens.
        memory_slack_bytes: 8 << 20,
        gateway: env!("CARGO_BIN_EXE_whopulls-gateway").into(),
        without: Vec::new(),
    };
    let verdict = harness::run(plan).await;
    assert!(verdict.faulty.is_empty(), "{verdict}");
}

#[test]
fn only_a_thing_that_nobody_had_may_fail() {
    let error = Answer::Status(502);
    assert_eq!(judge(Source::Alone, false, true, &error), Judged::Unavoidable);
    for (source, seen, disturbed) in [
        (Source::Both, false, true),
        (Source::Rule, false, true),
        (Source::Alone, true, true),
        (Source::Alone, false, false),
    ] {
        assert_eq!(judge(source, seen, disturbed, &error), Judged::Violation);
        assert_eq!(judge(source, seen, disturbed, &Answer::Good), Judged::Good);
    }
    for never in [Answer::Wrong("x".into()), Answer::NoHead("x".into()), Answer::Status(404)] {
        assert_eq!(judge(Source::Alone, false, true, &never), Judged::Violation);
    }
}

#[test]
fn every_answered_request_has_one_record() {
    let account = Account::new(1);
    let asked = |id| Asked {
        id,
        ask: 0,
        kind: "k",
        what: "w",
        source: Source::Both,
        seen: false,
        disturbed: false,
        took_ms: 1,
        at_ms: 1,
    };
    for id in [0, 1, 70] {
        account.enter(&asked(id), &Answer::Good);
    }
    account.enter(&asked(71), &Answer::NoHead("reset".into()));
    let mut recorded = Recorded::default();
    for id in [0, 70, 70, 71] {
        recorded.enter(Some(id), "proxied", false);
    }
    recorded.enter(None, "proxied", true);
    let log = account.log();
    assert_eq!((recorded.missing(&log), recorded.twice, recorded.unanswered(&log), recorded.foreign), (1, 1, 1, 1));
    assert_eq!((log.violations_count, log.rows["k"].good), (1, 3));
    assert!(account.has_seen(0));
}

#[test]
fn a_seed_decides_and_every_fault_comes() {
    let (duration, fault) = (Duration::from_secs(20), Duration::from_secs(1));
    let steps = schedule(1, duration, fault);
    assert_eq!(steps, schedule(1, duration, fault));
    assert_ne!(steps, schedule(2, duration, fault));
    assert_eq!(steps.iter().map(|step| step.lasts).sum::<Duration>(), duration);
    let names: std::collections::BTreeSet<_> = steps.iter().map(|step| step.fault.name()).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    let pairs: Vec<_> =
        steps.windows(2).map(|pair| (pair[0].fault == Fault::Quiet, pair[1].fault == Fault::Quiet)).collect();
    assert!(pairs.iter().all(|(first, second)| first != second), "a fault is not followed by quiet");
}

#[test]
fn memory_is_flat_when_the_last_third_needs_no_more_than_a_tenth_more() {
    let flat = Memory::of(&[10, 50, 100, 100, 100, 110, 110, 300, 110]);
    assert_eq!((flat.middle_third, flat.last_third, flat.max), (100, 110, 300));
    assert!(flat.is_flat(0));
    let rising = Memory::of(&[10, 50, 100, 100, 100, 110, 111, 111, 120]);
    assert!(!rising.is_flat(0) && rising.is_flat(1));
}
