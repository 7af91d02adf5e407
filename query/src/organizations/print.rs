//! The answer for the command line.

use std::fmt::Write as _;

use super::coverage::{PerClass, percentages};
use super::{Organization, OrganizationsAnswer};
use crate::engine::QueryError;
use crate::format::{grid, with_thousands};

/// How much of a name a terminal has room for.
const NAME_CHARS_MAX: usize = 48;

/// The ranking, and below it what it covers.
pub fn organizations_table(answer: &OrganizationsAnswer) -> String {
    let header = [
        ("organization", false),
        ("kind", false),
        ("domain", false),
        ("downloads", true),
        ("endpoints", true),
        ("first seen", false),
        ("last seen", false),
        ("confidence", true),
    ];
    let shown = answer.organizations.len();
    let mut text = format!("{}\n", grid(&header, answer.organizations.iter().map(cells).collect()));
    // Writing to a String does not fail.
    _ = writeln!(text, "{shown} of {} organizations", with_thousands(&answer.total_organizations.to_string()));
    _ = writeln!(text, "\n{}", coverage_table(answer));
    text
}

fn cells(organization: &Organization) -> Vec<String> {
    let day = |moment: &Option<String>| {
        moment.as_deref().and_then(|moment| moment.split('T').next()).unwrap_or_default().to_owned()
    };
    vec![
        short(organization.name.as_ref().unwrap_or(&organization.org_id)),
        organization.kind.clone().unwrap_or_default(),
        organization.domain.clone().unwrap_or_default(),
        with_thousands(&organization.downloads.to_string()),
        with_thousands(&organization.endpoints.to_string()),
        day(&organization.first_seen),
        day(&organization.last_seen),
        organization.confidence.map(|confidence| format!("{confidence:.2}")).unwrap_or_default(),
    ]
}

/// A registry's name may be a sentence; the JSON and CSV answers have it whole.
fn short(name: &str) -> String {
    let mut short: String = name.chars().take(NAME_CHARS_MAX).collect();
    if short.len() < name.len() {
        short.pop();
        short.push('…');
    }
    short
}

fn coverage_table(answer: &OrganizationsAnswer) -> String {
    let coverage = &answer.coverage;
    let header = [("coverage", false), ("downloads", true), ("share", true), ("endpoints", true), ("share", true)];
    let shares = |counts: &PerClass<u64>| percentages(counts).in_order().map(|(_, percent)| format!("{percent} %"));
    let (download_shares, endpoint_shares) = (shares(&coverage.download_counts), shares(&coverage.endpoint_counts));
    let counts = coverage.download_counts.in_order().into_iter().zip(coverage.endpoint_counts.in_order());
    let mut rows: Vec<Vec<String>> = counts
        .zip(download_shares.into_iter().zip(endpoint_shares))
        .map(|(((class, downloads), (_, endpoints)), (download_share, endpoint_share))| {
            let number = |count: u64| with_thousands(&count.to_string());
            vec![class.word().to_owned(), number(downloads), download_share, number(endpoints), endpoint_share]
        })
        .collect();
    let all = |total: u64| if total == 0 { "0.0 %".to_owned() } else { "100.0 %".to_owned() };
    rows.push(vec![
        "all".to_owned(),
        with_thousands(&coverage.total_downloads.to_string()),
        all(coverage.total_downloads),
        with_thousands(&coverage.total_endpoints.to_string()),
        all(coverage.total_endpoints),
    ]);
    grid(&header, rows).to_string()
}

/// The whole answer as JSON, as the API gives it.
///
/// # Errors
/// None that is known.
pub fn organizations_json(answer: &OrganizationsAnswer) -> Result<String, QueryError> {
    serde_json::to_string_pretty(answer).map_err(|error| QueryError::Internal(format!("write the answer: {error}")))
}

/// The ranking as CSV; coverage is a line of its own kind and stands in the table and in JSON.
pub fn organizations_csv(answer: &OrganizationsAnswer) -> String {
    let mut text = String::from("org_id,name,kind,domain,downloads,endpoints,first_seen,last_seen,confidence\n");
    for organization in &answer.organizations {
        let optional = |value: &Option<String>| quoted(value.as_deref().unwrap_or_default());
        let confidence = organization.confidence.map(|confidence| confidence.to_string()).unwrap_or_default();
        let fields = [
            quoted(&organization.org_id),
            optional(&organization.name),
            optional(&organization.kind),
            optional(&organization.domain),
            organization.downloads.to_string(),
            organization.endpoints.to_string(),
            optional(&organization.first_seen),
            optional(&organization.last_seen),
            confidence,
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// RFC 4180.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
