//! The complete lines of a file that grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// A longer line is refused as oversized; its start is kept.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A line, and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) text: Vec<u8>,
    pub(super) is_whole: bool,
}

impl Piece {
    pub(super) fn new(start: u64, line: &[u8]) -> Self {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_whole = line.len() <= LINE_BYTES_MAX;
        Self { start, text: line.get(..LINE_BYTES_MAX).unwrap_or(line).to_vec(), is_whole }
    }
}

/// A file that is read as it grows.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) file: File,
    /// Behind the last line that was given.
    pub(super) offset: u64,
    /// Within a line that was given as oversized.
    skipping: bool,
}

impl Growing {
    pub(super) fn new(file: File, offset: u64) -> Self {
        Self { file, offset, skipping: false }
    }

    /// The next complete lines; of a file that is over, its last one too, though nothing ends it.
    pub(super) fn next(&mut self, is_over: bool) -> io::Result<Vec<Piece>> {
        let chunk = self.chunk()?;
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(length) = chunk.iter().skip(from).position(|byte| *byte == b'\n') {
            let line = chunk.get(from..from + length).unwrap_or_default();
            if !std::mem::take(&mut self.skipping) {
                pieces.push(Piece::new(self.offset + from as u64, line));
            }
            from += length + 1;
        }
        let rest = chunk.get(from..).unwrap_or_default();
        let is_endless = from == 0 && chunk.len() == CHUNK_BYTES;
        if !rest.is_empty() && (is_endless || is_over && chunk.len() < CHUNK_BYTES) {
            if !std::mem::replace(&mut self.skipping, is_endless) {
                pieces.push(Piece::new(self.offset + from as u64, rest));
            }
            from = chunk.len();
        }
        self.offset += from as u64;
        Ok(pieces)
    }

    fn chunk(&self) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while let Some(room) = chunk.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.file.read_at(room, self.offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(filled);
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_a_file_grows_each_line_is_given_once_with_its_place(
            lines in proptest::collection::vec("[a-z]{0,40}", 0..60), cuts in proptest::collection::vec(1..50_usize, 0..60), ends in any::<bool>(),
        ) {
            let mut text = lines.join("\n").into_bytes();
            if ends && !lines.is_empty() {
                text.push(b'\n');
            }
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            let mut growing = Growing::new(file.reopen().expect("the file"), 0);
            let (mut left, mut given) = (text.as_slice(), Vec::new());
            for cut in cuts {
                let (now, later) = left.split_at(cut.min(left.len()));
                file.write_all(now).expect("written");
                given.extend(growing.next(false).expect("read"));
                left = later;
            }
            file.write_all(left).expect("written");
            given.extend(growing.next(false).expect("read"));
            given.extend(growing.next(true).expect("read"));
            let mut expected = Vec::new();
            let mut start = 0;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                expected.push(Piece::new(start, line.strip_suffix(b"\n").unwrap_or(line)));
                start += line.len() as u64;
            }
            prop_assert_eq!(given, expected);
            prop_assert_eq!(growing.offset, text.len() as u64);
        }
    }

    #[test]
    fn a_line_without_end_is_given_once_as_oversized() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut growing = Growing::new(file.reopen().expect("the file"), 0);
        file.write_all(&vec![b'x'; 3 * CHUNK_BYTES]).expect("written");
        let given: Vec<Piece> = (0..4).flat_map(|_| growing.next(false).expect("read")).collect();
        assert_eq!(
            given.iter().map(|piece| (piece.start, piece.text.len(), piece.is_whole)).collect::<Vec<_>>(),
            [(0, LINE_BYTES_MAX, false)]
        );
        file.write_all(b"end\ngood\n").expect("written");
        let given = growing.next(false).expect("read");
        assert_eq!(given, [Piece::new(3 * CHUNK_BYTES as u64 + 4, b"good")]);
    }
}
