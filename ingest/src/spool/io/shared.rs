//! What the writer, the readers and the handles know in common.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::super::retention::{self, Limits};
use super::super::segment::{self, Segment, SegmentHeader};
use super::super::{Lag, SpoolError, SpoolOptions, SpoolStats};
use super::files;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: SpoolOptions,
    pub(super) node: String,
    pub(super) segments_dir: PathBuf,
    pub(super) cursors_dir: PathBuf,
    pub(super) state: Mutex<State>,
    active: Mutex<Active>,
    pub(super) counters: Counters,
    written: watch::Sender<u64>,
    synced: AtomicU64,
    closing: (Mutex<bool>, Condvar),
    /// Held while anything of this spool lives.
    _lock: File,
}

/// The segment in use.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) file: Arc<File>,
    pub(super) header: SegmentHeader,
    /// The one before it, until that is synced.
    pub(super) unsynced: Option<Arc<File>>,
}

/// What changes together, under one lock that is never held over a write to disk.
#[derive(Debug)]
pub(super) struct State {
    /// Oldest first; the last one is written to. Never empty.
    pub(super) segments: Vec<Segment>,
    pub(super) readers: BTreeMap<String, ReaderPlace>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ReaderPlace {
    pub(super) committed: u64,
    pub(super) open: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lost_records: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) sync_failures: AtomicU64,
    /// After a failed sync the kernel may have dropped pages: the next group goes to a new file.
    pub(super) roll_wanted: AtomicBool,
    full: AtomicBool,
}

/// What opening hands over.
pub(super) struct Opened {
    pub(super) options: SpoolOptions,
    pub(super) node: String,
    pub(super) segments_dir: PathBuf,
    pub(super) cursors_dir: PathBuf,
    pub(super) state: State,
    pub(super) active: Active,
    pub(super) lock: File,
    pub(super) end_seq: u64,
}

impl Shared {
    pub(super) fn new(opened: Opened) -> Self {
        Self {
            options: opened.options,
            node: opened.node,
            segments_dir: opened.segments_dir,
            cursors_dir: opened.cursors_dir,
            state: Mutex::new(opened.state),
            active: Mutex::new(opened.active),
            counters: Counters::default(),
            written: watch::Sender::new(opened.end_seq),
            synced: AtomicU64::new(opened.end_seq),
            closing: (Mutex::new(false), Condvar::new()),
            _lock: opened.lock,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn written(&self) -> u64 {
        *self.written.borrow()
    }

    pub(super) fn watch_written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Makes a written group visible to readers.
    pub(super) fn publish(&self, end_seq: u64, bytes: u64, now_ms: u64) {
        if let Some(active) = self.state().segments.last_mut() {
            active.end_seq = end_seq;
            active.bytes = bytes;
            active.modified_ms = now_ms;
        }
        self.written.send_replace(end_seq);
    }

    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// The writer has synced a group itself.
    pub(super) fn mark_synced(&self, end_seq: u64) {
        self.synced.fetch_max(end_seq, Ordering::AcqRel);
    }

    /// Syncs what is written, the segment before the one in use first. The position is read before the files are chosen: they hold more.
    pub(super) fn sync(&self) -> io::Result<()> {
        let written = self.written();
        let Active { file, header, unsynced } = self.active().clone();
        if written == self.synced() && unsynced.is_none() {
            return Ok(());
        }
        let mut result = Ok(());
        if let Some(before) = &unsynced {
            result = files::seal(&self.segments_dir, before, &file, &header);
            // Failed or not: a second try says that all is well when the kernel has dropped the pages.
            self.active().unsynced.take_if(|still| Arc::ptr_eq(still, before));
        }
        let result = result.and_then(|()| file.sync_data());
        match &result {
            Ok(()) => self.mark_synced(written),
            Err(error) => {
                self.counters.sync_failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, dir = %self.segments_dir.display(), "sync the spool: a power cut now loses records");
            }
        }
        result
    }

    /// Drops what may or must go; true when an append of `wanted_bytes` does not fit.
    pub(super) fn retain(&self, now_ms: u64, wanted_bytes: u64) -> bool {
        let limits = Limits {
            max_bytes: self.options.max_bytes,
            max_age_ms: u64::try_from(self.options.max_age.as_millis()).unwrap_or(u64::MAX),
            when_full: self.options.when_full,
        };
        let (plan, dropped) = {
            let mut state = self.state();
            let lowest = state.readers.values().map(|r| r.committed).min();
            let plan = retention::plan(&state.segments, lowest, now_ms, wanted_bytes, limits);
            let dropped: Vec<Segment> = state.segments.drain(..plan.segments).collect();
            (plan, dropped)
        };
        if plan.lost_records > 0 {
            self.counters.lost_records.fetch_add(plan.lost_records, Ordering::Relaxed);
            tracing::error!(records = plan.lost_records, segments = plan.segments, dir = %self.segments_dir.display(),
                "the spool dropped records that were not read: raise its age or byte bound, or see why its reader lags");
        }
        for segment in dropped {
            let path = segment::path(&self.segments_dir, segment.base_seq);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "remove a spool segment");
            }
        }
        if plan.full && !self.counters.full.swap(plan.full, Ordering::Relaxed) {
            tracing::error!(max_bytes = limits.max_bytes, dir = %self.segments_dir.display(),
                "the spool is full of unread records and records no more");
        }
        self.counters.full.store(plan.full, Ordering::Relaxed);
        plan.full
    }

    /// Total bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.state().segments.iter().map(|s| s.bytes).sum()
    }

    pub(super) fn stats(&self) -> SpoolStats {
        let (bytes, segments, oldest_ms) = {
            let state = self.state();
            let bytes = state.segments.iter().map(|s| s.bytes).sum();
            let oldest = state.segments.first().map_or(0, |s| s.modified_ms);
            (bytes, state.segments.len(), oldest)
        };
        SpoolStats {
            bytes,
            segments,
            oldest_ms,
            lost_records: self.counters.lost_records.load(Ordering::Relaxed),
            write_failures: self.counters.write_failures.load(Ordering::Relaxed),
            sync_failures: self.counters.sync_failures.load(Ordering::Relaxed),
        }
    }

    pub(super) fn lag_of(&self, name: &str) -> Option<Lag> {
        let state = self.state();
        let committed = state.readers.get(name)?.committed;
        let mut lag = Lag::default();
        for segment in state.segments.iter().filter(|s| s.end_seq > committed) {
            lag.records += segment.end_seq - committed.max(segment.base_seq);
            lag.bytes += segment.bytes_from(committed);
        }
        Some(lag)
    }

    pub(super) fn forget_reader(&self, name: &str) -> Result<(), SpoolError> {
        let path = self.cursor_path(name);
        let mut state = self.state();
        match state.readers.get(name) {
            None => return Ok(()),
            Some(place) if place.open => {
                return Err(SpoolError::ReaderInUse { name: name.into() });
            }
            Some(_closed) => state.readers.remove(name),
        };
        fs::remove_file(&path).map_err(files::at("remove", &path))
    }

    pub(super) fn cursor_path(&self, name: &str) -> PathBuf {
        self.cursors_dir.join(name)
    }

    pub(super) fn segment_path(&self, base_seq: u64) -> PathBuf {
        segment::path(&self.segments_dir, base_seq)
    }

    pub(super) fn segments_dir(&self) -> &Path {
        &self.segments_dir
    }

    pub(super) fn close(&self) {
        *self.closing.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.closing.1.notify_all();
    }

    /// Waits; true when the spool is closing.
    pub(super) fn wait_for_close(&self, timeout: Duration) -> bool {
        let guard = self.closing.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (closing, _timed_out) = self
            .closing
            .1
            .wait_timeout_while(guard, timeout, |closing| !*closing)
            .unwrap_or_else(PoisonError::into_inner);
        *closing
    }
}
