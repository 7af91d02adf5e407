//! One row of the table `docker_pulls`: what Docker counted for a publisher, of one company, image and client, in a week or a month.
//!
//! The texts are Docker's own, as they stand in its tracked companies report.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// The columns of Docker's report, in its order.
pub const REPORT_COLUMNS: [&str; 13] = [
    "DATE_GRANULARITY",
    "DATE_REFERENCE",
    "PUBLISHER_NAME",
    "DOMAIN",
    "IP_COUNTRY",
    "CLOUD_SERVICE_PROVIDER",
    "USER_AGENT",
    "INFERRED_USE_CASE",
    "IMAGE_REPOSITORY",
    "DATA_DOWNLOADS",
    "VERSION_CHECKS",
    "PULLS",
    "UNIQUE_AUTHENTICATED_USERS",
];

/// The columns of the table that hold text, in the order of [`DockerPulls::texts`].
pub const TEXT_COLUMNS: [&str; 8] = [
    "date_granularity",
    "publisher_name",
    "domain",
    "ip_country",
    "cloud_service_provider",
    "user_agent",
    "inferred_use_case",
    "image_repository",
];

/// Those that hold counts, in the order of [`DockerPulls::counts`].
pub const COUNT_COLUMNS: [&str; 4] = ["data_downloads", "version_checks", "pulls", "unique_authenticated_users"];

/// The file that a row came from: the same identity as an import of a log has.
pub const SOURCE: &str = "source";
/// The line of that file.
pub const LINE: &str = "line";
/// Counts the imports that added to the table. Docker corrects its reports: of rows that speak of the same, the one of the greatest revision
/// holds.
pub const REVISION: &str = "revision";

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DockerPulls {
    /// The first day of the week or month, as days since 1970.
    pub day: i32,
    /// What the counts are of, by [`TEXT_COLUMNS`]; absent is what the report leaves empty.
    pub texts: [Option<String>; TEXT_COLUMNS.len()],
    /// The counts, by [`COUNT_COLUMNS`]. Absent is what the report leaves empty.
    pub counts: [Option<i64>; COUNT_COLUMNS.len()],
}

/// The table. `date` is the partition: the first day of the week or month.
pub fn docker_schema() -> SchemaRef {
    let texts = TEXT_COLUMNS.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    let counts = COUNT_COLUMNS.iter().map(|name| Field::new(*name, DataType::Int64, true));
    let own = [
        Field::new(SOURCE, DataType::Utf8, false),
        Field::new(LINE, DataType::Int64, false),
        Field::new(REVISION, DataType::Int64, false),
    ];
    let date = Field::new(crate::event::column::DATE, DataType::Date32, false);
    Arc::new(Schema::new([date].into_iter().chain(texts).chain(counts).chain(own).collect::<Vec<_>>()))
}

/// Where the table is, from where `events` is: within its folder, under a name that readers of Delta tables pass over.
pub fn docker_location(events_location: &str) -> String {
    format!("{}/_docker_pulls", events_location.trim_end_matches('/'))
}
