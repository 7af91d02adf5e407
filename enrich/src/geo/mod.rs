//! Where an address is and which network announces it: the database, its default and its reload.
//!
//! [`Database`] hands out [`Snapshot`]s; a snapshot answers every address with a [`Located`] and has one [`Snapshot::version`], so a batch that
//! keeps one snapshot is enriched with one state of the data.

pub mod build;
pub mod check;
mod clouds;
mod database;
mod encode;
mod info;
mod io;
mod located;
mod overlay;
mod probe;
mod record;
mod reserved;
mod snapshot;
mod traits;

pub use clouds::{Clouds, CloudsError};
pub use database::{Database, FILES_MAX, Reload};
pub use info::DatabaseInfo;
pub use io::watch;
pub use located::{Known, Located, RecordKey, Said};
pub use overlay::{Overlay, OverlayError, OverlayRow};
pub use reserved::is_reserved;
pub use snapshot::{OpenError, Snapshot};

#[cfg(test)]
pub(crate) mod tests;
