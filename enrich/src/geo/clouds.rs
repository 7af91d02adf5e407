//! The networks that clouds publish, with their regions: `geo/clouds.csv.zst`, for building the default.

use std::net::IpAddr;

use thiserror::Error;

const HEADER: &str = "network,cloud,region";
/// Today's clouds publish some 35,000 disjoint networks.
const ROWS_MAX: usize = 1 << 20;
const V4_BITS: u8 = 32;
const V6_BITS: u8 = 128;

/// A network of a cloud. An IPv4 network lies below `::/96`, as in a database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloudRange {
    pub(super) first: u128,
    pub(super) prefix_bits: u8,
    pub(super) cloud: String,
    /// As the cloud itself calls it; empty when it says none.
    pub(super) region: String,
}

/// Why a list of networks was refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("clouds line {line}: {problem}")]
pub struct CloudsError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what it should be.
    pub problem: String,
}

/// Disjoint networks, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clouds {
    ranges: Vec<CloudRange>,
}

impl Clouds {
    /// Reads the columns `network,cloud,region`. No network lies in another.
    ///
    /// # Errors
    ///
    /// The first line that is not such.
    pub fn parse(text: &str) -> Result<Self, CloudsError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(CloudsError { line: 1, problem: format!("the header must be {HEADER}") });
        }
        let mut ranges = Vec::new();
        for (line, text) in lines {
            let refused = |problem| CloudsError { line, problem };
            if ranges.len() == ROWS_MAX {
                return Err(refused(format!("at most {ROWS_MAX} networks are read")));
            }
            ranges.push((line, range(text).map_err(refused)?));
        }
        ranges.sort_by_key(|(_, range)| (range.first, range.prefix_bits));
        for pair in ranges.windows(2) {
            if let [(_, before), (line, range)] = pair
                && range.first <= before.last()
            {
                return Err(CloudsError { line: *line, problem: "the network lies in one of another line".to_owned() });
            }
        }
        Ok(Self { ranges: ranges.into_iter().map(|(_, range)| range).collect() })
    }

    pub(super) fn ranges(&self) -> &[CloudRange] {
        &self.ranges
    }
}

impl CloudRange {
    fn last(&self) -> u128 {
        self.first | hosts(self.prefix_bits)
    }
}

/// The bits behind a prefix.
fn hosts(prefix_bits: u8) -> u128 {
    u128::MAX.checked_shr(prefix_bits.into()).unwrap_or(0)
}

fn range(text: &str) -> Result<CloudRange, String> {
    let values: Vec<&str> = text.split(',').collect();
    let [network, cloud, region] = values.as_slice() else {
        return Err(format!("{} columns instead of 3", values.len()));
    };
    let (first, prefix_bits) =
        prefix(network).ok_or_else(|| format!("`{network}` is not a network, as 192.0.2.0/24"))?;
    if cloud.is_empty() {
        return Err("the cloud may not be empty".to_owned());
    }
    if first & hosts(prefix_bits) != 0 {
        return Err(format!("`{network}` has bits behind its prefix"));
    }
    Ok(CloudRange { first, prefix_bits, cloud: (*cloud).to_owned(), region: (*region).to_owned() })
}

fn prefix(text: &str) -> Option<(u128, u8)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    match address {
        IpAddr::V4(address) if bits <= V4_BITS => Some((address.to_bits().into(), bits + V6_BITS - V4_BITS)),
        IpAddr::V6(address) if bits <= V6_BITS => Some((address.to_bits(), bits)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &str, expected: Result<usize, (usize, &str)>) {
        let parsed = Clouds::parse(&format!("{HEADER}\n{rows}"));
        match (parsed, expected) {
            (Ok(clouds), Ok(count)) => assert_eq!(clouds.ranges().len(), count),
            (Err(error), Err((line, problem))) => {
                assert_eq!(error.line, line, "{error}");
                assert!(error.problem.contains(problem), "{error}");
            }
            (parsed, expected) => panic!("{parsed:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn disjoint_networks_are_read_and_every_fault_has_a_line() {
        check("192.0.2.0/25,AWS,eu-west-1\n192.0.2.128/25,AWS,\n2001:db8::/32,Azure,westeurope\n", Ok(3));
        check("", Ok(0));
        check("192.0.2.0/24,AWS\n", Err((2, "2 columns")));
        check("192.0.2.0/33,AWS,x\n", Err((2, "not a network")));
        check("192.0.2.1/24,AWS,x\n", Err((2, "behind its prefix")));
        check("192.0.2.0/24,,x\n", Err((2, "may not be empty")));
        check("192.0.2.128/25,AWS,x\n192.0.2.0/24,AWS,x\n", Err((2, "lies in one")));
        assert!(Clouds::parse("network,region\n").is_err());
    }
}
