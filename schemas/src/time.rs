//! Time as it crosses boundaries.

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMicros(pub i64);

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl UnixMicros {
    /// The last microsecond of the year 9999: dates beyond it have no four-digit year and are refused.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// Days since 1970-01-01 in UTC, rounded down: the partition of an event.
    pub const fn day(self) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "an i64 of microseconds holds at most 106,751,991 days")]
        let day = self.0.div_euclid(MICROS_PER_DAY) as i32;
        day
    }

    /// Whether this is a moment that the product accepts: from 1970 to 9999.
    pub const fn is_plausible(self) -> bool {
        self.0 >= 0 && self.0 <= Self::MAX.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_before_midnight_belongs_to_the_day_before() {
        assert_eq!(UnixMicros(MICROS_PER_DAY).day(), 1);
        assert_eq!(UnixMicros(MICROS_PER_DAY - 1).day(), 0);
        assert_eq!(UnixMicros(-1).day(), -1);
    }
}
