//! What a ranking explains: the share of downloads and of clients that have an organization, and what the rest is.

use serde::Serialize;

/// Where a download comes from, as far as is known. Each stands in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An organization is known.
    Attributed,
    /// A data centre, a VPN or Tor: somebody's, but not to be known whose.
    Hosting,
    /// A provider's customer, at home or on a phone.
    Isp,
    /// Nothing is known, or the client asked not to be tracked.
    Unknown,
}

/// A number for each class.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PerClass<T> {
    /// With an organization.
    pub attributed: T,
    /// Hosting, VPN and Tor.
    pub hosting: T,
    /// Providers, fixed and mobile.
    pub isp: T,
    /// The rest.
    pub unknown: T,
}

impl<T> PerClass<T> {
    /// In the order in which they are shown.
    pub fn in_order(self) -> [(Class, T); 4] {
        [
            (Class::Attributed, self.attributed),
            (Class::Hosting, self.hosting),
            (Class::Isp, self.isp),
            (Class::Unknown, self.unknown),
        ]
    }

    fn from_order([attributed, hosting, isp, unknown]: [T; 4]) -> Self {
        Self { attributed, hosting, isp, unknown }
    }
}

impl Class {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Attributed => "attributed",
            Self::Hosting => "hosting",
            Self::Isp => "isp",
            Self::Unknown => "unknown",
        }
    }
}

/// Coverage in downloads and in distinct clients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coverage {
    /// Shares of the downloads; they sum to 1, or are all 0 when there are none.
    pub downloads: PerClass<f64>,
    /// Shares of the clients.
    pub endpoints: PerClass<f64>,
    /// All downloads.
    pub total_downloads: u64,
    /// All distinct clients: the sum over the classes.
    pub total_endpoints: u64,
    /// Downloads by class.
    pub download_counts: PerClass<u64>,
    /// Distinct clients by class.
    pub endpoint_counts: PerClass<u64>,
}

impl Coverage {
    /// From rows of class, downloads and endpoints.
    pub(super) fn of(rows: &[(String, u64, u64)]) -> Self {
        let mut download_counts = PerClass::default();
        let mut endpoint_counts = PerClass::default();
        for (class, downloads, endpoints) in rows {
            *slot(&mut download_counts, class) += downloads;
            *slot(&mut endpoint_counts, class) += endpoints;
        }
        Self {
            downloads: shares(&download_counts),
            endpoints: shares(&endpoint_counts),
            total_downloads: total(&download_counts),
            total_endpoints: total(&endpoint_counts),
            download_counts,
            endpoint_counts,
        }
    }
}

fn slot<'a>(counts: &'a mut PerClass<u64>, class: &str) -> &'a mut u64 {
    match class {
        "attributed" => &mut counts.attributed,
        "hosting" => &mut counts.hosting,
        "isp" => &mut counts.isp,
        _ => &mut counts.unknown,
    }
}

fn total(counts: &PerClass<u64>) -> u64 {
    counts.in_order().iter().map(|(_, count)| count).sum()
}

/// Shares in ten-thousandths, so that they sum to 1 as written.
fn shares(counts: &PerClass<u64>) -> PerClass<f64> {
    const PARTS: u32 = 10_000;
    PerClass::from_order(apportion(counts, PARTS).map(|parts| f64::from(parts) / f64::from(PARTS)))
}

/// Percentages with one decimal that sum to exactly 100.0, as texts. Without any count all are `0.0`.
pub(crate) fn percentages(counts: &PerClass<u64>) -> PerClass<String> {
    PerClass::from_order(apportion(counts, 1000).map(|parts| format!("{}.{}", parts / 10, parts % 10)))
}

/// `parts` shared out in proportion by largest remainder: each gets its quotient's whole part, and those with the largest
/// rests one more until all are given. Equal rests: the earlier class.
fn apportion(counts: &PerClass<u64>, parts: u32) -> [u32; 4] {
    let counts = counts.in_order().map(|(_, count)| u128::from(count));
    let total: u128 = counts.iter().sum();
    if total == 0 {
        return [0; 4];
    }
    let whole = counts.map(|count| u32::try_from(count * u128::from(parts) / total).unwrap_or(parts));
    let rests = counts.map(|count| count * u128::from(parts) % total);
    let missing = usize::try_from(parts - whole.iter().sum::<u32>()).unwrap_or_default();
    let mut order = [0_usize, 1, 2, 3];
    order.sort_by_key(|&index| std::cmp::Reverse(rests.get(index).copied()));
    let mut given = whole;
    for index in order.into_iter().take(missing) {
        if let Some(share) = given.get_mut(index) {
            *share += 1;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: [u64; 4], expected: [&str; 4]) {
        assert_eq!(percentages(&PerClass::from_order(counts)), PerClass::from_order(expected.map(str::to_owned)));
    }

    #[test]
    fn percentages_sum_to_a_hundred() {
        check([1, 1, 1, 0], ["33.4", "33.3", "33.3", "0.0"]);
        check([0, 0, 0, 0], ["0.0", "0.0", "0.0", "0.0"]);
        check([0, 7, 0, 0], ["0.0", "100.0", "0.0", "0.0"]);
        check([u64::MAX, u64::MAX, u64::MAX, u64::MAX], ["25.0", "25.0", "25.0", "25.0"]);
        check([1, 999_999, 0, 0], ["0.0", "100.0", "0.0", "0.0"]);
    }

    #[test]
    fn any_shares_sum_to_one() {
        for seed in 0_u64..2_000 {
            let part = |salt: u64| seed.wrapping_mul(2_654_435_761).wrapping_add(salt).rotate_left(17) % 10_007;
            let counts = PerClass::from_order([part(1), part(2), part(3), part(4)]);
            assert_eq!(apportion(&counts, 1000).iter().sum::<u32>(), 1000, "{counts:?}");
            let sum: f64 = shares(&counts).in_order().iter().map(|(_, share)| share).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{counts:?} {sum}");
        }
    }

    #[test]
    fn a_class_that_is_not_known_is_unknown() {
        let coverage = Coverage::of(&[("isp".to_owned(), 3, 2), ("martian".to_owned(), 1, 1)]);
        assert_eq!(coverage.download_counts, PerClass::from_order([0, 0, 3, 1]));
        assert_eq!((coverage.total_downloads, coverage.total_endpoints), (4, 3));
    }
}
