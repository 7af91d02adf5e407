//! The counting rule over a day that is in the table already.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use thiserror::Error;
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::event::column;

use super::change::{ColumnError, RowChange, at, text};
use super::{DayChange, Lake, LiveFile, RewriteError, Rules};
use crate::event::Action;
use crate::fold::{Counted, Fold, WINDOW_US};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Rows that are held at once, at about 600 bytes each and twice as many while they are sorted out: 600 MB. A day with more is read several times, each time for a part of the clients.
const ROWS_MAX: usize = 500_000;

/// Times that a day is read at most.
const PASSES_MAX: u64 = 1024;

/// Changed rows of a day that are held at once, at about 120 bytes each: 600 MB.
const CHANGES_MAX: usize = 5_000_000;

/// What [`Tally`](super::Tally) reads, and what tells a row.
const COLUMNS: [&str; 4] = [column::ID, column::ACTION, column::ORG_ID, column::NETWORK_KIND];

/// What becomes of a day: how many rows go from which action to which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recount {
    /// Rows of the day.
    pub rows: u64,
    /// Rows that get another answer, by what they were and are then. One may keep its action and change its pull, its platform or its tag.
    pub changes: BTreeMap<(&'static str, &'static str), u64>,
    answers: HashMap<Uuid, Arc<Counted>>,
}

/// Why a day was not counted anew.
#[derive(Debug, Error)]
pub enum RecountError {
    /// The table.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// Not a day.
    #[error("`{0}` is not a day of the table")]
    Day(String),
    /// One client has too many rows.
    #[error("a client has more than {ROWS_MAX} rows on {0}; they cannot be counted in order at once")]
    OneClient(String),
    /// Too many rows change.
    #[error("more than {CHANGES_MAX} rows of {0} change; that is more than is held at once")]
    TooMany(String),
}

impl Lake {
    /// Counts a day anew, the ten minutes before it being as the table says. Nothing is written.
    ///
    /// # Errors
    /// See [`RecountError`].
    pub async fn recount(&mut self, date: &str) -> Result<Recount, RecountError> {
        let first = date.parse::<chrono::NaiveDate>().map_err(|_| RecountError::Day(date.to_owned()))?;
        let first = first.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        let stretch = (UnixMicros(first - WINDOW_US), UnixMicros(first + DAY_US - 1));
        let mut passes = 1;
        while passes <= PASSES_MAX {
            if let Some(recount) = self.recount_in(passes, date, stretch, first).await? {
                return Ok(recount);
            }
            passes *= 4;
        }
        Err(RecountError::OneClient(date.to_owned()))
    }

    /// `None`: a part of the clients has too many rows.
    async fn recount_in(
        &mut self,
        passes: u64,
        date: &str,
        stretch: (UnixMicros, UnixMicros),
        first: i64,
    ) -> Result<Option<Recount>, RecountError> {
        let mut recount = Recount::default();
        for pass in 0..passes {
            let is_of_pass = |endpoint: Option<i64>| {
                endpoint.map_or(pass == 0, |endpoint| endpoint.cast_unsigned() % passes == pass)
            };
            let (rows, left_out) = self.rows_between(stretch, ROWS_MAX, is_of_pass).await?;
            if left_out > 0 {
                return Ok(None);
            }
            let mut fold = Fold::default();
            for row in rows {
                if row.ts.0 < first {
                    fold.replay(&row.request(), &row.counted);
                } else {
                    recount.take(row.id, &row.counted, fold.count(&row.request()));
                }
            }
            if recount.answers.len() > CHANGES_MAX {
                return Err(RecountError::TooMany(date.to_owned()));
            }
        }
        Ok(Some(recount))
    }

    /// Writes what was counted, in one commit.
    ///
    /// # Errors
    /// See [`RewriteError`]. A day is changed as a whole or not at all.
    pub async fn apply_recount(
        &mut self,
        date: &str,
        recount: &Recount,
        on_file: &mut dyn FnMut(&LiveFile),
        now: UnixMicros,
    ) -> Result<DayChange, RewriteError> {
        let mut decide = |batch: &RecordBatch| recount.decide(batch);
        self.rewrite_day(date, &mut Rules { columns: &COLUMNS, decide: &mut decide, on_file }, now).await
    }
}

impl Recount {
    fn take(&mut self, id: Uuid, was: &Counted, is: Counted) {
        self.rows += 1;
        if *was != is {
            *self.changes.entry((was.action.as_str(), is.action.as_str())).or_default() += 1;
            self.answers.insert(id, Arc::new(is));
        }
    }

    /// By how many the downloads grow or shrink.
    pub fn downloads_more(&self) -> i64 {
        let is_download =
            |action: &str| i64::from(action == Action::Pull.as_str() || action == Action::Download.as_str());
        let more = |((was, is), rows): (&(&str, &str), &u64)| {
            (is_download(is) - is_download(was)).saturating_mul(i64::try_from(*rows).unwrap_or(i64::MAX))
        };
        self.changes.iter().map(more).sum()
    }

    /// A row that was rewritten has the answer already and stays.
    fn decide(&self, batch: &RecordBatch) -> Result<Vec<RowChange>, ColumnError> {
        let ids = text(batch, column::ID)?;
        let answer = |row| at(&ids, row).and_then(|id| Uuid::try_parse(id).ok()).and_then(|id| self.answers.get(&id));
        let change = |row| answer(row).map_or(RowChange::Keep, |answer| RowChange::Counted(Arc::clone(answer)));
        Ok((0..batch.num_rows()).map(change).collect())
    }
}
