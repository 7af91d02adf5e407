//! Which segments may go, and which must. Pure: the caller names the time.

use super::options::WhenFull;
use super::segment::Segment;

/// The bounds of a spool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) max_age_ms: u64,
    pub(crate) when_full: WhenFull,
}

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many segments to drop, from the oldest.
    pub(crate) segments: usize,
    /// Records in them that a reader had not passed: data lost.
    pub(crate) lost_records: u64,
    /// The cap is reached and nothing may be dropped: appends are refused.
    pub(crate) full: bool,
}

/// Decides over `segments` (oldest first, the last one in use) for an append of `wanted_bytes`.
///
/// A segment goes when every reader has passed it. By age, and by size under [`WhenFull::DropOldest`], it goes unread.
/// `lowest_cursor` is the position of the slowest reader; `None` (no reader is known) keeps everything within the bounds,
/// and what the bounds then drop is not called lost.
pub(crate) fn plan(
    segments: &[Segment],
    lowest_cursor: Option<u64>,
    now_ms: u64,
    wanted_bytes: u64,
    limits: Limits,
) -> Plan {
    let mut plan = Plan::default();
    let mut total = segments.iter().map(|s| s.bytes).sum::<u64>().saturating_add(wanted_bytes);
    let sealed = segments.split_last().map_or(segments, |(_active, sealed)| sealed);
    for segment in sealed {
        let passed = lowest_cursor.is_some_and(|cursor| cursor >= segment.end_seq);
        let too_old = now_ms.saturating_sub(segment.modified_ms) > limits.max_age_ms;
        let too_much = total > limits.max_bytes && limits.when_full == WhenFull::DropOldest;
        if !(passed || too_old || too_much) {
            break;
        }
        if let Some(cursor) = lowest_cursor {
            plan.lost_records += segment.end_seq.saturating_sub(cursor.max(segment.base_seq));
        }
        plan.segments += 1;
        total = total.saturating_sub(segment.bytes);
    }
    plan.full = total > limits.max_bytes;
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_bytes: 350, max_age_ms: 1000, when_full: WhenFull::StopRecording };

    /// Four segments of ten records and 100 bytes, last written at 0, 100, 200 and 300 ms.
    fn segments() -> Vec<Segment> {
        (0..4).map(|i| Segment { base_seq: i * 10, end_seq: i * 10 + 10, bytes: 100, modified_ms: i * 100 }).collect()
    }

    #[track_caller]
    fn check(cursor: Option<u64>, now_ms: u64, limits: Limits, expected: (usize, u64, bool)) {
        let plan = plan(&segments(), cursor, now_ms, 0, limits);
        assert_eq!((plan.segments, plan.lost_records, plan.full), expected);
    }

    #[test]
    fn only_what_every_reader_has_passed_goes() {
        check(Some(25), 300, LIMITS, (2, 0, false));
        check(Some(9), 300, LIMITS, (0, 0, true));
        check(None, 300, LIMITS, (0, 0, true));
    }

    #[test]
    fn age_drops_unread_segments_and_says_what_was_lost() {
        check(Some(4), 1150, LIMITS, (2, 16, false));
        check(None, 1150, LIMITS, (2, 0, false));
    }

    #[test]
    fn the_segment_in_use_stays() {
        check(Some(40), 99_999, LIMITS, (3, 0, false));
    }

    #[test]
    fn the_cap_drops_the_oldest_only_when_asked_to() {
        let limits = Limits { when_full: WhenFull::DropOldest, ..LIMITS };
        check(Some(3), 300, limits, (1, 7, false));
    }
}
