//! What waits for the writer thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::AppendError;
use super::check_size;

/// A group ends when it holds this much; the largest group is this and one record at its maximum.
pub(super) const GROUP_BYTES_MAX: usize = 1 << 20;

/// What one caller appends together.
#[derive(Debug)]
pub(super) enum Payloads {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Payloads {
    pub(super) fn as_slice(&self) -> &[Bytes] {
        match self {
            Self::One(payload) => std::slice::from_ref(payload),
            Self::Many(payloads) => payloads,
        }
    }

    fn bytes(&self) -> usize {
        self.as_slice().iter().map(Bytes::len).sum()
    }
}

pub(super) type Written = oneshot::Receiver<Result<u64, AppendError>>;

/// Payloads and who waits for them; the answer is the last one's sequence number.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) payloads: Payloads,
    pub(super) answer: oneshot::Sender<Result<u64, AppendError>>,
}

impl Entry {
    pub(super) fn new(payloads: Payloads) -> (Self, Written) {
        let (answer, written) = oneshot::channel();
        (Self { payloads, answer }, written)
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    room: Condvar,
    records_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    records: usize,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), ready: Condvar::new(), room: Condvar::new(), records_max, bytes_max }
    }

    /// Queues at once or refuses at once.
    pub(super) fn push(&self, payloads: Payloads) -> Result<Written, AppendError> {
        payloads.as_slice().iter().try_for_each(check_size)?;
        let waiting = self.lock();
        if !self.has_room(&waiting) {
            return Err(AppendError::QueueFull { records: waiting.records });
        }
        self.enter(waiting, payloads)
    }

    /// Queues when there is room.
    pub(super) fn push_blocking(&self, payloads: Payloads) -> Result<Written, AppendError> {
        payloads.as_slice().iter().try_for_each(check_size)?;
        let waiting = self
            .room
            .wait_while(self.lock(), |w| !self.has_room(w) && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        self.enter(waiting, payloads)
    }

    /// Waits up to `timeout` for work and moves at most one group into `group`. True when the queue is closed and empty.
    pub(super) fn take_group(&self, timeout: Duration, group: &mut Vec<Entry>) -> bool {
        let (mut waiting, _timed_out) = self
            .ready
            .wait_timeout_while(self.lock(), timeout, |w| w.entries.is_empty() && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut group_bytes = 0;
        while group_bytes < GROUP_BYTES_MAX
            && let Some(next_bytes) = waiting.entries.front().map(|e| e.payloads.bytes())
            && (group.is_empty() || group_bytes + next_bytes <= 2 * GROUP_BYTES_MAX)
            && let Some(entry) = waiting.entries.pop_front()
        {
            group_bytes += next_bytes;
            waiting.records -= entry.payloads.as_slice().len();
            waiting.bytes -= next_bytes;
            group.push(entry);
        }
        self.room.notify_all();
        group.is_empty() && waiting.closed
    }

    /// Refuses new work; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
        self.room.notify_all();
    }

    /// An empty queue takes anything, so that one large entry cannot wait for ever.
    fn has_room(&self, waiting: &Waiting) -> bool {
        waiting.entries.is_empty() || (waiting.records < self.records_max && waiting.bytes < self.bytes_max)
    }

    fn enter(&self, mut waiting: MutexGuard<'_, Waiting>, payloads: Payloads) -> Result<Written, AppendError> {
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        waiting.records += payloads.as_slice().len();
        waiting.bytes += payloads.bytes();
        let (entry, written) = Entry::new(payloads);
        let was_empty = waiting.entries.is_empty();
        waiting.entries.push_back(entry);
        drop(waiting);
        if was_empty {
            self.ready.notify_one();
        }
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
