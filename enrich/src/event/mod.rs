//! From a raw record to a row of the table `events`, and from rows to Parquet files.

mod action;
mod columns;
mod file;

pub use action::{Action, Alone, action};
pub use columns::record_batch;
pub use file::encode_files;
pub(crate) use file::{date_text, encode_sorted};

use std::sync::Arc;

use thiserror::Error;
use whopulls_schemas::raw::RawAccess;

use crate::fold::Counted;

/// What was derived from a record. Unknown is `None`, never empty text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Enriched {
    /// A keyed hash of the client's address.
    pub endpoint_id: Option<i64>,
    /// The client's /24 or /48.
    pub client_net: Option<String>,
    /// 4 or 6.
    pub ip_version: Option<i32>,
    /// The client program.
    pub client: Option<String>,
    /// Its version.
    pub client_version: Option<String>,
    /// Its operating system.
    pub os: Option<String>,
    /// Its architecture.
    pub arch: Option<String>,
    /// Who or what asked.
    pub automation: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// First-level subdivision.
    pub region: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// IANA time zone.
    pub timezone: Option<String>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Its name.
    pub as_name: Option<String>,
    /// The kind of network.
    pub network_kind: Option<String>,
    /// The cloud or hoster.
    pub cloud: Option<String>,
    /// The cloud's region.
    pub cloud_region: Option<String>,
    /// The organization.
    pub org: Option<Organization>,
    /// Without an organization: the overrides that said so.
    pub ruled_out_by: Vec<String>,
    /// The versions of the databases and rules used.
    pub enriched_with: Option<String>,
}

/// The organization that a network was attributed to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Organization {
    /// Its registrable domain where known, else `as<number>`.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// business, education, government, …
    pub kind: Option<String>,
    /// From 0 to 1.
    pub confidence: Option<f64>,
    /// What said so.
    pub evidence: Vec<String>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What the gateway saw.
    pub raw: Box<RawAccess>,
    /// What the request was by the counting rule.
    pub counted: Counted,
    /// What was derived. Requests of one client share it.
    pub enriched: Arc<Enriched>,
}

impl Event {
    /// The client asked not to be tracked, by `DNT` or by `Sec-GPC`.
    pub fn is_untracked(raw: &RawAccess) -> bool {
        raw.dnt || raw.gpc
    }
}

/// Rows that cannot become a file: a fault of this program, not of the data.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The schema has a column that nothing fills.
    #[error("build column `{0}`: the schema has it and nothing fills it; report this")]
    Column(String),
    /// Arrow refused the columns.
    #[error("build a batch of {rows} events; report this")]
    Arrow {
        /// How many.
        rows: usize,
        /// What was wrong.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// Parquet refused the batch.
    #[error("encode {rows} events of day {date} as Parquet; report this")]
    Parquet {
        /// How many.
        rows: usize,
        /// The UTC day.
        date: String,
        /// What was wrong.
        #[source]
        source: parquet::errors::ParquetError,
    },
}
