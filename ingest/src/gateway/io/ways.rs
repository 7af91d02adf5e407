//! The order in which an answer is looked for: fresh in the cache, at the upstream, at the second one, stale in the cache.

use std::time::Duration;

use futures::future::BoxFuture;

use super::super::cache_policy::{Freshness, Turn, turn};
use super::oci::{Copy, Failure};
use super::upstream_error::UpstreamError;

/// How long a client waits for an upstream when a stale answer is at hand. What the upstream says later is still kept for the next one.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where an answer was found, by the number of its copy.
pub(super) enum Way<T> {
    /// In the cache, without asking.
    Cached(usize),
    /// At the upstream.
    Asked(usize, T),
    /// In the cache, since no upstream answered.
    Stale(usize),
}

/// Looks for an answer. `cached` says for each copy how good the cache's is.
pub(super) async fn find<'f, T>(
    copies: &'f [Copy],
    cached: &[Option<Freshness>],
    ask: impl Fn(&'f Copy) -> BoxFuture<'f, Result<T, UpstreamError>>,
) -> Result<Way<T>, Failure> {
    let may_be_stale = |at: usize| matches!(cached.get(at), Some(Some(Freshness::Fresh | Freshness::Due)));
    let has_stale = (0..copies.len()).any(may_be_stale);
    let mut failure = None;
    let mut skipped = Vec::new();
    for (at, copy) in copies.iter().enumerate() {
        let has_other_way = has_stale || at + 1 < copies.len();
        match turn(cached.get(at).copied().flatten(), copy.upstream.is_backing_off(), has_other_way) {
            Turn::Answer => return Ok(Way::Cached(at)),
            Turn::Skip => skipped.push((at, copy)),
            Turn::Ask => match patiently(ask(copy), has_stale).await {
                Ok(found) => return Ok(Way::Asked(at, found)),
                Err(error) => {
                    // What the first upstream denies is not to be had from others.
                    let is_final = at == 0 && !error.is_failure();
                    let upstream = copy.upstream.id.clone();
                    let failed = Failure { error, upstream };
                    if is_final {
                        return Err(failed);
                    }
                    failure.get_or_insert(failed);
                }
            },
        }
    }
    if let Some(at) = (0..copies.len()).find(|at| may_be_stale(*at)) {
        return Ok(Way::Stale(at));
    }
    for (at, copy) in skipped {
        match ask(copy).await {
            Ok(found) => return Ok(Way::Asked(at, found)),
            Err(error) => {
                let upstream = copy.upstream.id.clone();
                failure.get_or_insert(Failure { error, upstream });
            }
        }
    }
    Err(failure.unwrap_or_else(|| Failure { error: UpstreamError::Unknown, upstream: String::new() }))
}

async fn patiently<T>(asked: BoxFuture<'_, Result<T, UpstreamError>>, has_stale: bool) -> Result<T, UpstreamError> {
    if !has_stale {
        return asked.await;
    }
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(UpstreamError::Timeout))
}
