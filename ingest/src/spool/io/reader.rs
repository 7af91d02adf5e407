//! A reader: its place in the segments, and its durable cursor.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::super::frame::{self, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FrameError};
use super::super::segment::{SEGMENT_HEADER_BYTES, Segment};
use super::super::{Lag, ReadError, Record, SpoolError, cursor};
use super::files;
use super::shared::{ReaderPlace, Shared};

/// What is read from a file at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads a spool in order from its durable position. It has one owner.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    name: String,
    written: watch::Receiver<u64>,
    /// The next sequence number to give.
    next_seq: u64,
    pending: VecDeque<Record>,
    place: Option<Place>,
}

/// Where the next frame begins.
#[derive(Debug)]
struct Place {
    file: File,
    base_seq: u64,
    /// Of the next frame, from the start of the file.
    offset: u64,
    /// The first sequence number that the next frame must have.
    frame_seq: u64,
    /// Bytes of the file from `offset` on.
    chunk: Bytes,
}

impl Reader {
    pub(super) fn open(shared: Arc<Shared>, name: &str) -> Result<Self, SpoolError> {
        if !cursor::is_reader_name(name) {
            return Err(SpoolError::ReaderName { name: name.into() });
        }
        let (committed, known) = {
            let mut state = shared.state();
            let oldest = state.segments.first().map_or(0, |s| s.base_seq);
            let known = state.readers.contains_key(name);
            let fresh = ReaderPlace { committed: oldest, open: false };
            let place = state.readers.entry(name.into()).or_insert(fresh);
            if place.open {
                return Err(SpoolError::ReaderInUse { name: name.into() });
            }
            place.open = true;
            (place.committed, known)
        };
        let reader = Self {
            written: shared.watch_written(),
            shared,
            name: name.into(),
            next_seq: committed,
            pending: VecDeque::new(),
            place: None,
        };
        if !known {
            let path = reader.shared.cursor_path(name);
            files::write_durably(&path, &cursor::encode(committed)).map_err(files::at("write", &path))?;
        }
        Ok(reader)
    }

    /// The next records, as many as are there, up to `records_max`; ends early once `bytes_max` is reached. Empty at the end.
    ///
    /// # Errors
    /// A segment is damaged or cannot be read. The reader stays where it is; the same call gives the same error.
    pub fn read(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < records_max && bytes < bytes_max {
            if self.pending.is_empty() {
                match self.load_frame() {
                    Ok(true) => {}
                    // What came before the damage is given first.
                    Err(error) if records.is_empty() => return Err(error),
                    Ok(false) | Err(_) => break,
                }
            }
            if let Some(record) = self.pending.pop_front() {
                bytes += record.payload.len();
                self.next_seq = record.seq + 1;
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Waits until there is something past the reader's place. False when the spool is closed and nothing will come.
    pub async fn wait_for_more(&mut self) -> bool {
        let next_seq = self.next_seq;
        !self.pending.is_empty() || self.written.wait_for(|end| *end > next_seq).await.is_ok()
    }

    /// Makes `next_seq` the durable position: everything before it is not needed again.
    ///
    /// # Errors
    /// It lies past the end of the spool, or the cursor file cannot be written.
    pub fn commit(&mut self, next_seq: u64) -> Result<(), ReadError> {
        let end_seq = self.shared.written();
        if next_seq > end_seq {
            return Err(ReadError::Position { name: self.name.clone(), next_seq, end_seq });
        }
        if self.committed() == next_seq {
            return Ok(());
        }
        let path = self.shared.cursor_path(&self.name);
        files::write_durably(&path, &cursor::encode(next_seq)).map_err(files::read_at("write", &path))?;
        if let Some(place) = self.shared.state().readers.get_mut(&self.name) {
            place.committed = next_seq;
        }
        Ok(())
    }

    /// Reads on from `next_seq`, or from the first record after it. The durable position does not move.
    pub fn seek(&mut self, next_seq: u64) {
        self.next_seq = next_seq;
        self.pending.clear();
        self.place = None;
    }

    /// The next sequence number that [`Reader::read`] gives, or the lowest it may be.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The durable position.
    pub fn committed(&self) -> u64 {
        self.shared.state().readers.get(&self.name).map_or(0, |r| r.committed)
    }

    /// How far the durable position is behind the end.
    pub fn lag(&self) -> Lag {
        self.shared.lag_of(&self.name).unwrap_or_default()
    }

    /// The identity of the spool that this reads.
    pub fn node(&self) -> &str {
        &self.shared.node
    }

    /// Fills `pending` from the next frame that holds something at or past `next_seq`. False at the end.
    fn load_frame(&mut self) -> Result<bool, ReadError> {
        while self.pending.is_empty() {
            let Some((segment, sealed)) = self.segment()? else {
                return Ok(false);
            };
            let Some(place) = &mut self.place else {
                return Ok(false);
            };
            if place.offset >= segment.bytes {
                if place.frame_seq != segment.end_seq {
                    let cut = FrameError::Sequence { expected: segment.end_seq, found: place.frame_seq };
                    return Err(self.damaged(cut));
                }
                // A place after the last record is the end; then what is asked for next is what will be written next.
                self.next_seq = self.next_seq.max(segment.end_seq);
                if !sealed {
                    return Ok(false);
                }
                self.place = None;
                continue;
            }
            let path = self.shared.segment_path(place.base_seq);
            place.fill(segment.bytes).map_err(files::read_at("read", &path))?;
            place.take_frame(self.next_seq, &mut self.pending).map_err(|error| self.damaged(error))?;
        }
        Ok(true)
    }

    /// The segment that `place` is in as it is now, and whether it is sealed; chooses and opens one when there is none.
    fn segment(&mut self) -> Result<Option<(Segment, bool)>, ReadError> {
        let wanted = self.place.as_ref().map(|p| p.base_seq);
        let (segment, sealed) = {
            let state = self.shared.state();
            let found = match wanted {
                Some(base_seq) => state.segments.iter().position(|s| s.base_seq == base_seq),
                None => None,
            };
            // The first that ends after the wanted record, or the one in use. What retention dropped is passed over.
            let index = found.or_else(|| {
                let ends_after = |s: &Segment| s.end_seq > self.next_seq;
                state.segments.iter().position(ends_after).or(state.segments.len().checked_sub(1))
            });
            let Some(segment) = index.and_then(|i| state.segments.get(i)) else {
                return Ok(None);
            };
            (*segment, index.is_some_and(|i| i + 1 < state.segments.len()))
        };
        if wanted != Some(segment.base_seq) {
            let path = self.shared.segment_path(segment.base_seq);
            let file = File::open(&path).map_err(files::read_at("open", &path))?;
            self.next_seq = self.next_seq.max(segment.base_seq);
            self.place = Some(Place::start(file, segment.base_seq));
        }
        Ok(Some((segment, sealed)))
    }

    fn damaged(&self, source: FrameError) -> ReadError {
        let (base_seq, offset, frame_seq) =
            self.place.as_ref().map_or((0, 0, 0), |p| (p.base_seq, p.offset, p.frame_seq));
        ReadError::Damaged { path: self.shared.segment_path(base_seq), offset, next_seq: frame_seq, source }
    }
}

impl Place {
    fn start(file: File, base_seq: u64) -> Self {
        Self { file, base_seq, offset: SEGMENT_HEADER_BYTES as u64, frame_seq: base_seq, chunk: Bytes::new() }
    }

    /// Makes `chunk` hold the next frame whole, as far as the file has it before `limit`.
    fn fill(&mut self, limit: u64) -> std::io::Result<()> {
        let wanted = frame::decode_header(&self.chunk).map_or(FRAME_HEADER_BYTES, |h| h.frame_bytes());
        if self.chunk.len() >= wanted {
            return Ok(());
        }
        self.read_chunk(limit, CHUNK_BYTES)?;
        let wanted = frame::decode_header(&self.chunk).map_or(0, |h| h.frame_bytes());
        if wanted > self.chunk.len() {
            self.read_chunk(limit, wanted.min(FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX))?;
        }
        Ok(())
    }

    fn read_chunk(&mut self, limit: u64, bytes: usize) -> std::io::Result<()> {
        let there = usize::try_from(limit.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; bytes.min(there)];
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..)
            && !rest.is_empty()
        {
            match self.file.read_at(rest, self.offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(filled);
        self.chunk = Bytes::from(buffer);
        Ok(())
    }

    fn take_frame(&mut self, next_seq: u64, pending: &mut VecDeque<Record>) -> Result<(), FrameError> {
        let expected = self.frame_seq;
        let header = frame::check(&self.chunk)?;
        if header.first_seq != expected {
            return Err(FrameError::Sequence { expected, found: header.first_seq });
        }
        if header.end_seq() > next_seq {
            frame::unpack(&self.chunk, &header, next_seq, pending)?;
        }
        let frame_bytes = header.frame_bytes();
        self.chunk = self.chunk.slice(frame_bytes..);
        self.offset += frame_bytes as u64;
        self.frame_seq = header.end_seq();
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(place) = self.shared.state().readers.get_mut(&self.name) {
            place.open = false;
        }
    }
}
