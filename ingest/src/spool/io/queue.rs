//! What waits for the writer thread.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::{AppendError, Batch, RECORD_BYTES_MAX};

/// A group ends when it holds this much; the largest group is this and one batch at its maximum, which a frame can hold.
pub(super) const GROUP_BYTES_MAX: usize = 1 << 20;
/// The largest batch: what fills a group, and one record at its maximum, with its length and the frame's header.
const BATCH_BYTES_MAX: usize = GROUP_BYTES_MAX + RECORD_BYTES_MAX + 64;

/// What became of a batch.
#[derive(Debug)]
pub struct Appended {
    /// The sequence number of its last record, or why none of it was written.
    pub last: Result<u64, AppendError>,
    /// The batch, emptied: its memory serves the next one.
    pub emptied: Batch,
}

/// A batch that waits to be written. When this is dropped, it may still be written.
#[derive(Debug)]
pub struct Appending(oneshot::Receiver<Appended>);

impl Appending {
    pub(super) fn blocking(self) -> Appended {
        self.0.blocking_recv().unwrap_or_else(|_writer_gone| Appended::closed())
    }
}

impl Appended {
    fn closed() -> Self {
        Self { last: Err(AppendError::Closed), emptied: Batch::default() }
    }
}

impl Future for Appending {
    type Output = Appended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Appended> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_writer_gone| Appended::closed()))
    }
}

/// A batch and who waits for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) batch: Batch,
    answer: oneshot::Sender<Appended>,
}

impl Entry {
    pub(super) fn new(batch: Batch) -> (Self, Appending) {
        let (answer, written) = oneshot::channel();
        (Self { batch, answer }, Appending(written))
    }

    pub(super) fn answer(mut self, last: Result<u64, AppendError>) {
        self.batch.clear();
        // Who asked may have gone; the record is kept all the same.
        drop(self.answer.send(Appended { last, emptied: self.batch }));
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
    pub(super) fn push(&self, batch: Batch) -> Result<Appending, AppendError> {
        check_size(&batch)?;
        let waiting = self.lock();
        if !self.has_room(&waiting) {
            return Err(AppendError::QueueFull { records: waiting.records });
        }
        self.enter(waiting, batch)
    }

    /// Queues when there is room.
    pub(super) fn push_blocking(&self, batch: Batch) -> Result<Appending, AppendError> {
        check_size(&batch)?;
        let waiting = self
            .room
            .wait_while(self.lock(), |w| !self.has_room(w) && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        self.enter(waiting, batch)
    }

    /// Waits up to `timeout` for work and moves at most one group into `group`. True when the queue is closed and empty.
    pub(super) fn take_group(&self, timeout: Duration, group: &mut Vec<Entry>) -> bool {
        let (mut waiting, _timed_out) = self
            .ready
            .wait_timeout_while(self.lock(), timeout, |w| w.entries.is_empty() && !w.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut group_bytes = 0;
        while group_bytes < GROUP_BYTES_MAX
            && let Some(next_bytes) = waiting.entries.front().map(|e| e.batch.bytes())
            && (group.is_empty() || group_bytes + next_bytes <= BATCH_BYTES_MAX)
            && let Some(entry) = waiting.entries.pop_front()
        {
            group_bytes += next_bytes;
            waiting.records -= entry.batch.records() as usize;
            waiting.bytes -= entry.batch.capacity();
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

    fn enter(&self, mut waiting: MutexGuard<'_, Waiting>, batch: Batch) -> Result<Appending, AppendError> {
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        waiting.records += batch.records() as usize;
        // What is held, not what is filled: a small batch may lie in a large buffer.
        waiting.bytes += batch.capacity();
        let (entry, written) = Entry::new(batch);
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

/// Refuses what could not be framed.
fn check_size(batch: &Batch) -> Result<(), AppendError> {
    if batch.bytes() > BATCH_BYTES_MAX {
        return Err(AppendError::TooLarge { bytes: batch.bytes(), max: BATCH_BYTES_MAX });
    }
    Ok(())
}
