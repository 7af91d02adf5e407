//! What a rewrite changes, in numbers.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use whopulls_schemas::event::column;

use super::change::{ColumnError, RowChange, at, text};
use crate::event::Action;

/// Whose a row is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Holder {
    /// The organization.
    pub org_id: Option<String>,
    /// The kind of network.
    pub network_kind: Option<String>,
}

/// From whom to whom a row goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transition {
    /// Whose it was.
    pub from: Holder,
    /// Whose it is then; of a row that is deleted, nobody's.
    pub to: Holder,
}

/// How many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub events: u64,
    /// Those that are downloads.
    pub downloads: u64,
}

/// What changes, by transition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Only rows that change.
    pub transitions: BTreeMap<Transition, Counts>,
    /// Rows that were looked at, changed or not.
    pub rows_read: u64,
}

impl Tally {
    /// All that changes.
    pub fn total(&self) -> Counts {
        self.transitions.values().fold(Counts::default(), |sum, counts| Counts {
            events: sum.events + counts.events,
            downloads: sum.downloads + counts.downloads,
        })
    }

    /// Adds what another found.
    pub fn merge(&mut self, other: &Self) {
        for (transition, counts) in &other.transitions {
            let sum = self.transitions.entry(transition.clone()).or_default();
            sum.events += counts.events;
            sum.downloads += counts.downloads;
        }
        self.rows_read += other.rows_read;
    }

    pub(super) fn add(&mut self, batch: &RecordBatch, changes: &[RowChange]) -> Result<(), ColumnError> {
        self.rows_read += batch.num_rows() as u64;
        if changes.iter().all(|change| *change == RowChange::Keep) {
            return Ok(());
        }
        let (actions, ids) = (text(batch, column::ACTION)?, text(batch, column::ORG_ID)?);
        let kinds = text(batch, column::NETWORK_KIND)?;
        for (row, change) in changes.iter().enumerate().filter(|(_, change)| **change != RowChange::Keep) {
            let from =
                Holder { org_id: at(&ids, row).map(str::to_owned), network_kind: at(&kinds, row).map(str::to_owned) };
            let to = holder_after(change, &from);
            let counts = self.transitions.entry(Transition { from, to }).or_default();
            counts.events += 1;
            let is_download = |action| action == Action::Pull.as_str() || action == Action::Download.as_str();
            counts.downloads += u64::from(actions.is_valid(row) && is_download(actions.value(row)));
        }
        Ok(())
    }
}

fn holder_after(change: &RowChange, from: &Holder) -> Holder {
    match change {
        RowChange::Network(network) => Holder {
            org_id: network.org.as_ref().map(|org| org.id.clone()),
            network_kind: Some(network.network_kind.clone()),
        },
        RowChange::Counted(_) => from.clone(),
        RowChange::Keep | RowChange::Anonymize | RowChange::Delete => Holder::default(),
    }
}
