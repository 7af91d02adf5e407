//! One line of a CSV file. A record is one line: a line break within quotes ends it, and both halves are refused.

use csv::{ByteRecord, ReaderBuilder};
use whopulls_schemas::Rejected;

use super::super::header::{Columns, Header};
use super::super::part::wrong;

/// The line's cells, without their quotes.
pub(in super::super) fn cells(line: &[u8]) -> Result<ByteRecord, Rejected> {
    let mut record = ByteRecord::with_capacity(line.len(), 24);
    let mut reader = ReaderBuilder::new().has_headers(false).buffer_capacity(1024).from_reader(line);
    match reader.read_byte_record(&mut record) {
        Ok(true) if is_closed(line) => Ok(record),
        Ok(true) => Err(wrong("line", "a quote is not closed")),
        Ok(false) | Err(_) => Err(wrong("line", "not comma-separated values")),
    }
}

/// What `read` makes of the line, by the columns of its header or, without one, by the format's own.
pub(super) fn read<const N: usize, T>(
    line: &[u8],
    header: &Header,
    own: &'static [&'static str; N],
    read: impl FnOnce(&ByteRecord, &Columns) -> Result<T, Rejected>,
) -> Result<T, Rejected> {
    let record = cells(line)?;
    match header {
        Header::Columns(columns) => read(&record, columns),
        Header::Absent | Header::UnknownVersion => read(&record, &Columns::new(own.iter().copied(), own)),
    }
}

/// Quotes within quotes are doubled, so a line that ends outside them has an even number.
fn is_closed(line: &[u8]) -> bool {
    !line.iter().fold(false, |is_open, byte| is_open ^ (*byte == b'"'))
}

/// The cells as text; what is not UTF-8 is empty.
pub(in super::super) fn texts(record: &ByteRecord) -> Vec<&str> {
    record.iter().map(|cell| std::str::from_utf8(cell).unwrap_or_default()).collect()
}
