//! The longest prefix that holds an address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Subject;

/// Values by network.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    values: HashMap<IpNet, T>,
    /// The lengths that occur, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), lengths: [BTreeSet::new(), BTreeSet::new()] }
    }
}

impl<T> Prefixes<T> {
    pub(super) fn insert(&mut self, net: IpNet, value: T) {
        let [v4, v6] = &mut self.lengths;
        let lengths = if net.addr().is_ipv4() { v4 } else { v6 };
        lengths.insert(net.prefix_len());
        self.values.insert(net.trunc(), value);
    }

    pub(super) fn nets(&self) -> impl Iterator<Item = IpNet> {
        self.values.keys().copied()
    }

    /// The longest prefix that holds the subject. Of a subject that is a network, one that holds all of it, or the smaller one that the
    /// address is known to have been in: whether the rest of a smaller one held the address, nothing tells.
    pub(super) fn longest(&self, subject: Subject) -> Option<(IpNet, &T)> {
        match subject {
            Subject::Address(address) => {
                let address = address.to_canonical();
                self.covering(address, IpNet::from(address).prefix_len())
            }
            Subject::Net { net, said } => {
                let said = said.filter(|said| net.contains(said));
                let known = said.and_then(|said| Some((said, self.values.get(&said)?)));
                known.or_else(|| self.covering(net.network(), net.prefix_len()))
            }
            Subject::Unknown => None,
        }
    }

    fn covering(&self, address: IpAddr, length_max: u8) -> Option<(IpNet, &T)> {
        let [v4, v6] = &self.lengths;
        let lengths = if address.is_ipv4() { v4 } else { v6 };
        lengths.range(..=length_max).rev().find_map(|&length| {
            let net = IpNet::new(address, length).ok()?.trunc();
            Some((net, self.values.get(&net)?))
        })
    }
}
