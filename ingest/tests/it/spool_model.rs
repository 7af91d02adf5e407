//! The spool against an oracle: a plain vector of what was acknowledged.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use whopulls_ingest::spool::{ReadError, Reader, Recovery, Spool, SpoolError, SpoolOptions};

const READERS: [&str; 2] = ["slow", "fast"];
const FRAME_HEADER_BYTES: usize = 24;
const SEGMENT_HEADER_BYTES: u64 = 36;

#[derive(Debug, Clone)]
enum Step {
    /// One group of payloads of these sizes.
    Append(Vec<usize>),
    Read(usize, usize),
    Commit(usize),
    Retain,
    Reopen,
    /// Bytes after the last whole frame, as a crash in a write leaves them.
    ReopenWithGarbage(Vec<u8>),
    /// The file's last bytes are gone, as a power cut leaves it.
    ReopenCut(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(0_usize..120, 1..5).prop_map(Step::Append),
        4 => (0..READERS.len(), 1_usize..12).prop_map(|(reader, n)| Step::Read(reader, n)),
        3 => (0..READERS.len()).prop_map(Step::Commit),
        2 => Just(Step::Retain),
        1 => Just(Step::Reopen),
        1 => vec(any::<u8>(), 1..80).prop_map(Step::ReopenWithGarbage),
        1 => (1_u64..300).prop_map(Step::ReopenCut),
    ]
}

#[derive(Debug, Clone)]
struct Frame {
    first_seq: u64,
    payloads: Vec<Bytes>,
}

impl Frame {
    fn bytes(&self) -> u64 {
        let body: usize = self.payloads.iter().map(|p| 4 + p.len()).sum();
        (FRAME_HEADER_BYTES + body) as u64
    }

    fn end_seq(&self) -> u64 {
        self.first_seq + self.payloads.len() as u64
    }

    fn records(&self) -> impl Iterator<Item = (u64, Bytes)> {
        (self.first_seq..).zip(self.payloads.iter().cloned())
    }
}

struct Model {
    dir: tempfile::TempDir,
    open: Option<(Spool, Vec<Reader>)>,
    frames: Vec<Frame>,
    /// Of each reader: what it gave last, and what it made durable.
    next: Vec<u64>,
    committed: Vec<u64>,
    appended: u8,
}

fn options(dir: &Path) -> SpoolOptions {
    SpoolOptions { segment_bytes: 700, ..SpoolOptions::new(dir) }
}

impl Model {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut model = Self {
            dir,
            open: None,
            frames: Vec::new(),
            next: vec![0; READERS.len()],
            committed: vec![0; READERS.len()],
            appended: 0,
        };
        assert_eq!(model.reopen(), 0);
        model
    }

    /// Another test of this process may be starting a program, which holds every lock of the process until it runs.
    fn opened(&self) -> (Spool, Recovery) {
        let open = || match Spool::open(options(self.dir.path())) {
            Err(SpoolError::Locked { .. }) => {
                std::thread::yield_now();
                None
            }
            opened => Some(opened.expect("the spool opens")),
        };
        (0..1_000_000).find_map(|_| open()).expect("the lock is free again")
    }

    fn reopen(&mut self) -> u64 {
        let (spool, recovery) = self.opened();
        let readers = READERS.iter().map(|name| spool.reader(name).expect("the reader opens")).collect();
        let newest = self.frames.last().map_or(0, Frame::end_seq);
        assert!(recovery.first_seq >= newest, "a sequence number is used twice");
        self.next.clone_from(&self.committed);
        self.open = Some((spool, readers));
        recovery.torn_bytes
    }

    fn spool(&self) -> &Spool {
        &self.open.as_ref().expect("the spool is open").0
    }

    fn reader(&mut self, index: usize) -> &mut Reader {
        &mut self.open.as_mut().expect("the spool is open").1[index]
    }

    fn append(&mut self, sizes: &[usize]) {
        self.appended = self.appended.wrapping_add(1);
        let payloads: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![self.appended; *size])).collect();
        let last = self.spool().append_batch_blocking(&payloads).expect("the append is written");
        let first_seq = last + 1 - payloads.len() as u64;
        assert!(first_seq >= self.frames.last().map_or(0, Frame::end_seq), "a sequence number is used twice");
        self.frames.push(Frame { first_seq, payloads });
    }

    /// What a reader at `from` must give.
    fn expected(&self, from: u64) -> Vec<(u64, Bytes)> {
        self.frames.iter().flat_map(Frame::records).filter(|(seq, _)| *seq >= from).collect()
    }

    fn read(&mut self, index: usize, records_max: usize) {
        let mut expected = self.expected(self.next[index]);
        expected.truncate(records_max);
        let records = self.reader(index).read(records_max, usize::MAX).expect("nothing is damaged");
        let found: Vec<(u64, Bytes)> = records.into_iter().map(|r| (r.seq, r.payload)).collect();
        assert_eq!(found, expected);
        if let Some((seq, _)) = found.last() {
            self.next[index] = seq + 1;
        }
    }

    fn commit(&mut self, index: usize) {
        let next = self.next[index];
        self.reader(index).commit(next).expect("the position is written");
        self.committed[index] = next;
        let expected = self.expected(next).len() as u64;
        assert_eq!(self.reader(index).lag().records, expected);
    }

    fn last_segment(&self) -> PathBuf {
        segments(self.dir.path()).pop().expect("a spool has a segment")
    }

    fn reopen_with_garbage(&mut self, garbage: &[u8]) {
        self.open = None;
        let mut file = OpenOptions::new().append(true).open(self.last_segment()).expect("the segment opens");
        file.write_all(garbage).expect("garbage is written");
        drop(file);
        assert_eq!(self.reopen(), garbage.len() as u64);
    }

    fn reopen_cut(&mut self, cut_bytes: u64) {
        self.open = None;
        let path = self.last_segment();
        let base = base_of(&path);
        let length = fs::metadata(&path).expect("the segment is there").len();
        let kept = length.saturating_sub(cut_bytes).max(SEGMENT_HEADER_BYTES);
        OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(kept)).expect("the segment is cut");
        let mut whole = SEGMENT_HEADER_BYTES;
        let mut lost_from = u64::MAX;
        for frame in self.frames.iter().filter(|f| f.first_seq >= base) {
            if whole + frame.bytes() > kept {
                lost_from = lost_from.min(frame.first_seq);
                break;
            }
            whole += frame.bytes();
        }
        let newest = self.frames.last().map_or(0, Frame::end_seq);
        self.frames.retain(|f| f.first_seq < lost_from);
        assert_eq!(self.reopen(), kept - whole);
        assert!(self.spool().end_seq() >= newest, "a lost record's number is used again");
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(sizes) => self.append(sizes),
            Step::Read(index, n) => self.read(*index, *n),
            Step::Commit(index) => self.commit(*index),
            Step::Retain => self.spool().retain(),
            Step::Reopen => {
                self.open = None;
                assert_eq!(self.reopen(), 0);
            }
            Step::ReopenWithGarbage(garbage) => self.reopen_with_garbage(garbage),
            Step::ReopenCut(bytes) => self.reopen_cut(*bytes),
        }
    }

    /// Everything that is not committed by everybody can be read, after everything that happened.
    fn check_all(&mut self) {
        self.spool().retain();
        for index in 0..READERS.len() {
            let committed = self.committed[index];
            self.next[index] = committed;
            self.reader(index).seek(committed);
            self.read(index, usize::MAX);
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("segments")).expect("the directory is there");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn base_of(path: &Path) -> u64 {
    let stem = path.file_stem().and_then(|s| s.to_str()).expect("a segment has a name");
    stem.parse().expect("a segment is named by a number")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_gives_what_was_acknowledged_once_and_in_order(steps in vec(step(), 1..40)) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        model.check_all();
    }

    #[test]
    fn damage_in_a_sealed_segment_is_said_where_it_is(
        sizes in vec(vec(0_usize..120, 1..5), 12..24), place in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut model = Model::new();
        for sizes in &sizes {
            model.append(sizes);
        }
        let paths = segments(model.dir.path());
        let sealed = paths.split_last().expect("a spool has a segment").1;
        prop_assume!(!sealed.is_empty());
        let sealed: Vec<(PathBuf, u64)> = sealed
            .iter()
            .map(|p| (p.clone(), fs::metadata(p).expect("the segment is there").len() - SEGMENT_HEADER_BYTES))
            .collect();
        let mut at = place.index(usize::try_from(sealed.iter().map(|(_, n)| n).sum::<u64>()).expect("small")) as u64;
        let (path, _) = sealed.iter().find(|(_, n)| if at < *n { true } else { at -= n; false }).expect("within");
        let offset = SEGMENT_HEADER_BYTES + at;
        let mut bytes = fs::read(path).expect("the segment is there");
        bytes[usize::try_from(offset).expect("small")] ^= 1 << bit;
        fs::write(path, bytes).expect("the segment is changed");

        let base = base_of(path);
        let mut frame_at = SEGMENT_HEADER_BYTES;
        let damaged = model.frames.iter().filter(|f| f.first_seq >= base).find(|f| {
            let here = offset < frame_at + f.bytes();
            if !here { frame_at += f.bytes(); }
            here
        }).expect("the damage is in a frame").first_seq;
        let before: Vec<_> = model.expected(0).into_iter().filter(|(seq, _)| *seq < damaged).collect();
        let mut found = Vec::new();
        let error = loop {
            match model.reader(0).read(7, usize::MAX) {
                Ok(records) => {
                    prop_assert!(!records.is_empty(), "the damage was passed over");
                    found.extend(records.into_iter().map(|r| (r.seq, r.payload)));
                }
                Err(error) => break error,
            }
        };
        prop_assert_eq!(found, before);
        let ReadError::Damaged { path: named, offset, next_seq, .. } = error else {
            return Err(TestCaseError::fail(error.to_string()));
        };
        prop_assert_eq!((&named, offset, next_seq), (path, frame_at, damaged));
    }
}
