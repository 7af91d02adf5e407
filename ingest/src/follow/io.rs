//! Reading a log as it grows, and passing its records to the spool.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::{RejectReason, Rejected};

use super::cursor::{Cursor, Head};
use super::lines::{Growing, LINE_BYTES_MAX, Piece};
use super::metrics::FollowMetrics;
use super::step::{self, FileId, Seen, Step};
use crate::import::{Content, DetectError, ImportRules, Imported, Importer, RejectedLine, Shape};
use crate::spool::Spool;

/// How often a log is looked at that has nothing new. Polling works on every file system.
const POLL: Duration = Duration::from_millis(250);
/// How long the spool is left alone that does not take records. The log itself waits.
const RETRY: Duration = Duration::from_secs(1);
/// Lines before the first that is no header.
const HEADERS_MAX: usize = 100;
/// A line in the middle of which a log is begun at its end is not longer.
const TAIL_BYTES: u64 = LINE_BYTES_MAX as u64;
/// Lines of a rotated log that are passed on together.
const DRAINED_AT_ONCE: usize = 1000;
/// How long a stop waits for the spool to be on the disk.
const SYNC_WAITS_MAX: u32 = 20;

/// A log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be read.
    #[error("read the log {}", path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Which format it has cannot be told.
    #[error("tell the format of {}", path.display())]
    Detect {
        /// The log.
        path: PathBuf,
        /// Why.
        source: DetectError,
    },
    /// How far it is read cannot be kept.
    #[error("keep in {} how far {} is read", cursor.display(), path.display())]
    Cursor {
        /// The log.
        path: PathBuf,
        /// Where it is kept.
        cursor: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a log is followed.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// How its lines become records.
    pub rules: ImportRules,
    /// The folder in which it is kept how far it is read.
    pub cursors: PathBuf,
    /// A log that was never followed is begun at its end.
    pub from_end: bool,
}

/// Follows a log until `stop`. `on_rejected` gets every line that makes no record, with the log's identity. It blocks: it wants a thread.
///
/// # Errors
/// See [`FollowError`]. That the log is not there is none: it is waited for.
pub fn follow(
    log: &Path,
    options: FollowOptions,
    spool: &Spool,
    metrics: &FollowMetrics,
    on_rejected: impl FnMut(&str, RejectedLine),
    stop: &CancellationToken,
) -> Result<(), FollowError> {
    let kept_at = Cursor::path(&options.cursors, log);
    let failed = |source| FollowError::Cursor { path: log.into(), cursor: kept_at.clone(), source };
    fs::create_dir_all(&options.cursors).map_err(failed)?;
    let cursor = Cursor::load(&kept_at).map_err(failed)?;
    let FollowOptions { rules, from_end, .. } = options;
    let left = cursor.map(|cursor| Left { cursor, is_read_to_its_end: false });
    let pending = VecDeque::new();
    let mut follower = Follower {
        log,
        rules,
        from_end,
        spool,
        metrics,
        on_rejected,
        stop,
        kept_at,
        left,
        pending,
        saved: None,
        behind_bytes: 0,
    };
    follower.run().map_err(|error| match error {
        Failure::Read(source) => FollowError::Read { path: log.into(), source },
        Failure::Save(source) => FollowError::Cursor { path: log.into(), cursor: follower.kept_at, source },
        Failure::Detect(source) => FollowError::Detect { path: log.into(), source },
    })
}

enum Failure {
    Read(io::Error),
    Save(io::Error),
    Detect(DetectError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A log that is not read any more.
struct Left {
    cursor: Cursor,
    /// By its open file: whether it is still somewhere does not matter.
    is_read_to_its_end: bool,
}

/// A log that is being read.
struct Open {
    growing: Growing,
    cursor: Cursor,
    importer: Importer,
    /// Rounds in which nothing came.
    idle: u32,
    /// The size of the file when nothing whole stood in it: half a line.
    tried: u64,
}

struct Follower<'a, R> {
    log: &'a Path,
    rules: ImportRules,
    from_end: bool,
    spool: &'a Spool,
    metrics: &'a FollowMetrics,
    on_rejected: R,
    stop: &'a CancellationToken,
    kept_at: PathBuf,
    /// The log that was read last, and what stands at the path may be another.
    left: Option<Left>,
    /// Cursors that may be kept as soon as the spool is on the disk up to there.
    pending: VecDeque<(u64, Cursor)>,
    saved: Option<Cursor>,
    behind_bytes: i64,
}

impl<R: FnMut(&str, RejectedLine)> Follower<'_, R> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut open: Option<Open> = None;
        while !self.stop.is_cancelled() {
            let is_idle = match open.take() {
                None => {
                    open = self.begin()?;
                    open.is_none()
                }
                Some(reading) => {
                    open = self.go_on(reading)?;
                    open.as_ref().is_some_and(|open| open.idle > 0)
                }
            };
            self.keep()?;
            if is_idle {
                thread::sleep(POLL);
            }
        }
        for _ in 0..SYNC_WAITS_MAX {
            if self.pending.is_empty() {
                break;
            }
            thread::sleep(POLL / 5);
            self.keep()?;
        }
        self.set_behind(0);
        Ok(())
    }

    /// Opens what stands at the path, after what was left is read to its end. `None`: nothing is there yet.
    fn begin(&mut self) -> Result<Option<Open>, Failure> {
        let Some((file, metadata)) = opened(self.log)? else { return Ok(None) };
        let Some(mut known) = self.identify(&file)? else { return Ok(None) };
        if matches!(self.rules.shape(), Shape::Auto) {
            self.rules = self.rules.clone().detected(&file)?.map_err(Failure::Detect)?;
            let Some(by_format) = self.identify(&file)? else { return Ok(None) };
            known = by_format;
        }
        let id = file_id(&metadata);
        let cursor = match self.left.take() {
            Some(left)
                if left.cursor.file == id && left.cursor.head == known.head && left.cursor.offset <= metadata.len() =>
            {
                left.cursor
            }
            Some(left) => {
                if !self.catch_up(&left, id)? {
                    return Ok(None);
                }
                Cursor::at_start(id, known.head.clone())
            }
            None => {
                let start = Cursor::at_start(id, known.head.clone());
                let offset = if self.from_end { end_of_last_line(&file, metadata.len())? } else { 0 };
                Cursor { offset, ..start }
            }
        };
        tracing::info!(log = %self.log.display(), format = %self.rules.shape(), offset = cursor.offset, node = cursor.node, "following");
        let importer = known.importer(&self.rules, &cursor.node);
        self.pending.push_back((self.spool.end_seq(), cursor.clone()));
        Ok(Some(Open { growing: Growing::new(file, cursor.offset), cursor, importer, idle: 0, tried: 0 }))
    }

    fn go_on(&mut self, mut open: Open) -> Result<Option<Open>, Failure> {
        let size = open.growing.file.metadata()?.len();
        let at_path = self.look(&open)?;
        let grown = size > open.growing.offset && size != open.tried;
        let quiet = POLL.saturating_mul(open.idle);
        let left = match step::next(open.cursor.file, open.growing.offset, grown, quiet, at_path) {
            Step::Read => {
                if !self.read(&mut open, false)? {
                    return Ok(None);
                }
                self.set_behind(size.saturating_sub(open.growing.offset));
                return Ok(Some(open));
            }
            Step::Wait => {
                open.idle += 1;
                return Ok(Some(open));
            }
            Step::TurnOver => {
                if !self.read(&mut open, true)? {
                    return Ok(None);
                }
                Left { cursor: open.cursor, is_read_to_its_end: true }
            }
            Step::Emptied => Left { cursor: open.cursor, is_read_to_its_end: false },
        };
        self.metrics.rotations.inc();
        tracing::info!(log = %self.log.display(), offset = left.cursor.offset, "the log was rotated");
        self.left = Some(left);
        Ok(None)
    }

    /// What stands at the path. Its first line is looked at after each pause: only then can a file have been emptied unseen.
    fn look(&self, open: &Open) -> Result<Option<Seen>, Failure> {
        let Some((file, metadata)) = opened(self.log)? else { return Ok(None) };
        let id = file_id(&metadata);
        let is_same = id == open.cursor.file;
        let has_same_head = is_same
            && (metadata.len() == open.growing.offset
                || open.idle == 0 && metadata.len() > open.growing.offset
                || self.identify(&file)?.is_some_and(|known| known.head == open.cursor.head));
        Ok(Some(Seen { file: id, size: metadata.len(), has_same_head }))
    }

    /// `false`: stopped, and nothing of it is passed on.
    fn read(&mut self, open: &mut Open, is_over: bool) -> Result<bool, Failure> {
        let size = open.growing.file.metadata()?.len();
        let pieces = open.growing.next(is_over)?;
        if open.growing.offset == open.cursor.offset {
            open.tried = size;
            open.idle += 1;
            return Ok(true);
        }
        open.idle = 0;
        if !self.take(&mut open.importer, &open.cursor.node, pieces) {
            return Ok(false);
        }
        open.cursor.offset = open.growing.offset;
        self.pending.push_back((self.spool.end_seq(), open.cursor.clone()));
        Ok(true)
    }

    /// Reads on in a log that was renamed, copied or packed since, and reads the logs that came and went after it. `false`: stopped.
    fn catch_up(&mut self, left: &Left, now: FileId) -> Result<bool, Failure> {
        let mut rotated = self.rotated(now)?;
        let of_left = |(_, file): &(PathBuf, File)| {
            let known = self.identify(file).ok().flatten();
            known.is_some_and(|known| known.head == left.cursor.head)
        };
        let Some(place) = rotated.iter().position(of_left) else {
            if !left.is_read_to_its_end {
                self.metrics.lost.inc();
                tracing::error!(
                    log = %self.log.display(), offset = left.cursor.offset,
                    "the log that was read last is gone, and whatever it had behind this place is lost; keep one rotated log beside the new one"
                );
            }
            return Ok(true);
        };
        for (index, (path, file)) in rotated.drain(place..).enumerate() {
            let cursor = (index == 0).then_some(&left.cursor);
            match self.finish(&path, &file, cursor) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // It is being packed, or damaged: the others are not held up by it.
                Err(Failure::Read(error)) => {
                    self.metrics.lost.inc();
                    tracing::error!(log = %path.display(), %error, "a rotated log cannot be read to its end; `whopulls import` reads it later");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(true)
    }

    /// Reads a rotated log to its end, from the cursor or from its beginning. `false`: stopped.
    fn finish(&mut self, path: &Path, file: &File, cursor: Option<&Cursor>) -> Result<bool, Failure> {
        let Some(known) = self.identify(file)? else { return Ok(true) };
        let start = || Ok::<_, io::Error>(Cursor::at_start(file_id(&file.metadata()?), known.head.clone()));
        let cursor = cursor.cloned().map_or_else(start, Ok)?;
        tracing::info!(log = %path.display(), offset = cursor.offset, "reading a rotated log to its end");
        self.drain(file, &known, cursor)
    }

    /// Passes on what stands in a log from the cursor to its end. `false`: stopped.
    fn drain(&mut self, file: &File, known: &Known, mut cursor: Cursor) -> Result<bool, Failure> {
        let mut importer = known.importer(&self.rules, &cursor.node);
        let mut content = Content::open(file, LINE_BYTES_MAX)?;
        let mut pieces = Vec::new();
        let from = cursor.offset;
        loop {
            let start = content.offset();
            let mut text = Vec::new();
            let line = content.next(&mut text)?;
            if line.is_some() && start >= from {
                // An oversized line is cut, and its piece says so.
                let piece = Piece::new(start, &text);
                let is_whole = line == Some(true);
                pieces.push(Piece { is_whole, ..piece });
                cursor.offset = content.offset();
            }
            if pieces.len() >= DRAINED_AT_ONCE || line.is_none() {
                if self.stop.is_cancelled() || !self.take(&mut importer, &cursor.node, std::mem::take(&mut pieces)) {
                    return Ok(false);
                }
                self.pending.push_back((self.spool.end_seq(), cursor.clone()));
                self.keep()?;
            }
            if line.is_none() {
                return Ok(true);
            }
        }
    }

    /// The logs beside the one that is followed that bear its name and more, the oldest first.
    fn rotated(&self, now: FileId) -> Result<Vec<(PathBuf, File)>, Failure> {
        let (Some(name), Some(folder)) = (self.log.file_name(), self.log.parent()) else { return Ok(Vec::new()) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let name = name.as_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let bears_it = path.file_name().is_some_and(|other| {
                let rest = other.as_encoded_bytes().strip_prefix(name);
                rest.is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'-' | b'_')))
            });
            let Some((file, metadata)) = (if bears_it { opened(&path)? } else { None }) else { continue };
            if metadata.is_file() && file_id(&metadata) != now {
                found.push((metadata.modified()?, path, file));
            }
        }
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Ok(found.into_iter().map(|(_, path, file)| (path, file)).collect())
    }

    /// Makes records of lines and gives them to the spool. While it takes none, the log waits. `false`: stopped.
    fn take(&mut self, importer: &mut Importer, node: &str, pieces: Vec<Piece>) -> bool {
        let mut batch: Vec<Bytes> = Vec::new();
        for Piece { start, text, is_whole } in pieces {
            // The first byte is number 1, as lines are numbered.
            let number = start + 1;
            let result = if is_whole {
                importer.line(number, &text)
            } else {
                let detail = format!("a line of over {LINE_BYTES_MAX} bytes");
                let rejected = Rejected::whole(RejectReason::Oversized, detail);
                Imported::Rejected(RejectedLine { line: number, rejected, bytes: text })
            };
            match result {
                Imported::Record(record) => batch.push(Bytes::from(record.encode())),
                Imported::PassedOver => {}
                Imported::Rejected(line) => {
                    self.metrics.rejected.inc();
                    (self.on_rejected)(node, line);
                }
            }
        }
        while let Err(error) = self.spool.append_batch_blocking(&batch) {
            tracing::warn!(%error, "the spool takes no records; the log waits");
            if self.stop.is_cancelled() {
                return false;
            }
            thread::sleep(RETRY);
        }
        self.metrics.lines.inc_by(batch.len() as u64);
        true
    }

    /// Keeps the last cursor whose records are on the disk.
    fn keep(&mut self) -> Result<(), Failure> {
        let synced = self.spool.synced_through();
        let mut newest = None;
        while self.pending.front().is_some_and(|(end, _)| *end <= synced) {
            newest = self.pending.pop_front();
        }
        let Some((_, cursor)) = newest.filter(|(_, cursor)| self.saved.as_ref() != Some(cursor)) else { return Ok(()) };
        cursor.save(&self.kept_at, self.log).map_err(Failure::Save)?;
        self.saved = Some(cursor);
        Ok(())
    }

    fn set_behind(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.behind_bytes.inc_by(bytes - self.behind_bytes);
        self.behind_bytes = bytes;
    }

    /// What a log begins with; `None` until its first line is whole. The first one says which format all have, where that was not said.
    fn identify(&self, file: &File) -> Result<Option<Known>, Failure> {
        let rules = self.rules.clone();
        let mut content = Content::open(file, LINE_BYTES_MAX)?;
        let mut importer = Importer::new(rules, "");
        let mut headers = Vec::new();
        while headers.len() < HEADERS_MAX {
            let mut text = Vec::new();
            let before = content.offset();
            let Some(is_whole) = content.next(&mut text)? else { return Ok(None) };
            if content.offset() - before == text.len() as u64 {
                // Nothing ends it yet.
                return Ok(None);
            }
            if !is_whole || !matches!(importer.line(1, &text), Imported::PassedOver) {
                return Ok(Some(Known { head: Head::of(&text), headers }));
            }
            headers.push(text);
        }
        Ok(None)
    }
}

/// What a log begins with.
struct Known {
    head: Head,
    /// The lines before it, which say how lines are to be read.
    headers: Vec<Vec<u8>>,
}

impl Known {
    fn importer(&self, rules: &ImportRules, node: &str) -> Importer {
        let mut importer = Importer::new(rules.clone(), node);
        for header in &self.headers {
            drop(importer.line(1, header));
        }
        importer
    }
}

fn opened(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    match File::open(path) {
        Ok(file) => file.metadata().map(|metadata| Some((file, metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn file_id(metadata: &Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

fn end_of_last_line(file: &File, size: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let from = size.saturating_sub(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(size - from).unwrap_or_default()];
    file.read_exact_at(&mut tail, from)?;
    Ok(tail.iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at as u64 + 1))
}
