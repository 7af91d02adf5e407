//! Records that are appended together, encoded where the writer needs them.

use super::{AppendError, RECORD_BYTES_MAX, frame};

/// Records of one caller, in order, as the body of the frame that they may become. They are written together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Room for the frame's header, then the records; empty while there are none.
    frame: Vec<u8>,
    records: u32,
}

impl Batch {
    /// Adds a record.
    ///
    /// # Errors
    /// It is larger than [`RECORD_BYTES_MAX`]; the batch is as before.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), AppendError> {
        self.push_with(|out| out.extend_from_slice(payload))
    }

    /// Adds a record that `encode` appends to the buffer.
    ///
    /// # Errors
    /// It is larger than [`RECORD_BYTES_MAX`]; the batch is as before.
    pub fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), AppendError> {
        let bytes = frame::push(&mut self.frame, encode, RECORD_BYTES_MAX);
        if bytes > RECORD_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes, max: RECORD_BYTES_MAX });
        }
        self.records += 1;
        Ok(())
    }

    /// How many records there are.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes that the records take in a segment.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// Bytes of memory that it holds.
    pub fn capacity(&self) -> usize {
        self.frame.capacity()
    }

    /// Takes the records out; the memory stays.
    pub fn clear(&mut self) {
        self.frame.clear();
        self.records = 0;
    }

    /// Adds another batch's records behind these.
    pub(super) fn extend(&mut self, other: &Self) {
        if self.frame.is_empty() {
            self.frame.resize(frame::FRAME_HEADER_BYTES, 0);
        }
        self.frame.extend_from_slice(other.body());
        self.records += other.records;
    }

    pub(super) fn body(&self) -> &[u8] {
        self.frame.get(frame::FRAME_HEADER_BYTES..).unwrap_or_default()
    }

    /// The whole frame, when its first record becomes `first_seq`.
    pub(super) fn sealed(&mut self, first_seq: u64) -> &[u8] {
        frame::seal(&mut self.frame, first_seq, self.records);
        &self.frame
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_record_that_is_too_large_leaves_the_batch_as_it_was() {
        let mut batch = Batch::default();
        assert!(batch.push(&vec![0; RECORD_BYTES_MAX + 1]).is_err());
        assert_eq!((batch.records(), batch.body()), (0, b"".as_ref()));
        batch.push(b"one").expect("a small record");
        assert!(batch.push(&vec![0; RECORD_BYTES_MAX + 1]).is_err());
        batch.push(b"two").expect("a small record");
        let sealed = Bytes::copy_from_slice(batch.sealed(5));
        let header = frame::check(&sealed).expect("the frame is whole");
        let mut records = VecDeque::new();
        frame::unpack(&sealed, &header, 0, &mut records).expect("the body is whole");
        let found: Vec<(u64, &[u8])> = records.iter().map(|r| (r.seq, r.payload.as_ref())).collect();
        assert_eq!(found, [(5, b"one".as_ref()), (6, b"two")]);
    }

    #[test]
    fn a_cleared_batch_begins_anew_in_the_same_memory() {
        let mut batch = Batch::default();
        batch.push(b"one").expect("a small record");
        let capacity = batch.capacity();
        batch.clear();
        assert_eq!((batch.records(), batch.bytes(), batch.capacity()), (0, 0, capacity));
        batch.push(b"two").expect("a small record");
        assert!(frame::check(batch.sealed(1)).is_ok());
    }
}
