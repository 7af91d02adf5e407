//! Whom to forget, and in which rows the table still knows them.

use arrow::array::{Array, AsArray, RecordBatch};
use ipnet::IpNet;
use whopulls_schemas::event::column;

use super::change::{ColumnError, RowChange, at, long, text, texts};

/// The columns that [`Forgotten::decide`] and [`super::Tally`] read.
pub const FORGET_COLUMNS: [&str; 7] = [
    column::ACTION,
    column::NETWORK_KIND,
    column::ENDPOINT_ID,
    column::CLIENT_NET,
    column::ORG_ID,
    column::ORG_DOMAIN,
    column::ORG_EVIDENCE,
];

/// Whom to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// One client, by its keyed hash.
    Endpoint(i64),
    /// Every client of a network.
    Network(IpNet),
    /// Every client of an organization, by its id.
    Organization(String),
}

impl Forgotten {
    /// Which rows are theirs; each of them is `change`d.
    ///
    /// # Errors
    /// When the rows have not the columns of [`FORGET_COLUMNS`].
    pub fn decide(&self, batch: &RecordBatch, change: &RowChange) -> Result<Vec<RowChange>, ColumnError> {
        let theirs: Vec<bool> = match self {
            Self::Endpoint(id) => {
                long(batch, column::ENDPOINT_ID)?.iter().map(|endpoint| endpoint == Some(*id)).collect()
            }
            Self::Network(net) => {
                let nets = text(batch, column::CLIENT_NET)?;
                nets.iter()
                    .map(|held| held.and_then(|held| held.parse().ok()).is_some_and(|held: IpNet| net.contains(&held)))
                    .collect()
            }
            Self::Organization(id) => of_organization(batch, id)?,
        };
        Ok(theirs.into_iter().map(|theirs| if theirs { change.clone() } else { RowChange::Keep }).collect())
    }
}

/// By its id, its domain, or a reason that names it, such as `override:ignore:acme.example`.
fn of_organization(batch: &RecordBatch, id: &str) -> Result<Vec<bool>, ColumnError> {
    let (ids, domains) = (text(batch, column::ORG_ID)?, text(batch, column::ORG_DOMAIN)?);
    let evidence = texts(batch, column::ORG_EVIDENCE)?;
    let named = |row: usize| {
        let reasons = evidence.is_valid(row).then(|| evidence.value(row));
        let names = |reason: &str| reason.strip_suffix(id).is_some_and(|before| before.ends_with(':'));
        reasons.is_some_and(|reasons| reasons.as_string::<i32>().iter().flatten().any(names))
    };
    let is = |column, row| at(column, row) == Some(id);
    Ok((0..batch.num_rows()).map(|row| is(&ids, row) || is(&domains, row) || named(row)).collect())
}
