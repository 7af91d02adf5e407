//! The counting rule: what each request of a client was, given what the same client did in the ten minutes before. Pure, and it only looks
//! back: a request has its answer when it comes. `docs/counting.md` has the table.
//!
//! What is remembered is of single things (a tag's digest, a GET, an index's children, a blob, the last pull), each for ten minutes after the last request that told of it, and
//! a request together with its own answer tells all that it changes in the memory ([`Fold::replay`]). So the last ten minutes of rows, with the answers that they have, make the memory
//! anew: after a restart, for a partition that moved, and for one day of the past.

mod memory;
mod request;
mod rows;
#[cfg(test)]
mod tests;

pub use memory::FoldLimits;
pub use request::{Client, Request};
pub use rows::{COUNT_COLUMNS, Row, in_order, rows};

use memory::{Memory, Pair, hash_of};

use uuid::Uuid;
use whopulls_schemas::UnixMicros;

use crate::event::Action;

/// How long a thing is remembered after the last request that told of it.
pub const WINDOW_US: i64 = 10 * 60 * 1_000_000;

/// What a request was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its part.
    pub action: Action,
    /// The pull that it belongs to: the id of the request that opened it.
    pub pull_id: Option<Uuid>,
    /// The platform whose manifest was chosen from an index.
    pub platform: Option<String>,
    /// The thing itself was fetched: a file, or a layer of the pull and not only its configuration. Absent where that is no question.
    pub downloaded: Option<bool>,
    /// The tag under which a digest was asked for: the one whose HEAD answered it.
    pub tag: Option<String>,
}

impl Counted {
    /// A request of which nothing else is known.
    pub fn alone(request: &Request<'_>) -> Self {
        Self {
            action: request.alone,
            pull_id: (request.alone == Action::Pull).then_some(request.id),
            platform: None,
            downloaded: (request.alone == Action::Download).then_some(true),
            tag: None,
        }
    }

    fn part(action: Action, pull_id: Option<Uuid>) -> Self {
        Self { action, pull_id, platform: None, downloaded: None, tag: None }
    }
}

/// The rule with its memory.
#[derive(Debug, Default)]
pub struct Fold {
    memory: Memory,
}

impl Fold {
    /// With other bounds.
    pub fn new(limits: FoldLimits) -> Self {
        Self { memory: Memory::new(limits) }
    }

    /// Things that were forgotten before their time, because there were too many.
    pub const fn forgotten(&self) -> u64 {
        self.memory.forgotten()
    }

    /// Says what the request was, and remembers it.
    pub fn count(&mut self, request: &Request<'_>) -> Counted {
        let Some(key) = request.pair_key() else { return Counted::alone(request) };
        let pair = self.memory.pair(key, request.ts);
        let counted = decide(pair, request);
        remember(pair, request, &counted);
        self.memory.settle(key, request.ts);
        counted
    }

    /// Remembers a request that has its answer already.
    pub fn replay(&mut self, request: &Request<'_>, counted: &Counted) {
        let Some(key) = request.pair_key() else { return };
        remember(self.memory.pair(key, request.ts), request, counted);
        self.memory.settle(key, request.ts);
    }
}

fn decide(pair: &Pair, request: &Request<'_>) -> Counted {
    match request.alone {
        Action::Pull => manifest(pair, request),
        Action::Blob | Action::BlobPart => blob(pair, request),
        Action::Download => download(pair, request),
        Action::VersionCheck
        | Action::DownloadPart
        | Action::Metadata
        | Action::View
        | Action::Event
        | Action::Error
        | Action::PullPart
        | Action::Retry => Counted::alone(request),
    }
}

/// A manifest was answered.
fn manifest(pair: &Pair, request: &Request<'_>) -> Counted {
    let now = request.ts;
    let again = pair.gets.at(request.asked(), now);
    if let Some(child) = pair.children.at(request.asked(), now) {
        let action = if again.is_some() { Action::Retry } else { Action::PullPart };
        let platform = child.platform.as_deref().map(str::to_owned);
        return Counted { platform, ..Counted::part(action, Some(child.pull_id)) };
    }
    if let Some(&pull_id) = again {
        return Counted::part(Action::Retry, pull_id);
    }
    // The manifest that a tag answered, once more by its digest.
    if request.is_by_digest()
        && let Some(&pull_id) = pair.manifests.at(request.asked(), now)
    {
        return Counted::part(Action::PullPart, Some(pull_id));
    }
    let tag = if request.is_by_digest() { pair.heads.at(request.asked(), now).map(ToString::to_string) } else { None };
    Counted { tag, ..Counted::part(Action::Pull, Some(request.id)) }
}

/// A config or a layer was answered. A pull asks for one config, so its second blob is a layer.
fn blob(pair: &Pair, request: &Request<'_>) -> Counted {
    let now = request.ts;
    let is_ranged = request.range_start.is_some();
    let action = match pair.blobs.at(request.asked(), now) {
        None => Action::Blob,
        Some(_) if is_ranged => Action::BlobPart,
        Some(_) => Action::Retry,
    };
    let Some(pull_id) = pair.last_pull(now) else { return Counted::part(action, None) };
    let is_another = |(digest, blob): (u64, &memory::Blob)| {
        blob.pull_id == Some(pull_id) && (digest != request.asked() || blob.downloaded)
    };
    let downloaded = pair.blobs.all(now).any(is_another);
    Counted { downloaded: Some(downloaded), ..Counted::part(action, Some(pull_id)) }
}

/// A file was answered, or its beginning.
fn download(pair: &Pair, request: &Request<'_>) -> Counted {
    if pair.gets.at(request.asked(), request.ts).is_some() {
        return Counted::part(Action::Retry, None);
    }
    Counted::alone(request)
}

/// What the request and its answer tell: all of the memory is made here.
fn remember(pair: &mut Pair, request: &Request<'_>, counted: &Counted) {
    let now = request.ts;
    match request.alone {
        Action::VersionCheck => {
            if let Some((tag, digest)) = request.head_of_tag() {
                pair.heads.put(hash_of(digest), tag.into(), now);
            }
        }
        Action::Pull => remember_manifest(pair, request, counted.pull_id, now),
        Action::Blob | Action::BlobPart => {
            let downloaded = counted.downloaded == Some(true);
            pair.blobs.put(request.asked(), memory::Blob { pull_id: counted.pull_id, downloaded }, now);
            if let Some(pull_id) = counted.pull_id {
                pair.set_last_pull(pull_id, now);
            }
        }
        Action::Download => pair.gets.put(request.asked(), None, now),
        Action::DownloadPart
        | Action::Metadata
        | Action::View
        | Action::Event
        | Action::Error
        | Action::PullPart
        | Action::Retry => {}
    }
}

fn remember_manifest(pair: &mut Pair, request: &Request<'_>, pull_id: Option<Uuid>, now: UnixMicros) {
    pair.gets.put(request.asked(), pull_id, now);
    let Some(pull_id) = pull_id else { return };
    if let Some(digest) = request.answered() {
        pair.manifests.put(hash_of(digest), pull_id, now);
    }
    for child in request.children {
        let platform = child.platform.as_deref().map(Into::into);
        pair.children.put(hash_of(&child.digest), memory::ChildOf { pull_id, platform }, now);
    }
    pair.set_last_pull(pull_id, now);
}
