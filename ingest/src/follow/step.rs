//! What is done with an open log when nothing more stands in it. Pure.

use std::time::Duration;

/// A rotated log is read until nothing came for so long: a server writes on into the file that was moved until it is told to open the new one.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Which file: its device and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// What stands at the path now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) file: FileId,
    pub(super) size: u64,
    /// It begins with the line with which the open one began.
    pub(super) has_same_head: bool,
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Look again a moment later.
    Wait,
    /// There is more to read.
    Read,
    /// The file is over, and another stands at its path.
    TurnOver,
    /// The file was copied and emptied, and what stands in it is another log.
    Emptied,
}

/// `read` is how far the open file is read, `grown` that more stands in it, `quiet` how long nothing came.
pub(super) fn next(open: FileId, read: u64, grown: bool, quiet: Duration, at_path: Option<Seen>) -> Step {
    match at_path {
        Some(seen) if seen.file == open && (seen.size < read || !seen.has_same_head) => Step::Emptied,
        _ if grown => Step::Read,
        Some(seen) if seen.file != open && quiet >= QUIET => Step::TurnOver,
        // Moved, and the new one is not there yet.
        Some(_) | None => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: FileId = FileId { device: 1, inode: 7 };

    #[track_caller]
    fn check(grown: bool, quiet_s: u64, at_path: Option<(u64, u64, bool)>, expected: Step) {
        let seen = |(inode, size, has_same_head)| Seen { file: FileId { device: 1, inode }, size, has_same_head };
        assert_eq!(next(OPEN, 100, grown, Duration::from_secs(quiet_s), at_path.map(seen)), expected);
    }

    #[test]
    fn a_log_is_read_to_its_end_before_the_next_one_is_begun() {
        check(true, 0, Some((7, 150, true)), Step::Read);
        check(false, 9, Some((7, 100, true)), Step::Wait);
        check(true, 9, Some((8, 10, false)), Step::Read);
        check(false, 0, Some((8, 10, false)), Step::Wait);
        check(false, 2, Some((8, 10, false)), Step::TurnOver);
        check(false, 9, None, Step::Wait);
        check(true, 9, None, Step::Read);
    }

    #[test]
    fn an_emptied_log_is_seen_by_its_size_or_by_its_first_line() {
        check(false, 0, Some((7, 0, false)), Step::Emptied);
        check(true, 0, Some((7, 99, true)), Step::Emptied);
        // It has grown beyond where the old one was.
        check(true, 0, Some((7, 500, false)), Step::Emptied);
    }
}
