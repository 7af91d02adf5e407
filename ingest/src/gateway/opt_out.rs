//! Who is counted without being known, because they asked for it.

use std::net::IpAddr;

use ipnet::IpNet;
use whopulls_schemas::config::PrivacyConfig;
use whopulls_schemas::raw::RawAccess;

use super::hosts::HostMap;

/// The networks and host names of `[privacy]`.
#[derive(Debug, Default)]
pub(crate) struct OptOut {
    /// Looked through one by one: people ask for it by letter, so these are tens, not thousands.
    networks: Vec<IpNet>,
    hosts: HostMap<()>,
}

impl OptOut {
    pub(crate) fn of(config: &PrivacyConfig) -> Self {
        let hosts = config.opt_out_hosts.iter().map(|host| (host, ())).collect();
        Self { networks: config.opt_out_networks.clone(), hosts }
    }

    /// Whether the record of a request must not say who asked: by the host that was asked for, or by the client's address.
    pub(crate) fn covers(&self, host: Option<&str>, client: Option<IpAddr>) -> bool {
        host.is_some_and(|host| self.hosts.get(host).is_some())
            || client.is_some_and(|client| self.networks.iter().any(|network| network.contains(&client.to_canonical())))
    }
}

/// Takes out of a record what says who asked, and marks it as from somebody who wants not to be tracked.
pub(crate) fn withhold(record: &mut RawAccess) {
    record.client_ip = None;
    record.user_agent = None;
    record.referer = None;
    record.claim = None;
    record.dnt = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: Option<&str>, client: Option<&str>, expected: bool) {
        let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|n| n.parse().expect("a network")).to_vec();
        let hosts = vec!["NoInfo.example.org".to_owned()];
        let config = PrivacyConfig { opt_out_networks: networks, opt_out_hosts: hosts, ..PrivacyConfig::default() };
        let client = client.map(|address| address.parse().expect("an address"));
        assert_eq!(OptOut::of(&config).covers(host, client), expected);
    }

    #[test]
    fn networks_and_hosts_count_each_by_itself() {
        check(None, Some("192.0.2.7"), true);
        check(Some("get.example.org"), Some("2001:db8::1"), true);
        check(Some("noinfo.EXAMPLE.org"), Some("198.51.100.1"), true);
        check(Some("noinfo.example.org"), None, true);
        check(Some("get.example.org"), Some("198.51.100.1"), false);
        check(None, None, false);
    }

    #[test]
    fn an_address_that_is_mapped_into_ipv6_is_the_one_that_it_maps() {
        check(None, Some("::ffff:192.0.2.7"), true);
    }
}
