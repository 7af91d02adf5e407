//! What a spool is opened with.

use std::path::PathBuf;
use std::time::Duration;

/// The largest payload of one record.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// What happens when the byte cap is reached and the oldest segment is still unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Appends are refused and counted until a reader frees space.
    #[default]
    StopRecording,
    /// The oldest segment goes, unread; what it held is counted as lost.
    DropOldest,
}

/// What a spool is opened with. [`SpoolOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The spool's directory; made when absent.
    pub dir: PathBuf,
    /// A segment is closed when it reaches this size. Only the last segment is read at open, so this bounds the time to open.
    pub segment_bytes: u64,
    /// A segment that holds records is closed when it is this old, so that retention by age can reach them.
    pub segment_age_max: Duration,
    /// The byte cap over all segments.
    pub max_bytes: u64,
    /// Segments last written to before this long ago are dropped, read or not.
    pub max_age: Duration,
    /// What happens at the byte cap.
    pub when_full: WhenFull,
    /// How often written records are synced; zero syncs each group before it is acknowledged.
    pub fsync_every: Duration,
    /// Records waiting for the writer, at most.
    pub queue_records_max: usize,
    /// Bytes waiting for the writer, at most.
    pub queue_bytes_max: usize,
}

impl SpoolOptions {
    /// The defaults in `dir`: 16 MiB segments, 10 GiB and 3 days in all, synced every 50 ms.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 16 << 20,
            segment_age_max: Duration::from_hours(1),
            max_bytes: 10 << 30,
            max_age: Duration::from_hours(72),
            when_full: WhenFull::default(),
            fsync_every: Duration::from_millis(50),
            // One second of a busy gateway (65,536 requests), 64 MiB of them at most.
            queue_records_max: 65_536,
            queue_bytes_max: 64 << 20,
        }
    }
}
