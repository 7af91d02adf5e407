//! Why lines were refused, and how many for each reason.

use std::collections::BTreeMap;

use super::RejectedLine;

/// Lines that are named for each reason.
pub const EXAMPLES_MAX: usize = 3;

/// Reasons that are told apart; what comes after them is counted together. A reason is bounded text, so this bounds the whole.
const REASONS_MAX: usize = 64;

const OTHERS: &str = "other reasons";

/// The lines of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// How many.
    pub count: u64,
    /// The first of them, by number. The lines themselves hold addresses, and are in the dead letters.
    pub examples: Vec<u64>,
}

/// Refused lines by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rejections(BTreeMap<String, Refusal>);

impl Rejections {
    /// Counts one line.
    pub fn add(&mut self, line: &RejectedLine) {
        let mut reason = line.rejected.to_string();
        if !self.0.contains_key(&reason) && self.0.len() >= REASONS_MAX {
            OTHERS.clone_into(&mut reason);
        }
        let refusal = self.0.entry(reason).or_default();
        refusal.count += 1;
        if refusal.examples.len() < EXAMPLES_MAX {
            refusal.examples.push(line.line);
        }
    }

    /// The reasons, the most frequent first.
    pub fn by_frequency(&self) -> Vec<(&str, &Refusal)> {
        let mut reasons: Vec<(&str, &Refusal)> =
            self.0.iter().map(|(reason, refusal)| (reason.as_str(), refusal)).collect();
        reasons.sort_by_key(|(_, refusal)| std::cmp::Reverse(refusal.count));
        reasons
    }

    /// All lines refused.
    pub fn count(&self) -> u64 {
        self.0.values().map(|refusal| refusal.count).sum()
    }
}

impl Refusal {
    /// `line 2, line 5, line 9 and 1,204 more`, without a thousands separator.
    pub fn lines(&self) -> String {
        let named: Vec<String> = self.examples.iter().map(|line| format!("line {line}")).collect();
        let more = self.count.saturating_sub(named.len() as u64);
        let named = named.join(", ");
        if more == 0 { named } else { format!("{named} and {more} more") }
    }
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::{RejectReason, Rejected};

    use super::*;

    #[test]
    fn reasons_are_counted_and_their_number_is_bounded() {
        let mut rejections = Rejections::default();
        for line in 1..=200 {
            let detail = if line <= 100 { "often".to_owned() } else { format!("reason {line}") };
            let rejected = Rejected::whole(RejectReason::UnparsableLine, detail);
            rejections.add(&RejectedLine { line, rejected, bytes: Vec::new() });
        }
        let reasons = rejections.by_frequency();
        assert_eq!((rejections.count(), reasons.len()), (200, REASONS_MAX + 1));
        assert_eq!(reasons[0].1.lines(), "line 1, line 2, line 3 and 97 more");
        assert_eq!((reasons[1].0, reasons[1].1.count), (OTHERS, 37));
    }
}
