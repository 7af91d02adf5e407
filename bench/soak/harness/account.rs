//! What was asked, answered and recorded. Whether an error could have been saved is decided here, without a socket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where the thing that is asked for is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// In the gateway itself: a redirect by rule.
    Rule,
    /// In both registries.
    Both,
    /// In the first registry alone.
    Alone,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What should.
    Good,
    /// A status that is none of the thing's.
    Status(u16),
    /// A good status with something else.
    Wrong(String),
    /// A head and then a broken body.
    BrokenBody(String),
    /// No head.
    NoHead(String),
}

impl Answer {
    /// The gateway sent a head, so there must be a record.
    pub(crate) fn has_head(&self) -> bool {
        !matches!(self, Self::NoHead(_))
    }
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It is what it should be.
    Good,
    /// Nobody could have answered: the only source was disturbed, and the thing had never been seen.
    Unavoidable,
    /// A cache or the fallback could have saved it, or it is plainly wrong.
    Violation,
}

/// The rule of this harness.
pub(crate) fn judge(source: Source, seen: bool, disturbed: bool, answer: &Answer) -> Judged {
    let error = match answer {
        Answer::Good => return Judged::Good,
        // Other bytes than the registry's are never an excuse.
        Answer::Wrong(_) => return Judged::Violation,
        Answer::Status(status) => *status >= 500,
        Answer::BrokenBody(_) => true,
        // The gateway itself is never disturbed: it always has an answer.
        Answer::NoHead(_) => false,
    };
    if error && source == Source::Alone && !seen && disturbed { Judged::Unavoidable } else { Judged::Violation }
}

/// Every request of a run. Ids are given in order, so that the whole account is some bits for each.
#[derive(Debug)]
pub(crate) struct Account {
    next_id: AtomicU64,
    seen: Vec<AtomicBool>,
    log: Mutex<Log>,
}

/// The account's books.
#[derive(Debug, Default, Clone)]
pub(crate) struct Log {
    /// By id: a head came.
    answered: Bits,
    /// Counts by kind of request.
    pub(crate) rows: BTreeMap<&'static str, Row>,
    /// The first violations of each kind, as text.
    pub(crate) violations: BTreeMap<&'static str, Vec<String>>,
    pub(crate) violations_count: u64,
}

/// One line of the table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) good: u64,
    pub(crate) unavoidable: u64,
    pub(crate) violations: u64,
    pub(crate) slowest_ms: u64,
}

/// The violations of a kind that are shown; all are counted.
const VIOLATIONS_SHOWN_MAX: usize = 6;

/// One request, when it is over.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) id: u64,
    /// Its place among what can be asked.
    pub(crate) ask: usize,
    pub(crate) kind: &'static str,
    pub(crate) what: &'a str,
    pub(crate) source: Source,
    /// The thing had been answered when this request began.
    pub(crate) seen: bool,
    pub(crate) disturbed: bool,
    pub(crate) took_ms: u64,
    pub(crate) at_ms: u64,
}

impl Account {
    pub(crate) fn new(asks: usize) -> Self {
        let seen = std::iter::repeat_with(AtomicBool::default).take(asks).collect();
        Self { next_id: AtomicU64::new(0), seen, log: Mutex::default() }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn asked(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    pub(crate) fn has_seen(&self, ask: usize) -> bool {
        self.seen.get(ask).is_some_and(|seen| seen.load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self, asked: &Asked<'_>, answer: &Answer) {
        if let (Answer::Good, Some(seen)) = (answer, self.seen.get(asked.ask)) {
            seen.store(true, Ordering::Relaxed);
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.has_head() {
            log.answered.set(asked.id);
        }
        let row = log.rows.entry(asked.kind).or_default();
        row.slowest_ms = row.slowest_ms.max(asked.took_ms);
        match judge(asked.source, asked.seen, asked.disturbed, answer) {
            Judged::Good => row.good += 1,
            Judged::Unavoidable => row.unavoidable += 1,
            Judged::Violation => {
                row.violations += 1;
                let Asked { id, kind, what, took_ms, at_ms, seen, disturbed, .. } = asked;
                let text = format!("{answer:?} after {took_ms} ms, seen {seen}, disturbed {disturbed}");
                log.violate(kind, format!("at {at_ms} ms, request {id}, {what}: {text}"));
            }
        }
    }

    /// The books as they are.
    pub(crate) fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Log {
    fn violate(&mut self, kind: &'static str, text: String) {
        self.violations_count += 1;
        let shown = self.violations.entry(kind).or_default();
        if shown.len() < VIOLATIONS_SHOWN_MAX {
            shown.push(text);
        }
    }
}

/// What the spool holds, held against what was answered.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recorded {
    ids: Bits,
    pub(crate) count: u64,
    pub(crate) twice: u64,
    /// Records of no request of this run.
    pub(crate) foreign: u64,
    /// By outcome, and those that the second registry answered.
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) by_second: u64,
}

impl Recorded {
    pub(crate) fn enter(&mut self, id: Option<u64>, outcome: &str, by_second: bool) {
        self.count += 1;
        match id {
            None => self.foreign += 1,
            Some(id) if self.ids.set(id) => self.twice += 1,
            Some(_) => {}
        }
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        self.by_second += u64::from(by_second);
    }

    /// Answered requests without a record.
    pub(crate) fn missing(&self, log: &Log) -> u64 {
        log.answered.without(&self.ids)
    }

    /// Records of requests whose head never came.
    pub(crate) fn unanswered(&self, log: &Log) -> u64 {
        self.ids.without(&log.answered)
    }
}

/// A set of small numbers, a bit each.
#[derive(Debug, Default, Clone)]
struct Bits(Vec<u64>);

impl Bits {
    /// Whether it was in already. Numbers that no run reaches are not kept.
    fn set(&mut self, number: u64) -> bool {
        /// 128 MiB of bits: ten hours at 30,000 a second.
        const WORDS_MAX: usize = 16 << 20;
        let Some(word) = usize::try_from(number / 64).ok().filter(|word| *word < WORDS_MAX) else { return true };
        if word >= self.0.len() {
            self.0.resize(word + 1024, 0);
        }
        let bit = 1 << (number % 64);
        self.0.get_mut(word).is_some_and(|word| std::mem::replace(word, *word | bit) & bit != 0)
    }

    /// How many are in here and not in `other`.
    fn without(&self, other: &Self) -> u64 {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        self.0.iter().zip(others).map(|(own, other)| u64::from((own & !other).count_ones())).sum()
    }
}
