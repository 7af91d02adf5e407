//! Keeping records, without ever keeping a download from its client.
//!
//! The requests of one turn of a thread's event loop put their records into one batch. When the loop has nothing more to do it hands the
//! batch to the spool's writer thread; the writer wakes the thread's keeper once, and the keeper lets all of the batch's requests answer.
//! So a thread change, a wake-up and a `write(2)` are paid once a turn, and a disk that hangs holds the writer, never the loop.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::super::{RECORD_WAIT, RECORD_WAIT_BEHIND};
use crate::io::clock;
use crate::metrics::{LostLabels, Metrics};
use crate::spool::{AppendError, Appended, Appending, Batch, Spool};

/// A spool that fails at every request is said at most this often.
const SAY_EVERY_US: i64 = 10_000_000;
/// A batch goes to the writer with this many records even if the loop has more to do: at some 8 us a request, after 1 ms.
const BATCH_RECORDS_MAX: u32 = 128;
/// Or with this many bytes: few records are larger than 2 KiB.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Emptied batches that a thread keeps for their memory: one is filled, one is written, two wait. 1 MiB a thread.
const SPARES_MAX: usize = 4;

/// One thread's records.
#[derive(Debug)]
pub(super) struct Recorder {
    spool: Spool,
    metrics: Metrics,
    complaints: Arc<Complaints>,
    state: Mutex<State>,
    /// The last batch was not written in time.
    behind: AtomicBool,
}

/// When it was last said that records are lost; for all threads.
#[derive(Debug)]
pub(super) struct Complaints(AtomicI64);

impl Default for Complaints {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

/// Only the thread itself comes here, so the lock is always free.
#[derive(Debug, Default)]
struct State {
    pending: Batch,
    /// How many records there were when the loop was last about to wait.
    records_before: u32,
    group: Arc<Group>,
    /// Batches at the writer, in the order in which it answers them.
    flights: VecDeque<Flight>,
    spares: Vec<Batch>,
    keeper: Option<Waker>,
    /// The keeper looks at deadlines no later than this.
    alarm: Option<Instant>,
}

/// A batch at the writer.
#[derive(Debug)]
struct Flight {
    appending: Appending,
    group: Arc<Group>,
    records: u32,
    wait: Duration,
    deadline: Instant,
}

/// The requests whose records are in one batch.
#[derive(Debug, Default)]
struct Group(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    over: bool,
    wakers: Vec<Waker>,
}

/// Resolves when a record is written, or is not waited for any longer.
#[derive(Debug)]
pub(super) struct Kept {
    /// `None` when there is nothing to wait for.
    group: Option<Arc<Group>>,
    place: Option<usize>,
}

impl Recorder {
    pub(super) fn new(spool: Spool, metrics: Metrics, complaints: Arc<Complaints>) -> Self {
        Self { spool, metrics, complaints, state: Mutex::default(), behind: AtomicBool::new(false) }
    }

    /// Puts a record into the batch. The answer may be sent once what this gives has resolved.
    pub(super) fn keep(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Kept {
        let mut state = self.state();
        let group = match state.pending.push_with(encode) {
            Ok(()) => Some(Arc::clone(&state.group)),
            Err(error) => {
                self.lost(1, reason(&error), &error.to_string());
                None
            }
        };
        if state.pending.records() >= BATCH_RECORDS_MAX || state.pending.bytes() >= BATCH_BYTES_MAX {
            self.hand_over_batch(&mut state);
        }
        Kept { group, place: None }
    }

    /// The loop has nothing more to do, and is about to wait: the batch goes to the writer, unless a larger one can be had for nothing.
    pub(super) fn hand_over(&self) {
        let mut state = self.state();
        let records = state.pending.records();
        if records == 0 {
            return;
        }
        if !state.flights.is_empty() && !self.behind.load(Ordering::Relaxed) {
            // The writer is at work on the batch before. When it has done, the keeper has a turn, and the loop comes here again; so it does
            // when that batch is late.
            return;
        }
        if records > 1
            && records != state.records_before
            && let Some(keeper) = &state.keeper
        {
            // Where there are several there may be more: with a task to run the loop looks for them without waiting, and comes here again.
            keeper.wake_by_ref();
            state.records_before = records;
            return;
        }
        self.hand_over_batch(&mut state);
    }

    fn hand_over_batch(&self, state: &mut State) {
        let next = state.spares.pop().unwrap_or_default();
        let batch = std::mem::replace(&mut state.pending, next);
        let group = std::mem::take(&mut state.group);
        let records = batch.records();
        state.records_before = 0;
        let mut appending = match self.spool.append_batch(batch) {
            Ok(appending) => appending,
            Err(error) => {
                self.lost(records, reason(&error), &error.to_string());
                group.end();
                return;
            }
        };
        let wait = if self.behind.load(Ordering::Relaxed) { RECORD_WAIT_BEHIND } else { RECORD_WAIT };
        let deadline = clock::monotonic() + wait;
        // Polled for the sake of its waker: the writer wakes the keeper. Whether it is early here is seen at the keeper's next turn.
        let mut wake = state.alarm.is_none_or(|alarm| deadline < alarm);
        if let Some(keeper) = &state.keeper
            && let Poll::Ready(appended) = Pin::new(&mut appending).poll(&mut Context::from_waker(keeper))
        {
            self.settle(state, appended, records, &group);
            return;
        }
        wake |= state.keeper.is_none();
        state.flights.push_back(Flight { appending, group, records, wait, deadline });
        if wake && let Some(keeper) = &state.keeper {
            keeper.wake_by_ref();
        }
    }

    fn settle(&self, state: &mut State, appended: Appended, records: u32, group: &Group) {
        self.behind.store(false, Ordering::Relaxed);
        match appended.last {
            Ok(_seq) => {
                self.metrics.recorded.inc_by(u64::from(records));
            }
            Err(error) => self.lost(records, reason(&error), &error.to_string()),
        }
        if state.spares.len() < SPARES_MAX && appended.emptied.capacity() <= BATCH_BYTES_MAX {
            state.spares.push(appended.emptied);
        }
        group.end();
    }

    /// Lets the requests of written batches answer, and those of late ones too. It never ends; it is a task of the thread.
    pub(super) async fn run_keeper(&self) {
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(|context| self.poll_keeper(context, &mut alarm)).await;
    }

    fn poll_keeper(&self, context: &mut Context<'_>, alarm: &mut Option<Pin<Box<Sleep>>>) -> Poll<()> {
        let mut state = self.state();
        if state.keeper.is_none() {
            state.keeper = Some(context.waker().clone());
        }
        while let Some(flight) = state.flights.front_mut()
            && let Poll::Ready(appended) = Pin::new(&mut flight.appending).poll(context)
            && let Some(Flight { group, records, .. }) = state.flights.pop_front()
        {
            self.settle(&mut state, appended, records, &group);
        }
        loop {
            let rung = alarm.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
            if rung {
                *alarm = None;
                state.alarm = None;
                self.give_up_late(&mut state, clock::monotonic());
            }
            let next = state.flights.iter().map(|flight| flight.deadline).min();
            match next {
                Some(next) if state.alarm.is_none_or(|set| next < set) => {
                    state.alarm = Some(next);
                    *alarm = Some(Box::pin(tokio::time::sleep_until(next.into())));
                }
                _ => return Poll::Pending,
            }
        }
    }

    fn give_up_late(&self, state: &mut State, now: Instant) {
        let flights = std::mem::take(&mut state.flights);
        let (late, in_time) = flights.into_iter().partition(|flight| flight.deadline <= now);
        state.flights = in_time;
        let late: VecDeque<Flight> = late;
        for flight in late {
            self.behind.store(true, Ordering::Relaxed);
            // It may still be written; what is counted is that nobody knows.
            self.lost(flight.records, "late", &format!("not written within {} ms", flight.wait.as_millis()));
            flight.group.end();
        }
    }

    fn lost(&self, records: u32, reason: &'static str, error: &str) {
        self.metrics.lost.get_or_create(&LostLabels { reason }).inc_by(u64::from(records));
        let now = clock::now();
        let said = self.complaints.0.load(Ordering::Relaxed);
        let due = said == i64::MIN || now.0.saturating_sub(said) >= SAY_EVERY_US;
        if due && self.complaints.0.compare_exchange(said, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::error!(
                error,
                reason,
                "requests are answered but not recorded; counted in whopulls_gateway_records_lost"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let wakers = {
            let mut waiting = self.waiting();
            waiting.over = true;
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Future for Kept {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { group: Some(group), place } = self.get_mut() else { return Poll::Ready(()) };
        let mut waiting = group.waiting();
        if waiting.over {
            return Poll::Ready(());
        }
        if let Some(waker) = place.and_then(|place| waiting.wakers.get_mut(place)) {
            waker.clone_from(context.waker());
        } else {
            *place = Some(waiting.wakers.len());
            waiting.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

fn reason(error: &AppendError) -> &'static str {
    match error {
        AppendError::TooLarge { .. } => "too_large",
        AppendError::QueueFull { .. } => "queue_full",
        AppendError::Full { .. } => "spool_full",
        AppendError::Io { .. } => "disk",
        AppendError::Closed => "closed",
    }
}
