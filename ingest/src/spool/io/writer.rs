//! The writer, its thread, and the thread that syncs beside it.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::super::{AppendError, Batch, SpoolError, SpoolOptions};
use super::files::{self, at};
use super::queue::{Entry, Queue};
use super::shared::{Active, Shared};

/// How often an idle writer looks at ages and retention.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// A segment becomes at most this many times as large as is configured while the one before it is being synced.
const GROWTH_MAX: u64 = 4;
/// A group buffer that a burst made larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// The writer, which its thread shares with callers that may block, and the threads.
pub(super) type Started = (Arc<Mutex<Writer>>, Vec<JoinHandle<()>>);

pub(super) fn start(shared: &Arc<Shared>, queue: &Arc<Queue>) -> Result<Started, SpoolError> {
    let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.into()).spawn(body).map_err(at("start a thread for", shared.segments_dir()))
    };
    let writer = Arc::new(Mutex::new(Writer::new(Arc::clone(shared))));
    let (its, queue) = (Arc::clone(&writer), Arc::clone(queue));
    let mut threads = vec![spawn("spool-write", Box::new(move || run(&its, &queue)))?];
    let every = shared.options.fsync_every;
    if !every.is_zero() {
        let shared = Arc::clone(shared);
        let body = move || while !shared.wait_for_close(every) && shared.sync_or_go_on() {};
        threads.push(spawn("spool-sync", Box::new(body))?);
    }
    Ok((writer, threads))
}

fn run(writer: &Mutex<Writer>, queue: &Queue) {
    let mut group = Vec::new();
    let lock = || writer.lock().unwrap_or_else(PoisonError::into_inner);
    while !queue.take_group(UPKEEP_EVERY, &mut group) {
        let mut writer = lock();
        let now_ms = files::now_ms();
        if !group.is_empty() {
            writer.commit(&mut group, now_ms);
        }
        if now_ms >= writer.upkeep_due_ms {
            writer.upkeep(now_ms);
        }
    }
    // A failure is counted and said by `sync` itself.
    drop(lock().shared.sync());
}

impl Shared {
    /// A failed sync is counted and said; the next one tries again.
    fn sync_or_go_on(&self) -> bool {
        if self.sync().is_err() {
            self.counters.roll_wanted.store(true, Ordering::Relaxed);
        }
        true
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// One past the last record of the segment in use.
    end_seq: u64,
    base_seq: u64,
    bytes: u64,
    created_ms: u64,
    /// What the file holds past `bytes` is a failed write that could not be cut away yet.
    torn: bool,
    /// Batches of several callers that became one group.
    merged: Batch,
    upkeep_due_ms: u64,
}

impl Writer {
    fn new(shared: Arc<Shared>) -> Self {
        let end_seq = shared.written();
        Self {
            shared,
            end_seq,
            base_seq: end_seq,
            bytes: SEGMENT_HEADER_BYTES as u64,
            created_ms: files::now_ms(),
            torn: false,
            merged: Batch::default(),
            upkeep_due_ms: 0,
        }
    }

    /// Writes one group and answers everybody who waits for it.
    pub(super) fn commit(&mut self, group: &mut Vec<Entry>, now_ms: u64) {
        let records: u32 = group.iter().map(|entry| entry.batch.records()).sum();
        let written = match group.as_mut_slice() {
            // The usual group is one thread's batch, which is a frame already.
            [alone] => self.write(alone.batch.sealed(self.end_seq), records, now_ms),
            many => {
                let mut merged = std::mem::take(&mut self.merged);
                merged.clear();
                for entry in many.iter() {
                    merged.extend(&entry.batch);
                }
                let written = self.write(merged.sealed(self.end_seq), records, now_ms);
                // A buffer that a burst made large is given back.
                self.merged = if merged.capacity() > BUFFER_BYTES_KEPT { Batch::default() } else { merged };
                written
            }
        };
        if let Err(error) = &written {
            self.shared.counters.write_failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, records, "a group was not written");
        }
        let mut seq = if written.is_ok() { self.end_seq - u64::from(records) } else { self.end_seq };
        for entry in group.drain(..) {
            seq += u64::from(entry.batch.records());
            entry.answer(written.clone().map(|()| seq.saturating_sub(1)));
        }
    }

    /// Writes a frame and makes it visible to readers.
    fn write(&mut self, frame: &[u8], records: u32, now_ms: u64) -> Result<(), AppendError> {
        if records == 0 {
            return Ok(());
        }
        self.write_frame(frame, now_ms)?;
        self.end_seq += u64::from(records);
        self.bytes += frame.len() as u64;
        self.shared.publish(self.end_seq, self.bytes, now_ms);
        if self.shared.options.fsync_every.is_zero() {
            self.shared.mark_synced(self.end_seq);
        }
        Ok(())
    }

    fn write_frame(&mut self, frame: &[u8], now_ms: u64) -> Result<(), AppendError> {
        let wanted = frame.len() as u64;
        self.cut_torn().map_err(|e| self.failed(e))?;
        let max_bytes = self.shared.options.max_bytes;
        if self.shared.bytes() + wanted > max_bytes && self.shared.retain(now_ms, wanted) {
            return Err(AppendError::Full { max_bytes });
        }
        let roll_wanted = self.shared.counters.roll_wanted.swap(false, Ordering::Relaxed);
        let full = self.bytes + wanted > self.segment_bytes_max();
        if (full || roll_wanted) && self.end_seq > self.base_seq {
            self.roll(now_ms).map_err(|e| self.failed(e))?;
            // The first sequence number in the frame is the same: a roll uses none.
        }
        let file = Arc::clone(&self.shared.active().file);
        let mut result = file.write_all_at(frame, self.bytes);
        if result.is_ok() && self.shared.options.fsync_every.is_zero() {
            result = file.sync_data();
        }
        result.map_err(|error| {
            self.torn = true;
            if let Err(cut_error) = self.cut_torn() {
                tracing::warn!(%cut_error, path = %self.path().display(), "cut a failed write away; tried again before the next");
            }
            self.failed(error)
        })
    }

    /// Nothing is written before what a failed write left behind is gone.
    fn cut_torn(&mut self) -> io::Result<()> {
        if self.torn {
            self.shared.active().file.set_len(self.bytes)?;
            self.torn = false;
        }
        Ok(())
    }

    /// While the segment before it is not synced yet, a segment may grow, so that nobody waits for that sync; but within a part of the cap,
    /// since it is whole segments that retention drops.
    fn segment_bytes_max(&self) -> u64 {
        let SpoolOptions { segment_bytes, max_bytes, .. } = self.shared.options;
        match self.shared.active().unsynced {
            Some(_) => segment_bytes.max((GROWTH_MAX * segment_bytes).min(max_bytes / 4)),
            None => segment_bytes,
        }
    }

    /// Closes the segment in use and begins the next.
    fn roll(&mut self, now_ms: u64) -> io::Result<()> {
        let dir = self.shared.segments_dir();
        let at_once = self.shared.options.fsync_every.is_zero();
        if at_once || self.shared.active().unsynced.is_some() {
            // A failure is counted and said; the records are written, and waiting would not bring them to the disk.
            drop(self.shared.sync());
        }
        let previous_end_seq = at_once.then_some(self.end_seq);
        let header = SegmentHeader { base_seq: self.end_seq, previous_end_seq, created_ms: now_ms };
        let file = Arc::new(files::create_segment(dir, &header)?);
        if at_once {
            files::sync_segment(dir, &file)?;
        }
        {
            let mut active = self.shared.active();
            let full = std::mem::replace(&mut *active, Active { file, header, unsynced: None });
            active.unsynced = (!at_once).then_some(full.file);
        }
        self.base_seq = self.end_seq;
        self.bytes = SEGMENT_HEADER_BYTES as u64;
        self.created_ms = now_ms;
        self.shared.state().segments.push(Segment {
            base_seq: self.base_seq,
            end_seq: self.end_seq,
            bytes: self.bytes,
            modified_ms: now_ms,
        });
        Ok(())
    }

    fn upkeep(&mut self, now_ms: u64) {
        self.upkeep_due_ms = now_ms + 1000;
        let age_ms = u128::from(now_ms.saturating_sub(self.created_ms));
        let old = age_ms >= self.shared.options.segment_age_max.as_millis();
        if old
            && self.end_seq > self.base_seq
            && !self.torn
            && let Err(error) = self.roll(now_ms)
        {
            tracing::warn!(%error, dir = %self.shared.segments_dir().display(), "begin a new spool segment");
        }
        self.shared.retain(now_ms, 0);
    }

    fn path(&self) -> PathBuf {
        self.shared.segment_path(self.base_seq)
    }

    fn failed(&self, source: io::Error) -> AppendError {
        AppendError::Io { path: self.path(), source: Arc::new(source) }
    }
}
