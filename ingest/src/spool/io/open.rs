//! Opening a spool: identity, lock, the torn tail, the cursors, a new epoch.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::super::frame::{self, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FrameError};
use super::super::segment::{self, SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::super::{Recovery, SpoolError, SpoolOptions, cursor};
use super::files::{self, at};
use super::shared::{Active, Opened, ReaderPlace, Shared, State};

/// The piece of a segment that is looked at; it grows when a frame is larger.
const SCAN_BYTES: usize = 512 << 10;
/// Bits of a sequence number within an opening.
const EPOCH_SHIFT: u32 = 32;

pub(super) fn open(options: SpoolOptions) -> Result<(Shared, Recovery), SpoolError> {
    let segments_dir = options.dir.join("segments");
    let cursors_dir = options.dir.join("cursors");
    for dir in [&options.dir, &segments_dir, &cursors_dir] {
        files::make_dir(dir).map_err(at("make the directory", dir))?;
    }
    let lock = lock(&options.dir)?;
    let node = node(&options.dir)?;
    let mut segments = list(&segments_dir)?;
    let newest_base = segments.last().map_or(0, |s| s.base_seq);
    let mut unused = take_never_used(&segments_dir, &mut segments)?;
    let mut torn_bytes = 0;
    if let Some(lost) = take_behind_a_cut(&segments_dir, &mut segments)? {
        torn_bytes += lost.bytes;
        unused.push(lost);
    }
    torn_bytes += repair_last(&segments_dir, &mut segments)?;
    fill_ends(&segments_dir, &mut segments)?;
    // A spool that is opened often and written rarely does not collect empty files.
    unused.extend(segments.pop_if(|s| s.records() == 0));
    let readers = cursors(&cursors_dir)?;

    let last_seq = segments.last().map_or(newest_base, |s| s.end_seq.max(newest_base));
    let last_cursor = readers.values().map(|r| r.committed).max().unwrap_or(0);
    let epoch = last_seq.max(last_cursor) >> EPOCH_SHIFT;
    let first_seq = (epoch + 1) << EPOCH_SHIFT;
    let now_ms = files::now_ms();
    let header = SegmentHeader {
        base_seq: first_seq,
        previous_end_seq: Some(segments.last().map_or(first_seq, |s| s.end_seq)),
        created_ms: now_ms,
    };
    let active = files::create_segment(&segments_dir, &header)
        .and_then(|file| files::sync_segment(&segments_dir, &file).map(|()| file))
        .map_err(at("make a segment in", &segments_dir))?;
    for segment in unused {
        let path = segment::path(&segments_dir, segment.base_seq);
        fs::remove_file(&path).map_err(at("remove", &path))?;
    }
    segments.push(Segment {
        base_seq: first_seq,
        end_seq: first_seq,
        bytes: SEGMENT_HEADER_BYTES as u64,
        modified_ms: now_ms,
    });
    let recovery = Recovery { segments: segments.len(), torn_bytes, first_seq };
    if torn_bytes > 0 {
        tracing::warn!(torn_bytes, dir = %segments_dir.display(), "cut the torn tail of the spool");
    }
    let shared = Shared::new(Opened {
        options,
        node,
        segments_dir,
        cursors_dir,
        state: State { segments, readers },
        active: Active { file: Arc::new(active), header, unsynced: None },
        lock,
        end_seq: first_seq,
    });
    Ok((shared, recovery))
}

/// Takes the spool for this process; a second opener learns who has it.
fn lock(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join("lock");
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(at("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = (&mut file).take(20).read_to_string(&mut pid);
            let known = read.is_ok() && !pid.trim().is_empty();
            return Err(SpoolError::Locked {
                dir: dir.into(),
                pid: if known { pid.trim().into() } else { "unknown".into() },
            });
        }
        Err(TryLockError::Error(source)) => return Err(at("lock", &path)(source)),
    }
    let named = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    named.map_err(at("write", &path))?;
    Ok(file)
}

/// The spool's identity, made on the first opening.
fn node(dir: &Path) -> Result<String, SpoolError> {
    let path = dir.join("node");
    if !path.exists() {
        let made = uuid::Uuid::now_v7();
        files::write_durably(&path, &format!("{made}\n")).map_err(at("write", &path))?;
    }
    let text = fs::read_to_string(&path).map_err(at("read", &path))?;
    let node = uuid::Uuid::try_parse(text.trim()).map_err(|_not_a_uuid| SpoolError::Node { path })?;
    Ok(node.to_string())
}

/// The segments by name and size, oldest first. Ends are not known yet.
fn list(dir: &Path) -> Result<Vec<Segment>, SpoolError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let entry = entry.map_err(at("list", dir))?;
        let name = entry.file_name();
        let Some(base_seq) = name.to_str().and_then(segment::base_seq_of) else {
            continue;
        };
        let metadata = entry.metadata().map_err(at("read the size of", &entry.path()))?;
        segments.push(Segment {
            base_seq,
            end_seq: base_seq,
            bytes: metadata.len(),
            modified_ms: metadata.modified().map_or_else(|_| files::now_ms(), files::ms_of),
        });
    }
    segments.sort_unstable_by_key(|s| s.base_seq);
    Ok(segments)
}

/// Takes the files from the end that never got a header: a process or a power cut ended before their first record was synced.
fn take_never_used(dir: &Path, segments: &mut Vec<Segment>) -> Result<Vec<Segment>, SpoolError> {
    let mut never_used = Vec::new();
    while let Some(last) = segments.last() {
        let path = segment::path(dir, last.base_seq);
        let mut start = Vec::new();
        let limit = SEGMENT_HEADER_BYTES as u64 + 1;
        let file = File::open(&path).map_err(at("open", &path))?;
        file.take(limit).read_to_end(&mut start).map_err(at("read", &path))?;
        let named = segment::decode_header(&start).is_some_and(|h| h.base_seq == last.base_seq);
        if named {
            break;
        }
        if start.len() > SEGMENT_HEADER_BYTES && start.iter().any(|b| *b != 0) {
            return Err(SpoolError::Segment { path, offset: 0 });
        }
        never_used.extend(segments.pop());
    }
    Ok(never_used)
}

/// Takes the last segment if a power cut took the end of the one before it, which was not synced when the last one began. What the last one
/// holds was not synced either, as the older is always synced first; so both lost no more than the last interval between two syncs.
fn take_behind_a_cut(dir: &Path, segments: &mut Vec<Segment>) -> Result<Option<Segment>, SpoolError> {
    let [.., before, last] = segments.as_slice() else {
        return Ok(None);
    };
    let header = header_of(dir, last.base_seq)?;
    if header.previous_end_seq.is_some() {
        return Ok(None);
    }
    let path = segment::path(dir, before.base_seq);
    let (end_seq, _whole) =
        File::open(&path).and_then(|file| whole_frames(&file, before.base_seq)).map_err(at("read", &path))?;
    if end_seq != last.base_seq {
        return Ok(segments.pop());
    }
    // The process ended, and the machine went on: what is left to do is the sync that it did not come to.
    let paths = [&path, &segment::path(dir, last.base_seq)];
    let [before, last_file] = paths.map(|path| File::options().write(true).open(path));
    let sealed =
        files::seal(dir, &before.map_err(at("open", paths[0]))?, &last_file.map_err(at("open", paths[1]))?, &header);
    sealed.map_err(at("sync", &path))?;
    Ok(None)
}

/// Checks the last segment, cuts what is no whole frame, and gives the bytes cut.
fn repair_last(dir: &Path, segments: &mut [Segment]) -> Result<u64, SpoolError> {
    let Some(last) = segments.last_mut() else {
        return Ok(0);
    };
    let path = segment::path(dir, last.base_seq);
    let file = File::options().read(true).write(true).open(&path).map_err(at("open", &path))?;
    let (end_seq, whole) = whole_frames(&file, last.base_seq).map_err(at("read", &path))?;
    last.end_seq = end_seq;
    let torn = last.bytes.saturating_sub(whole);
    last.bytes = whole;
    if torn > 0 {
        file.set_len(whole).map_err(at("cut the torn tail of", &path))?;
    }
    // What an earlier process wrote may not be synced yet, and readers are about to pass it on.
    file.sync_all().map_err(at("sync", &path))?;
    Ok(torn)
}

/// How far the frames of a segment are whole: one past the last record, and the bytes. Read in pieces into one buffer: a file at once
/// costs more in fresh pages than in reading.
fn whole_frames(file: &File, base_seq: u64) -> io::Result<(u64, u64)> {
    let mut buffer = vec![0; SCAN_BYTES];
    let frame_bytes_max = FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX;
    let (mut filled, mut at) = (0, 0);
    let (mut end_seq, mut whole) = (base_seq, SEGMENT_HEADER_BYTES as u64);
    loop {
        let unread = buffer.get(at..filled).unwrap_or_default();
        match frame::check(unread) {
            Ok(frame) if frame.first_seq == end_seq => {
                at += frame.frame_bytes();
                whole += frame.frame_bytes() as u64;
                end_seq = frame.end_seq();
            }
            Err(FrameError::Short) => {
                let left = unread.len();
                buffer.copy_within(at..filled, 0);
                if left == buffer.len() && left < frame_bytes_max {
                    buffer.resize(frame_bytes_max, 0);
                }
                let read = file.read_at(buffer.get_mut(left..).unwrap_or_default(), whole + left as u64)?;
                if read == 0 {
                    return Ok((end_seq, whole));
                }
                (at, filled) = (0, left + read);
            }
            Ok(_) | Err(_) => return Ok((end_seq, whole)),
        }
    }
}

/// Where each sealed segment ends: at the next one's base within an opening, and as the next one's header says across openings.
fn fill_ends(dir: &Path, segments: &mut [Segment]) -> Result<(), SpoolError> {
    for index in 1..segments.len() {
        let (base, next_base) = (segments[index - 1].base_seq, segments[index].base_seq);
        segments[index - 1].end_seq = if base >> EPOCH_SHIFT == next_base >> EPOCH_SHIFT {
            next_base
        } else {
            header_of(dir, next_base)?.previous_end_seq.unwrap_or(base).clamp(base, next_base)
        };
    }
    Ok(())
}

fn header_of(dir: &Path, base_seq: u64) -> Result<SegmentHeader, SpoolError> {
    let path = segment::path(dir, base_seq);
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = File::open(&path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(at("read", &path))?;
    segment::decode_header(&bytes).ok_or(SpoolError::Segment { path, offset: 0 })
}

fn cursors(dir: &Path) -> Result<BTreeMap<String, ReaderPlace>, SpoolError> {
    let mut readers = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let entry = entry.map_err(at("list", dir))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(String::from) else {
            continue;
        };
        if !cursor::is_reader_name(&name) {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(at("read", &path))?;
        let committed = cursor::decode(&text).ok_or(SpoolError::Cursor { path })?;
        readers.insert(name, ReaderPlace { committed, open: false });
    }
    Ok(readers)
}
