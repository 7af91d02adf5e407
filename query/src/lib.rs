#![doc = include_str!("../README.md")]

mod engine;
mod export;
mod format;
mod http;
mod io;
mod organizations;
mod table;

pub use engine::{Engine, EngineConfig, Fault, QueryError, QueryResult, SQL_BYTES_MAX, Snapshot, events_schema};
pub use export::{Export, ExportError, ExportQuery, export};
pub use format::{Format, with_thousands, write};
pub use http::{ServeConfig, ServeError, serve};
pub use io::LakeError;
pub use organizations::{
    Class, Coverage, DayRange, LIMIT_DEFAULT, LIMIT_MAX, Organization, OrganizationsAnswer, OrganizationsQuery,
    PerClass, days_between, organizations, organizations_csv, organizations_json, organizations_table,
};
