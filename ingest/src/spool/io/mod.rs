//! The spool's files, its writer thread and its readers.

mod files;
mod open;
mod queue;
mod reader;
mod shared;
mod writer;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;

use self::queue::{Entry, Queue};
use self::shared::Shared;
use self::writer::Writer;
use super::{AppendError, Batch, Lag, Recovery, SpoolError, SpoolOptions, SpoolStats};

pub use self::queue::{Appended, Appending};
pub use self::reader::Reader;

/// An open spool. Clones share it; the last one to go writes what is queued, syncs it and ends the threads.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    writer: Arc<Mutex<Writer>>,
    threads: Vec<JoinHandle<()>>,
}

impl Spool {
    /// Opens the spool in `options.dir`, making it when absent. Only the last segment is read, and the one before it when that was not synced.
    ///
    /// # Errors
    /// The directory is in use by another process, cannot be written, or holds a damaged identity or cursor.
    pub fn open(options: SpoolOptions) -> Result<(Self, Recovery), SpoolError> {
        let queue = Arc::new(Queue::new(options.queue_records_max, options.queue_bytes_max));
        let (shared, recovery) = open::open(options)?;
        let shared = Arc::new(shared);
        let (writer, threads) = writer::start(&shared, &queue)?;
        let inner = Inner { shared, queue, writer, threads };
        Ok((Self { inner: Arc::new(inner) }, recovery))
    }

    /// Appends a record and gives its sequence number once `write(2)` has returned.
    ///
    /// Never waits for room: a full queue is an error at once. When the returned future is dropped, the record may still be written.
    ///
    /// # Errors
    /// The record was not written; see [`AppendError`].
    pub async fn append(&self, payload: Bytes) -> Result<u64, AppendError> {
        let mut batch = Batch::default();
        batch.push(&payload)?;
        self.append_batch(batch)?.await.last
    }

    /// Hands a batch to the writer, without waiting: what comes back resolves once `write(2)` has returned. An empty batch is an
    /// append like others.
    ///
    /// # Errors
    /// There is no room in the queue, or the batch is too large for a group; see [`AppendError`].
    pub fn append_batch(&self, batch: Batch) -> Result<Appending, AppendError> {
        self.inner.queue.push(batch)
    }

    /// Appends many records in order, waiting for room, and gives the sequence number of the last one. For imports; it blocks, so
    /// it must not be called on an asynchronous task. No records give the end of the spool.
    ///
    /// # Errors
    /// The records were not written, or (when they are more than one group) only a first part of them.
    pub fn append_batch_blocking(&self, payloads: &[Bytes]) -> Result<u64, AppendError> {
        let mut last = self.end_seq();
        for batch in batches(payloads)? {
            last = self.inner.write_or_queue(batch)?.blocking().last?;
        }
        Ok(last)
    }

    /// Opens the reader `name` at its durable position; a new one begins at the oldest record. From then on nothing that it has
    /// not committed is dropped within the spool's bounds.
    ///
    /// # Errors
    /// The name cannot be a file name, the reader is open already, or its cursor cannot be written.
    pub fn reader(&self, name: &str) -> Result<Reader, SpoolError> {
        Reader::open(Arc::clone(&self.inner.shared), name)
    }

    /// Forgets a reader that nobody will open again, so that it holds back no segment.
    ///
    /// # Errors
    /// It is open, or its cursor file cannot be removed.
    pub fn forget_reader(&self, name: &str) -> Result<(), SpoolError> {
        self.inner.shared.forget_reader(name)
    }

    /// The spool's own identity, made once.
    pub fn node(&self) -> &str {
        &self.inner.shared.node
    }

    /// One past the last record that is written.
    pub fn end_seq(&self) -> u64 {
        self.inner.shared.written()
    }

    /// Everything before this sequence number would survive a power cut.
    pub fn synced_through(&self) -> u64 {
        self.inner.shared.synced()
    }

    /// Drops what may or must go now. The writer does this once a second by itself.
    pub fn retain(&self) {
        self.inner.shared.retain(files::now_ms(), 0);
    }

    /// Figures for metrics.
    pub fn stats(&self) -> SpoolStats {
        self.inner.shared.stats()
    }

    /// How far the reader `name` is behind, open or not; `None` when it is unknown.
    pub fn lag_of(&self, name: &str) -> Option<Lag> {
        self.inner.shared.lag_of(name)
    }
}

#[cfg(test)]
impl Spool {
    /// Holds the writer up for as long as what it gives lives, as a disk that hangs does.
    pub(crate) fn hang(&self) -> impl Drop + '_ {
        struct Held<'a>(#[expect(dead_code, reason = "held, not read")] std::sync::MutexGuard<'a, Writer>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {}
        }
        Held(self.inner.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Inner {
    /// A caller that may block writes its group itself while the writer is idle: two changes of thread less.
    fn write_or_queue(&self, batch: Batch) -> Result<Appending, AppendError> {
        let Ok(mut writer) = self.writer.try_lock() else {
            return self.queue.push_blocking(batch);
        };
        let (entry, written) = Entry::new(batch);
        writer.commit(&mut vec![entry], files::now_ms());
        Ok(written)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a spool thread ended by a panic");
            }
        }
    }
}

/// Puts records into batches of at most [`queue::GROUP_BYTES_MAX`], or of one record.
fn batches(payloads: &[Bytes]) -> Result<Vec<Batch>, AppendError> {
    let mut batches: Vec<Batch> = Vec::new();
    for payload in payloads {
        match batches.last_mut() {
            Some(batch) if batch.bytes() + payload.len() <= queue::GROUP_BYTES_MAX => batch.push(payload)?,
            _ => {
                let mut batch = Batch::default();
                batch.push(payload)?;
                batches.push(batch);
            }
        }
    }
    Ok(batches)
}
