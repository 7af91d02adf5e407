//! What we know about networks beyond what they are called: `geo/networks.csv`, one line for each autonomous system.

use std::sync::LazyLock;

use thiserror::Error;

use crate::attribute::NetworkKind;

const HEADER: &str = "asn,kind,organization,domain,basis";
const COLUMNS: usize = 5;
/// The overlay in the repository has hundreds of lines and is meant for the largest few thousand networks.
const ROWS_MAX: usize = 100_000;

static EMBEDDED: LazyLock<Overlay> =
    LazyLock::new(|| Overlay::parse(include_str!("../../geo/networks.csv")).unwrap_or_default());

/// One line of the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayRow {
    /// The autonomous system.
    pub asn: u32,
    /// What kind of network it is.
    pub kind: NetworkKind,
    /// Its organization as people call it.
    pub organization: String,
    /// The organization's registrable domain; empty when none is known.
    pub domain: String,
    /// What the line rests on.
    pub basis: String,
}

/// Why an overlay was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("overlay line {line}: {problem}")]
pub struct OverlayError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what it should be.
    pub problem: String,
}

/// Networks by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Ascending by `asn`.
    rows: Vec<OverlayRow>,
}

impl Overlay {
    /// The overlay that ships with the product.
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// Reads the five columns `asn,kind,organization,domain,basis`, ascending by `asn`. No value holds a comma or a quote.
    ///
    /// # Errors
    ///
    /// The first line that is not such.
    pub fn parse(text: &str) -> Result<Self, OverlayError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(OverlayError { line: 1, problem: format!("the header must be {HEADER}") });
        }
        let mut rows: Vec<OverlayRow> = Vec::new();
        for (line, text) in lines {
            let row = row(text).map_err(|problem| OverlayError { line, problem })?;
            if rows.last().is_some_and(|last| last.asn >= row.asn) {
                return Err(OverlayError {
                    line,
                    problem: format!("AS{} must come after the line before, once", row.asn),
                });
            }
            if rows.len() == ROWS_MAX {
                return Err(OverlayError { line, problem: format!("at most {ROWS_MAX} lines are read") });
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// What is known about a network.
    pub fn get(&self, asn: u32) -> Option<&OverlayRow> {
        self.rows.binary_search_by_key(&asn, |row| row.asn).ok().and_then(|index| self.rows.get(index))
    }

    /// All lines, ascending by network number.
    pub fn rows(&self) -> &[OverlayRow] {
        &self.rows
    }
}

fn row(text: &str) -> Result<OverlayRow, String> {
    let values: Vec<&str> = text.split(',').collect();
    let [asn, kind, organization, domain, basis] = values.as_slice() else {
        return Err(format!("{} columns instead of {COLUMNS}; a value may not hold a comma", values.len()));
    };
    if text.contains('"') {
        return Err("a value may not hold a quote".to_owned());
    }
    if organization.is_empty() || basis.is_empty() {
        return Err("organization and basis may not be empty".to_owned());
    }
    Ok(OverlayRow {
        asn: asn.parse().map_err(|_| format!("`{asn}` is not a network number"))?,
        kind: NetworkKind::from_name(kind).ok_or_else(|| format!("`{kind}` is not a kind of network"))?,
        organization: (*organization).to_owned(),
        domain: (*domain).to_owned(),
        basis: (*basis).to_owned(),
    })
}
