//! Whether an overlay can be relied on: each line against the registry's names, and all of it against networks labelled by hand.

use std::collections::{BTreeMap, HashMap};

use super::overlay::{Overlay, OverlayRow};
use super::snapshot::Layer;
use super::{Known, Located, OpenError};
use crate::attribute::{NetworkKind, attribute};

/// A basis that repeats the registry's words begins so.
const REGISTERED_AS: &str = "registered as ";
/// The basis of a line whose name stands in the registry's.
const REGISTERED_NAME: &str = "registered name";
/// Shorter words are in too many names to say anything.
const WORD_CHARS_MIN: usize = 3;

/// The registry's names by network.
pub type RegisteredNames = HashMap<u32, String>;

/// The names in the embedded default.
///
/// # Errors
///
/// The program file is damaged.
pub fn embedded_names() -> Result<RegisteredNames, OpenError> {
    Layer::embedded()?.names()
}

/// What is wrong with lines of an overlay, given the registry's names: one text for each mistake.
pub fn mistakes(overlay: &Overlay, names: &RegisteredNames) -> Vec<String> {
    let mut found = Vec::new();
    let mut domains: HashMap<&str, &OverlayRow> = HashMap::new();
    for row in overlay.rows() {
        let Some(name) = names.get(&row.asn) else {
            found.push(format!("AS{}: no such network is announced", row.asn));
            continue;
        };
        if !fits(row, name) {
            found.push(format!(
                "AS{}: it is said to be {} by its `{}`, but is called `{name}`",
                row.asn, row.organization, row.basis
            ));
        }
        if row.domain.is_empty() {
            continue;
        }
        if !row.domain.contains('.') || row.domain.contains([' ', '/']) {
            found.push(format!("AS{}: `{}` is no domain", row.asn, row.domain));
        }
        if row.kind.is_organization() {
            let first = domains.entry(&row.domain).or_insert(row);
            if first.organization != row.organization {
                let other = (first.asn, &first.organization);
                found.push(format!(
                    "AS{}: {} is {}, but for AS{} it is {}",
                    row.asn, row.domain, row.organization, other.0, other.1
                ));
            }
        }
    }
    found
}

/// Whether the line's basis is what the registry says.
fn fits(row: &OverlayRow, name: &str) -> bool {
    let plain = name.replace(['"', ','], "");
    match row.basis.strip_prefix(REGISTERED_AS) {
        Some(registered) => plain.contains(registered),
        None => row.basis == REGISTERED_NAME && shares_a_word(&row.organization, &plain),
    }
}

fn shares_a_word(organization: &str, name: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let name = plain(name);
    organization.split(' ').map(plain).any(|word| word.len() >= WORD_CHARS_MIN && name.contains(&word))
}

/// How often the attribution of networks agrees with labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreement {
    /// Networks of that kind by label and by attribution.
    pub right: u32,
    /// Networks that the attribution takes for that kind.
    pub said: u32,
    /// Networks that have that label.
    pub labelled: u32,
}

impl Agreement {
    /// Of what was said, how much is right.
    pub fn precision(self) -> f64 {
        share(self.right, self.said)
    }

    /// Of what is so, how much was said.
    pub fn recall(self) -> f64 {
        share(self.right, self.labelled)
    }
}

fn share(part: u32, of: u32) -> f64 {
    if of == 0 { 0.0 } else { f64::from(part) / f64::from(of) }
}

/// Compares the attribution of networks with labels, by kind. A mobile carrier is taken for a provider, and a VPN's network
/// for a hoster's, as labels that have no words for them do.
pub fn agreement<'a>(
    overlay: &Overlay,
    labels: impl Iterator<Item = (u32, &'a str, &'a str)>,
) -> BTreeMap<String, Agreement> {
    let mut by_kind: BTreeMap<String, Agreement> = BTreeMap::new();
    for (asn, name, label) in labels {
        let known = overlay.get(asn).map(OverlayRow::known);
        let located = Located { asn: Some(asn), as_name: Some(name), known, ..Located::default() };
        let kind = attribute(&located).network_kind;
        let alike = [(NetworkKind::Mobile, NetworkKind::Isp), (NetworkKind::Vpn, NetworkKind::Hosting)];
        let said = alike.iter().find(|(ours, _)| *ours == kind).map_or(kind, |(_, theirs)| *theirs);
        by_kind.entry(label.to_owned()).or_default().labelled += 1;
        let of_kind = by_kind.entry(said.as_str().to_owned()).or_default();
        of_kind.said += 1;
        of_kind.right += u32::from(said.as_str() == label);
    }
    by_kind
}

impl OverlayRow {
    /// What the line says of its network.
    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            kind: self.kind,
            organization: &self.organization,
            domain: Some(self.domain.as_str()).filter(|domain| !domain.is_empty()),
        }
    }
}

/// The labels of a file with the columns `asn,name,kind`; a name may hold commas within quotes.
///
/// # Errors
///
/// The number of the first line that is not such, counted from 1.
pub fn labels(text: &str) -> Result<Vec<(u32, &str, &str)>, usize> {
    text.lines().enumerate().skip(1).map(|(index, line)| label_of(line).ok_or(index + 1)).collect()
}

fn label_of(line: &str) -> Option<(u32, &str, &str)> {
    let (asn, rest) = line.split_once(',')?;
    let (name, kind) = rest.rsplit_once(',')?;
    Some((asn.parse().ok()?, name.trim_matches('"'), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(rows: &str) -> Overlay {
        Overlay::parse(&format!("asn,kind,organization,domain,basis\n{rows}")).expect("the rows are good")
    }

    #[test]
    fn every_kind_of_mistake_is_told() {
        let names = HashMap::from([(1, "Acme Holding, Inc.".to_owned()), (2, "Some Name".to_owned())]);
        let good = "1,business,Acme,acme.example,registered name\n2,isp,Other,,registered as Some Name\n";
        assert_eq!(mistakes(&overlay(good), &names), Vec::<String>::new());
        for (rows, part) in [
            ("3,isp,Net,,registered name\n", "no such network"),
            ("1,isp,Widgets,,registered name\n", "is called `Acme Holding, Inc.`"),
            ("2,isp,Other,,registered as Any Name\n", "is called `Some Name`"),
            ("2,isp,Other,,I think so\n", "is called"),
            ("1,isp,Acme,acme,registered name\n", "no domain"),
            (
                "1,business,Acme,a.example,registered name\n2,business,Some,a.example,registered name\n",
                "but for AS1 it is Acme",
            ),
        ] {
            let found = mistakes(&overlay(rows), &names);
            assert!(found.len() == 1 && found.iter().all(|text| text.contains(part)), "{rows}: {found:?}");
        }
    }

    #[test]
    fn agreement_counts_what_was_said_and_what_is_so() {
        let overlay = overlay("1,business,Acme,,registered name\n2,mobile,Cell,,registered name\n");
        let text = "asn,name,kind\n1,Acme,isp\n2,\"Cell, Inc.\",isp\n3,University of X,education\n4,Nobody,business\n";
        let found = agreement(&overlay, labels(text).expect("labels").into_iter());
        assert_eq!(labels("asn,name,kind\n1,Acme,isp\nAS2,Other,isp\n"), Err(3));
        let of = |kind: &str| found.get(kind).map(|a| (a.right, a.said, a.labelled));
        assert_eq!(of("isp"), Some((1, 1, 2)));
        assert_eq!(of("business"), Some((0, 1, 1)));
        assert_eq!(of("education"), Some((1, 1, 1)));
        assert_eq!(of("unknown"), Some((0, 1, 0)));
    }
}
