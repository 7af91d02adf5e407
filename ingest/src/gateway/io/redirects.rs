//! Redirects to storages, in memory: the same one for all who come within seconds, and for everybody while its signature lives when the upstream is
//! down. They are credentials: they are neither written to disk nor logged.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use url::Url;
use whopulls_schemas::UnixMicros;

use super::super::cache_policy::Freshness;
use super::super::lru::Lru;
use super::super::signature::good_until;

/// Signed URLs have 0.3 to 2 KiB; about 4,000 of the longest.
const BYTES_MAX: u64 = 8 << 20;
/// What an entry costs beside its texts, at most.
const ENTRY_BYTES: u64 = 512;
/// Who comes so soon after another is sent to the same place.
const FRESH_US: i64 = 2_000_000;

/// Where an upstream sends clients for a blob.
#[derive(Clone)]
pub(super) struct Redirect {
    pub(super) location: Url,
    /// The upstream's status, 302 or 307.
    pub(super) status: u16,
    received: UnixMicros,
    until: UnixMicros,
}

impl Redirect {
    pub(super) fn new(location: Url, status: u16, now: UnixMicros) -> Self {
        let until = good_until(&location, now);
        Self { location, status, received: now, until }
    }

    pub(super) fn freshness(&self, now: UnixMicros) -> Freshness {
        if now >= self.until {
            Freshness::Gone
        } else if (0..FRESH_US).contains(&now.0.saturating_sub(self.received.0)) {
            Freshness::Fresh
        } else {
            Freshness::Due
        }
    }
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirect").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Redirects by blob.
#[derive(Debug)]
pub(super) struct Redirects(Mutex<Lru<String, Redirect>>);

impl Default for Redirects {
    fn default() -> Self {
        Self(Mutex::new(Lru::new(BYTES_MAX)))
    }
}

impl Redirects {
    pub(super) fn keep(&self, key: String, redirect: Redirect) {
        let bytes = 3 * key.len() as u64 + redirect.location.as_str().len() as u64 + ENTRY_BYTES;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, redirect, bytes);
    }

    pub(super) fn get(&self, key: &str) -> Option<Redirect> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_shared_for_seconds_and_handed_out_while_its_signature_lives() {
        let second = |at: i64| UnixMicros(at * 1_000_000);
        let url = Url::parse("https://storage.example.org/x?Expires=1600&sig=s3cret").expect("a URL");
        let redirect = Redirect::new(url, 307, second(1000));
        for (at, expected) in [
            (1000, Freshness::Fresh),
            (1001, Freshness::Fresh),
            (1002, Freshness::Due),
            (999, Freshness::Due),
            (1569, Freshness::Due),
            (1570, Freshness::Gone),
        ] {
            assert_eq!(redirect.freshness(second(at)), expected, "{at}");
        }
        assert!(!format!("{redirect:?}").contains("s3cret"));
        let redirects = Redirects::default();
        redirects.keep("k".into(), redirect);
        assert!(redirects.get("k").is_some() && redirects.get("l").is_none());
    }
}
