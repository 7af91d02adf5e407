//! Properties of the collector against a model of the table: whatever is resent, refused, taken over or killed, each record
//! is in the table once or among the dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use whopulls_enrich::lake::Step;
use whopulls_enrich::worker::FlushLimits;
use whopulls_enrich::worker::collect::{Action, Batch, Collector, Content, Incoming, Verdict};
use whopulls_enrich::worker::source::{Offset, Partition};
use whopulls_schemas::{RejectReason, Rejected, UnixMicros};

use crate::support::offset;

const NODES: [&str; 3] = ["a", "b", "c"];

/// What stands at one offset.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stored {
    Good(usize, u64),
    Bad,
}

/// What a forwarder does, by node.
#[derive(Debug, Clone)]
enum Sent {
    New(usize),
    /// Its cursor was lost: the last so many go again, in order.
    Again(usize, u64),
    Bad,
}

/// What happens at a flush.
#[derive(Debug, Clone)]
enum Fate {
    Committed,
    /// The worker dies before the commit: another starts from the table.
    KilledBefore,
    /// The worker dies right after it.
    KilledAfter,
    /// Another worker has committed so many records of each partition before.
    Overtaken(usize),
    /// A rebalance in the middle.
    Rebalanced,
}

fn log() -> impl Strategy<Value = Vec<Stored>> {
    let sent = prop_oneof![
        6 => (0..NODES.len()).prop_map(Sent::New),
        2 => (0..NODES.len(), 1..6_u64).prop_map(|(node, count)| Sent::Again(node, count)),
        1 => Just(Sent::Bad),
    ];
    prop::collection::vec(sent, 0..60).prop_map(|sent| {
        let mut next = [1_u64; NODES.len()];
        let mut log = Vec::new();
        for sent in sent {
            match sent {
                Sent::New(node) => {
                    log.push(Stored::Good(node, next[node]));
                    next[node] += 1;
                }
                Sent::Again(node, count) => {
                    let from = next[node].saturating_sub(count).max(1);
                    log.extend((from..next[node]).map(|seq| Stored::Good(node, seq)));
                }
                Sent::Bad => log.push(Stored::Bad),
            }
        }
        log
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Committed),
        1 => Just(Fate::KilledBefore),
        1 => Just(Fate::KilledAfter),
        1 => (1..8_usize).prop_map(Fate::Overtaken),
        1 => Just(Fate::Rebalanced),
    ]
}

type Row = (Partition, usize, u64);

/// The table and the dead-letter topic.
#[derive(Debug, Default)]
struct Table {
    positions: BTreeMap<Partition, Offset>,
    seqs: BTreeMap<(Partition, String), u64>,
    rows: Vec<Row>,
    letters: BTreeSet<(Partition, Offset)>,
    counted: u64,
}

impl Table {
    /// The conditional commit.
    fn commit(&mut self, batch: Batch<Row>) -> bool {
        self.letters.extend(batch.letters.iter().map(|letter| (letter.partition, letter.offset)));
        if batch.steps.iter().any(|(partition, step)| self.positions.get(partition).copied() != step.base) {
            return false;
        }
        let moved: i64 = batch.steps.values().map(|step| step.next - step.base.unwrap_or(0)).sum();
        self.counted += u64::try_from(moved).expect("positions move forward");
        let tally = batch.rows.len() as u64 + batch.resent_count + batch.refused.values().sum::<u64>();
        assert_eq!(tally, u64::try_from(moved).expect("positive"), "in = out + rejected + resent");
        for (partition, Step { next, seqs, .. }) in batch.steps {
            self.positions.insert(partition, next);
            self.seqs.extend(seqs.into_iter().map(|(node, seq)| ((partition, node), seq)));
        }
        self.rows.extend(batch.rows);
        true
    }

    fn positions(&self, partitions: usize) -> BTreeMap<Partition, Option<Offset>> {
        (0..partitions)
            .map(partition_of)
            .map(|partition| (partition, self.positions.get(&partition).copied()))
            .collect()
    }
}

fn partition_of(index: usize) -> Partition {
    Partition::try_from(index).expect("a small number")
}

fn limits(rows_max: usize) -> FlushLimits {
    FlushLimits { rows_max, bytes_max: usize::MAX, age_max: Duration::from_hours(1) }
}

/// Hands the next record of some partition to the collector, as the loop does.
fn feed(collector: &mut Collector<Row>, table: &Table, partition: Partition, at: usize, stored: &Stored) -> Verdict {
    let content = match stored {
        Stored::Bad => Content::Refused(Rejected::whole(RejectReason::NotJson, "bad"), Bytes::from_static(b"bad")),
        &Stored::Good(node, seq) => {
            if collector.needs_seq(partition, NODES[node]) {
                let last = table.seqs.get(&(partition, NODES[node].to_owned())).copied();
                collector.handle_seq(partition, NODES[node], last);
            }
            Content::Row { node: NODES[node].to_owned(), seq, row: (partition, node, seq) }
        }
    };
    collector.handle_record(UnixMicros(0), Incoming { partition, offset: offset(at), byte_count: 1, content })
}

/// Another worker that does everything right, for one flush.
fn rival(table: &mut Table, logs: &[Vec<Stored>], count: usize) {
    let mut collector = Collector::new("t", limits(usize::MAX));
    collector.handle_assigned(&table.positions(logs.len()));
    for (index, log) in logs.iter().enumerate() {
        let partition = partition_of(index);
        let from = usize::try_from(table.positions.get(&partition).copied().unwrap_or(0)).expect("a position");
        for (at, stored) in log.iter().enumerate().skip(from).take(count) {
            feed(&mut collector, table, partition, at, stored);
        }
    }
    collector.handle_drain();
    if let Some(Action::Flush(batch)) = collector.poll_action(UnixMicros(0)) {
        assert!(table.commit(batch));
    }
}

/// Runs workers over the logs until everything is committed; the fates are used up one for each flush.
fn run(logs: &[Vec<Stored>], fates: &[Fate], rows_max: usize, slab: usize) -> Table {
    let mut table = Table::default();
    let mut fates = fates.iter();
    let mut collector = Collector::new("t", limits(rows_max));
    let mut cursors = restart(&mut collector, &table, logs);
    loop {
        for (index, log) in logs.iter().enumerate() {
            let stop = log.len().min(cursors[index] + slab);
            for (at, stored) in log.iter().enumerate().take(stop).skip(cursors[index]) {
                feed(&mut collector, &table, partition_of(index), at, stored);
            }
            cursors[index] = stop;
        }
        let at_the_end = cursors.iter().zip(logs).all(|(&cursor, log)| cursor == log.len());
        if at_the_end {
            collector.handle_drain();
        }
        match collector.poll_action(UnixMicros(0)) {
            None => {}
            Some(Action::Stop) => return table,
            Some(Action::Flush(batch)) => match fates.next().unwrap_or(&Fate::Committed) {
                Fate::Committed => {
                    assert!(table.commit(batch));
                    collector.handle_committed();
                }
                Fate::Overtaken(count) => {
                    rival(&mut table, logs, *count);
                    if table.commit(batch) {
                        collector.handle_committed();
                    } else {
                        cursors = restart(&mut collector, &table, logs);
                    }
                }
                fate @ (Fate::KilledBefore | Fate::KilledAfter) => {
                    if matches!(fate, Fate::KilledAfter) {
                        assert!(table.commit(batch));
                    }
                    collector = Collector::new("t", limits(rows_max));
                    cursors = restart(&mut collector, &table, logs);
                }
                Fate::Rebalanced => cursors = restart(&mut collector, &table, logs),
            },
        }
    }
}

fn restart(collector: &mut Collector<Row>, table: &Table, logs: &[Vec<Stored>]) -> Vec<usize> {
    let positions = table.positions(logs.len());
    collector.handle_assigned(&positions);
    positions.values().map(|at| usize::try_from(at.unwrap_or(0)).expect("a position")).collect()
}

proptest! {
    #[test]
    fn each_record_is_in_the_table_once_whatever_happens(
        logs in prop::collection::vec(log(), 1..4),
        fates in prop::collection::vec(fate(), 0..20),
        rows_max in 1..30_usize,
        slab in 1..12_usize,
    ) {
        let mut table = run(&logs, &fates, rows_max, slab);
        let expected: BTreeSet<Row> = logs.iter().enumerate().flat_map(|(index, log)| {
            log.iter().filter_map(move |stored| match stored {
                &Stored::Good(node, seq) => Some((partition_of(index), node, seq)),
                Stored::Bad => None,
            })
        }).collect();
        table.rows.sort_unstable();
        prop_assert_eq!(&table.rows, &expected.into_iter().collect::<Vec<_>>());
        let bad = |(index, log): (usize, &Vec<Stored>)| {
            let bad = log.iter().enumerate().filter(|(_, stored)| **stored == Stored::Bad);
            bad.map(|(at, _)| (partition_of(index), offset(at))).collect::<Vec<_>>()
        };
        let bad: BTreeSet<_> = logs.iter().enumerate().flat_map(bad).collect();
        prop_assert_eq!(&table.letters, &bad);
        prop_assert_eq!(table.counted, logs.iter().map(Vec::len).sum::<usize>() as u64);
    }
}

fn good(partition: Partition, at: Offset, seq: u64) -> Incoming<Row> {
    let content = Content::Row { node: "a".to_owned(), seq, row: (partition, 0, seq) };
    Incoming { partition, offset: at, byte_count: 10, content }
}

#[test]
fn a_batch_is_due_by_rows_by_bytes_and_by_age() {
    let limits = FlushLimits { rows_max: 3, bytes_max: 25, age_max: Duration::from_secs(5) };
    let fill = |records: std::ops::Range<i64>| {
        let mut collector = Collector::new("t", limits);
        collector.handle_assigned(&BTreeMap::from([(0, None)]));
        for at in records {
            let mut incoming = good(0, at, u64::try_from(at).expect("positive") + 1);
            incoming.byte_count = if at < 2 { 1 } else { 10 };
            collector.handle_record(UnixMicros(1_000_000), incoming);
        }
        collector
    };
    assert!(fill(0..0).poll_action(UnixMicros(i64::MAX)).is_none(), "nothing is not a batch");
    assert!(fill(0..2).poll_action(UnixMicros(5_999_999)).is_none());
    assert!(fill(0..2).poll_action(UnixMicros(6_000_000)).is_some(), "by age");
    assert!(fill(0..3).poll_action(UnixMicros(1_000_000)).is_some(), "by rows");
    let mut heavy = fill(0..1);
    let mut incoming = good(0, 1, 2);
    incoming.byte_count = 24;
    heavy.handle_record(UnixMicros(1_000_000), incoming);
    assert!(heavy.poll_action(UnixMicros(1_000_000)).is_some(), "by bytes");
    assert_eq!(fill(0..1).wait(UnixMicros(3_000_000)), Some(Duration::from_secs(3)));
}

#[test]
fn records_of_a_lost_or_passed_position_do_not_count() {
    let mut collector = Collector::new("t", limits(10));
    collector.handle_assigned(&BTreeMap::from([(0, Some(5))]));
    assert_eq!(collector.handle_record(UnixMicros(0), good(1, 0, 1)), Verdict::Ignored);
    assert_eq!(collector.handle_record(UnixMicros(0), good(0, 4, 1)), Verdict::Ignored);
    assert_eq!(collector.handle_record(UnixMicros(0), good(0, 5, 2)), Verdict::Kept);
    assert_eq!(collector.handle_record(UnixMicros(0), good(0, 6, 2)), Verdict::Resent);
}

#[test]
fn a_new_assignment_voids_what_was_collected_under_the_old_one() {
    let mut collector = Collector::new("t", limits(10));
    collector.handle_assigned(&BTreeMap::from([(0, None)]));
    collector.handle_record(UnixMicros(0), good(0, 0, 1));
    collector.handle_assigned(&BTreeMap::from([(1, Some(7))]));
    collector.handle_drain();
    assert_eq!(collector.poll_action(UnixMicros(0)), Some(Action::Stop));
    assert!(collector.needs_seq(1, "a"), "the table is asked again");
}

#[test]
fn it_stops_at_the_end_of_the_source_and_not_before_all_is_committed() {
    let mut collector = Collector::new("t", limits(100));
    collector.handle_assigned(&BTreeMap::from([(0, None)]));
    assert_eq!(collector.poll_action(UnixMicros(0)), None);
    collector.handle_record(UnixMicros(0), good(0, 0, 1));
    assert_eq!(collector.poll_action(UnixMicros(0)), None);
    collector.handle_record(UnixMicros(0), good(0, 1, 2));
    collector.handle_drain();
    assert!(matches!(collector.poll_action(UnixMicros(0)), Some(Action::Flush(_))));
    // The commit was refused: what is read again may have more behind it.
    collector.handle_assigned(&BTreeMap::from([(0, None)]));
    assert_eq!(collector.poll_action(UnixMicros(0)), None);
    collector.handle_record(UnixMicros(0), good(0, 0, 1));
    collector.handle_drain();
    assert!(matches!(collector.poll_action(UnixMicros(0)), Some(Action::Flush(_))));
    collector.handle_committed();
    assert_eq!(collector.poll_action(UnixMicros(0)), Some(Action::Stop));
}
