//! What the rule remembers, bounded, the oldest forgotten first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use uuid::Uuid;
use whopulls_schemas::UnixMicros;

use super::WINDOW_US;

/// The bounds of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldLimits {
    /// Pairs of a client and a repository. At some 300 bytes each without their things, 20 MB.
    pub pairs_max: usize,
    /// Things of one sort that are remembered of a pair: the children of a large index fit.
    pub pair_things_max: usize,
    /// Things of all pairs. At some 60 bytes each, 60 MB.
    pub things_max: usize,
}

impl Default for FoldLimits {
    fn default() -> Self {
        Self { pairs_max: 65_536, pair_things_max: 64, things_max: 1 << 20 }
    }
}

/// One client and one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PairKey {
    pub(super) endpoint_id: i64,
    pub(super) rest: u64,
}

/// A blob that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) pull_id: Option<Uuid>,
    pub(super) downloaded: bool,
}

/// A manifest that an index named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChildOf {
    pub(super) pull_id: Uuid,
    pub(super) platform: Option<Box<str>>,
}

/// What is known of a pair.
#[derive(Debug)]
pub(super) struct Pair {
    /// Its latest request.
    last: UnixMicros,
    /// It had a request since it was last looked at for forgetting.
    is_used: bool,
    /// Its things as they are counted in [`Memory`].
    counted: usize,
    /// The tag whose HEAD answered a digest.
    pub(super) heads: Things<Box<str>>,
    /// What was asked for by GET, with its pull.
    pub(super) gets: Things<Option<Uuid>>,
    /// Digests of manifests that were answered.
    pub(super) manifests: Things<Uuid>,
    pub(super) children: Things<ChildOf>,
    pub(super) blobs: Things<Blob>,
    last_pull: Option<(Uuid, UnixMicros)>,
}

impl Pair {
    fn new(now: UnixMicros, things_max: usize) -> Self {
        Self {
            last: now,
            is_used: false,
            counted: 0,
            heads: Things::new(things_max),
            gets: Things::new(things_max),
            manifests: Things::new(things_max),
            children: Things::new(things_max),
            blobs: Things::new(things_max),
            last_pull: None,
        }
    }

    pub(super) fn last_pull(&self, now: UnixMicros) -> Option<Uuid> {
        self.last_pull.filter(|(_, told)| is_fresh(*told, now)).map(|(pull_id, _)| pull_id)
    }

    pub(super) fn set_last_pull(&mut self, pull_id: Uuid, now: UnixMicros) {
        if self.last_pull.is_none_or(|(_, told)| told <= now) {
            self.last_pull = Some((pull_id, now));
        }
    }

    fn len(&self) -> usize {
        let Self { heads, gets, manifests, children, blobs, .. } = self;
        heads.len() + gets.len() + manifests.len() + children.len() + blobs.len()
    }

    fn forgotten(&self) -> u64 {
        let Self { heads, gets, manifests, children, blobs, .. } = self;
        heads.forgotten + gets.forgotten + manifests.forgotten + children.forgotten + blobs.forgotten
    }
}

/// A request that comes late is of its own moment, not of the future.
const fn is_fresh(told: UnixMicros, now: UnixMicros) -> bool {
    now.0.saturating_sub(told.0) <= WINDOW_US
}

/// Things of one sort, the one that was told of last at the end.
#[derive(Debug)]
pub(super) struct Things<T> {
    told: Vec<(u64, T, UnixMicros)>,
    max: usize,
    forgotten: u64,
}

impl<T> Things<T> {
    const fn new(max: usize) -> Self {
        Self { told: Vec::new(), max, forgotten: 0 }
    }

    const fn len(&self) -> usize {
        self.told.len()
    }

    /// The thing, if it was told of within the window.
    pub(super) fn at(&self, key: u64, now: UnixMicros) -> Option<&T> {
        self.told.iter().find(|(known, _, told)| *known == key && is_fresh(*told, now)).map(|(_, thing, _)| thing)
    }

    pub(super) fn all(&self, now: UnixMicros) -> impl Iterator<Item = (u64, &T)> {
        self.told.iter().filter(move |(_, _, told)| is_fresh(*told, now)).map(|(key, thing, _)| (*key, thing))
    }

    /// Older news than what is known changes nothing: rows of the table may be replayed into a memory that has later ones.
    pub(super) fn put(&mut self, key: u64, thing: T, now: UnixMicros) {
        if self.told.iter().any(|(known, _, told)| *known == key && *told > now) {
            return;
        }
        self.told.retain(|(known, _, told)| *known != key && is_fresh(*told, now));
        if self.told.len() >= self.max {
            self.told.remove(0);
            self.forgotten += 1;
        }
        self.told.push((key, thing, now));
    }
}

/// All pairs. A pair's things grow old by its own requests alone: another client may be read hours later or earlier, and must change nothing.
#[derive(Debug)]
pub(super) struct Memory {
    limits: FoldLimits,
    pairs: HashMap<PairKey, Pair>,
    /// Each pair once, in the order in which they are looked at for forgetting.
    queue: VecDeque<PairKey>,
    things: usize,
    newest: UnixMicros,
    forgotten: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(FoldLimits::default())
    }
}

impl Memory {
    pub(super) fn new(limits: FoldLimits) -> Self {
        Self {
            limits,
            pairs: HashMap::new(),
            queue: VecDeque::new(),
            things: 0,
            newest: UnixMicros(i64::MIN),
            forgotten: 0,
        }
    }

    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Pairs and things.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.pairs.len(), self.things)
    }

    pub(super) fn pair(&mut self, key: PairKey, now: UnixMicros) -> &mut Pair {
        let things_max = self.limits.pair_things_max;
        let queue = &mut self.queue;
        self.pairs.entry(key).or_insert_with(|| {
            queue.push_back(key);
            Pair::new(now, things_max)
        })
    }

    /// After a request of a pair: counts what is new, and makes room.
    pub(super) fn settle(&mut self, key: PairKey, now: UnixMicros) {
        self.newest = self.newest.max(now);
        if let Some(pair) = self.pairs.get_mut(&key) {
            pair.last = pair.last.max(now);
            pair.is_used = true;
            self.things = self.things + pair.len() - pair.counted;
            pair.counted = pair.len();
        }
        while self.pairs.len() > self.limits.pairs_max || self.things > self.limits.things_max {
            let Some(key) = self.queue.pop_front() else { break };
            self.look_at(key);
        }
    }

    /// One that was used since the last look stays for another round.
    fn look_at(&mut self, key: PairKey) {
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        if std::mem::take(&mut pair.is_used) {
            self.queue.push_back(key);
            return;
        }
        self.things -= pair.counted;
        self.forgotten += pair.forgotten() + u64::from(is_fresh(pair.last, self.newest));
        self.pairs.remove(&key);
    }
}

/// The key is fixed: equal texts must meet, and whoever makes two texts meet spoils his own count alone.
pub(super) fn hash_of(text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
