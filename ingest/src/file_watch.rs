//! When a file that is looked at now and then is to be read again. Pure: what a look saw is an argument.

/// The file's changes. `Look` is what a look saw of it, such as its content's checksum. One that is being written is waited for: only what two looks saw alike is read, so that half a file is not taken for
/// a whole one.
#[derive(Debug)]
pub(crate) struct FileWatch<Look> {
    taken: Look,
    seen: Look,
}

impl<Look: Copy + PartialEq> FileWatch<Look> {
    /// Of a file that was read when `look` saw it.
    pub(crate) fn of(look: Look) -> Self {
        Self { taken: look, seen: look }
    }

    /// Whether the file is to be read now. It is asked for once, whatever comes of it.
    pub(crate) fn handle_look(&mut self, look: Look) -> bool {
        let is_steady = look == self.seen;
        self.seen = look;
        let is_due = is_steady && look != self.taken;
        if is_due {
            self.taken = look;
        }
        is_due
    }

    /// The file was read for another reason, when `look` saw it.
    pub(crate) fn note_read(&mut self, look: Look) {
        *self = Self::of(look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checksum; none of a file that cannot be read.
    type Look = Option<u8>;

    const A: Look = Some(1);
    const B: Look = Some(2);
    const HALF: Look = Some(3);

    #[track_caller]
    fn check(looks: &[(Look, bool)]) {
        let mut watch = FileWatch::of(A);
        for (at, (look, expected)) in looks.iter().enumerate() {
            assert_eq!(watch.handle_look(*look), *expected, "look {at}");
        }
    }

    #[test]
    fn a_file_that_stays_is_not_read_again() {
        check(&[(A, false), (A, false)]);
    }

    #[test]
    fn a_change_is_read_once_when_it_is_whole() {
        check(&[(HALF, false), (B, false), (B, true), (B, false), (A, false), (A, true)]);
    }

    #[test]
    fn a_change_that_is_taken_back_in_time_is_none() {
        check(&[(B, false), (A, false), (A, false)]);
    }

    #[test]
    fn a_file_that_is_gone_is_told_once_and_read_when_it_is_back() {
        let gone = None;
        check(&[(gone, false), (gone, true), (gone, false), (A, false), (A, true)]);
    }

    #[test]
    fn what_was_read_for_another_reason_is_not_read_again() {
        let mut watch = FileWatch::of(A);
        assert!(!watch.handle_look(B));
        watch.note_read(B);
        assert!(!watch.handle_look(B));
    }
}
