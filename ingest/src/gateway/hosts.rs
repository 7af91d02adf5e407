//! Host names, which clients write in any case.

use std::borrow::Cow;
use std::collections::HashMap;

/// What the configuration says of each host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostMap<T>(HashMap<String, T>);

impl<T> HostMap<T> {
    /// What is said of `host`, given without port.
    pub(crate) fn get(&self, host: &str) -> Option<&T> {
        if self.0.is_empty() {
            return None;
        }
        let upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
        let host = if upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
        self.0.get(host.as_ref())
    }
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<N: AsRef<str>, T> FromIterator<(N, T)> for HostMap<T> {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(host, value)| (host.as_ref().to_ascii_lowercase(), value)).collect())
    }
}
