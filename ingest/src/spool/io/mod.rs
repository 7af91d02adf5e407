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

use self::queue::{Entry, Payloads, Queue, Written};
use self::shared::Shared;
use self::writer::Writer;
use super::{AppendError, Lag, RECORD_BYTES_MAX, Recovery, SpoolError, SpoolOptions, SpoolStats};

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
    /// Opens the spool in `options.dir`, making it when absent. Only the last segment is read.
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
        let written = self.inner.queue.push(Payloads::One(payload))?;
        written.await.map_err(|_writer_gone| AppendError::Closed)?
    }

    /// Appends many records in order, waiting for room, and gives the sequence number of the last one. For imports; it blocks, so
    /// it must not be called on an asynchronous task. An empty batch gives the end of the spool.
    ///
    /// # Errors
    /// The batch was not written, or (when it is larger than one group) only a first part of it.
    pub fn append_batch_blocking(&self, payloads: Vec<Bytes>) -> Result<u64, AppendError> {
        let mut last = self.end_seq();
        let bytes: usize = payloads.iter().map(Bytes::len).sum();
        let groups = if bytes <= queue::GROUP_BYTES_MAX { vec![payloads] } else { groups(payloads) };
        for group in groups.into_iter().filter(|group| !group.is_empty()) {
            let written = self.inner.write_or_queue(Payloads::Many(group))?;
            last = written.blocking_recv().map_err(|_writer_gone| AppendError::Closed)??;
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

impl Inner {
    /// A caller that may block writes its group itself while the writer is idle: two changes of thread less.
    fn write_or_queue(&self, payloads: Payloads) -> Result<Written, AppendError> {
        let Ok(mut writer) = self.writer.try_lock() else {
            return self.queue.push_blocking(payloads);
        };
        payloads.as_slice().iter().try_for_each(check_size)?;
        let (entry, written) = Entry::new(payloads);
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

/// Cuts a batch into groups of at most [`queue::GROUP_BYTES_MAX`], or of one record.
fn groups(payloads: Vec<Bytes>) -> Vec<Vec<Bytes>> {
    let mut groups = vec![Vec::new()];
    let mut group_bytes = 0;
    for payload in payloads {
        if group_bytes + payload.len() > queue::GROUP_BYTES_MAX {
            groups.push(Vec::new());
            group_bytes = 0;
        }
        group_bytes += payload.len();
        if let Some(group) = groups.last_mut() {
            group.push(payload);
        }
    }
    groups
}

/// Refuses what could not be framed.
fn check_size(payload: &Bytes) -> Result<(), AppendError> {
    if payload.len() > RECORD_BYTES_MAX {
        return Err(AppendError::TooLarge { bytes: payload.len(), max: RECORD_BYTES_MAX });
    }
    Ok(())
}
