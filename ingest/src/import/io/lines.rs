//! Lines of bounded length, and chunks of them that threads can read by themselves.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

use super::super::{Imported, Importer, RejectedLine};
use super::content::{self, BUFFER_BYTES};
use whopulls_schemas::{RejectReason, Rejected};

/// Lines of a chunk: their records are appended to the spool together, about 400 KiB.
const CHUNK_LINES: usize = 1000;
/// A chunk ends behind the line with which it is longer than this. With the longest line, 256 KiB of our own records, it is twice as long.
const CHUNK_BYTES: usize = 256 << 10;

/// A text's lines.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    line_bytes_max: usize,
    /// Bytes of the content read, with line breaks.
    bytes: u64,
    /// Lines read.
    count: u64,
}

/// A line that was put behind a buffer: where, and whether it was too long to be kept whole.
pub(super) struct Line {
    pub(super) range: Range<usize>,
    pub(super) is_whole: bool,
}

impl Lines {
    pub(super) fn new(content: Box<dyn Read + Send>, line_bytes_max: usize) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER_BYTES, content), line_bytes_max, bytes: 0, count: 0 }
    }

    /// Puts the next line, without its break, behind what `buffer` holds. `None` at the end.
    pub(super) fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Line>> {
        let start = buffer.len();
        let limit = self.line_bytes_max as u64 + 1;
        let mut read = (&mut self.reader).take(limit).read_until(b'\n', buffer)?;
        if read == 0 {
            return Ok(None);
        }
        let is_whole = buffer.ends_with(b"\n") || read <= self.line_bytes_max;
        if !is_whole {
            read += self.reader.skip_until(b'\n')?;
        }
        self.bytes += read as u64;
        self.count += 1;
        if buffer.len() > start && buffer.ends_with(b"\n") {
            buffer.pop();
        }
        if buffer.len() > start && buffer.ends_with(b"\r") {
            buffer.pop();
        }
        Ok(Some(Line { range: start..buffer.len(), is_whole }))
    }
}

/// A log's lines with their places, for one that is followed.
pub(crate) struct Content(Lines);

impl Content {
    /// The content from its beginning, unpacked.
    pub(crate) fn open(file: &File, line_bytes_max: usize) -> io::Result<Self> {
        Ok(Self(Lines::new(content::reader(file)?, line_bytes_max)))
    }

    /// Puts the next line behind what `buffer` holds, and says whether it is whole. `None` at the end.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        Ok(self.0.next(buffer)?.map(|line| line.is_whole))
    }

    /// Behind the last line that was read.
    pub(crate) const fn offset(&self) -> u64 {
        self.0.bytes
    }
}

/// Lines that follow each other and are read under the same header.
pub(super) struct Chunk {
    importer: Importer,
    first: u64,
    buffer: Vec<u8>,
    lines: Vec<ChunkLine>,
    /// How far the content is read behind this chunk.
    pub(super) bytes_read: u64,
}

struct ChunkLine {
    range: Range<usize>,
    kind: LineKind,
}

enum LineKind {
    Data,
    Oversized { line_bytes_max: usize },
    Header(Option<Rejected>),
}

impl Chunk {
    /// The next lines; `None` at the end. A line that changes how lines are read ends a chunk, and `importer` has what it says.
    pub(super) fn read(lines: &mut Lines, importer: &mut Importer) -> io::Result<Option<Self>> {
        let under = importer.clone();
        let first = lines.count + 1;
        let mut chunk = Self { importer: under, first, buffer: Vec::new(), lines: Vec::new(), bytes_read: 0 };
        while chunk.lines.len() < CHUNK_LINES && chunk.buffer.len() < CHUNK_BYTES {
            let Some(Line { range, is_whole }) = lines.next(&mut chunk.buffer)? else { break };
            let text = chunk.buffer.get(range.clone()).unwrap_or_default();
            let header = if is_whole { importer.header_line(text) } else { None };
            let is_header = header.is_some();
            let kind = match header {
                Some(header) => {
                    importer.header = header.header;
                    LineKind::Header(header.rejected)
                }
                None if is_whole => LineKind::Data,
                None => LineKind::Oversized { line_bytes_max: lines.line_bytes_max },
            };
            chunk.lines.push(ChunkLine { range, kind });
            if is_header {
                break;
            }
        }
        chunk.bytes_read = lines.bytes;
        Ok((!chunk.lines.is_empty()).then_some(chunk))
    }

    /// The results, in order.
    pub(super) fn results(self) -> impl Iterator<Item = Imported> {
        let Self { importer, first, buffer, lines, .. } = self;
        lines.into_iter().zip(first..).map(move |(line, number)| {
            let text = buffer.get(line.range).unwrap_or_default();
            let refused = |rejected| Imported::Rejected(RejectedLine { line: number, rejected, bytes: text.to_vec() });
            match line.kind {
                LineKind::Data => importer.data_line(number, text),
                LineKind::Header(rejected) => rejected.map_or(Imported::PassedOver, refused),
                LineKind::Oversized { line_bytes_max } => {
                    let detail = format!("a line of over {line_bytes_max} bytes");
                    refused(Rejected::whole(RejectReason::Oversized, detail))
                }
            }
        })
    }
}
