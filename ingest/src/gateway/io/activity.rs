//! Whether a client takes what it is sent. A connection's bytes and bodies leave marks here, which cost two stores each; one slow timer per
//! connection reads them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::respond::Body;

/// What happens on one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// A request was begun.
    begun: AtomicBool,
    /// The requests are HTTP/2: bytes alone say little, since a client may ask for many small ones beside a body that it does not take.
    multiplexed: AtomicBool,
    /// The client's side takes no further bytes at the moment.
    blocked: AtomicBool,
    /// Writes that were taken.
    writes: AtomicU64,
    /// Requests that are not answered to the end.
    open: AtomicUsize,
    /// Bodies whose next piece waits for the client, not for an upstream.
    ready: AtomicUsize,
    /// Requests begun, and pieces of bodies asked for.
    steps: AtomicU64,
}

impl Activity {
    pub(super) fn written(&self) {
        self.writes.fetch_add(1, Relaxed);
        if self.blocked.load(Relaxed) {
            self.blocked.store(false, Relaxed);
        }
    }

    pub(super) fn blocked(&self) {
        self.blocked.store(true, Relaxed);
    }

    pub(super) fn begin(&self, multiplexed: bool) {
        if !self.begun.load(Relaxed) {
            self.multiplexed.store(multiplexed, Relaxed);
            self.begun.store(true, Relaxed);
        }
        self.steps.fetch_add(1, Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something moves, or the client waits for us.
    Goes,
    /// Nothing was asked for and nothing is under way.
    Idle,
    /// The client stands still in the middle of an answer.
    Stalled,
}

/// The reader of the marks: it knows since when they have not changed.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Duration,
    writes: (u64, Instant),
    steps: (u64, Instant),
}

impl Watch {
    pub(super) fn new(patience: Duration, now: Instant) -> Self {
        Self { patience, writes: (0, now), steps: (0, now) }
    }

    /// How often to look: a client is cut off at most a quarter late.
    pub(super) fn period(&self) -> Duration {
        self.patience / 4
    }

    pub(super) fn look(&mut self, activity: &Activity, now: Instant) -> Verdict {
        let patience = self.patience;
        let still = |mark: &mut (u64, Instant), value: u64| {
            if mark.0 != value {
                *mark = (value, now);
            }
            now.saturating_duration_since(mark.1) >= patience
        };
        let no_writes = still(&mut self.writes, activity.writes.load(Relaxed));
        let no_steps = still(&mut self.steps, activity.steps.load(Relaxed));
        let multiplexed = activity.is_multiplexed();
        let stalled = (activity.blocked.load(Relaxed) && no_writes)
            || (multiplexed && activity.ready.load(Relaxed) > 0 && no_steps);
        match (stalled, multiplexed && activity.open.load(Relaxed) == 0 && no_steps) {
            (true, _) => Verdict::Stalled,
            (false, true) => Verdict::Idle,
            (false, false) => Verdict::Goes,
        }
    }
}

/// The body of an answer on an HTTP/2 connection, which leaves marks. On HTTP/1 the bytes say enough, and it is the body alone.
#[derive(Debug)]
pub(super) struct Watched {
    body: Body,
    marks: Option<Marks>,
}

/// Counts a request as open as long as it lives.
#[derive(Debug)]
pub(super) struct Marks {
    activity: Arc<Activity>,
    ready: bool,
}

impl Marks {
    /// None on HTTP/1.
    pub(super) fn of(activity: &Arc<Activity>) -> Option<Self> {
        activity.is_multiplexed().then(|| {
            activity.open.fetch_add(1, Relaxed);
            Self { activity: Arc::clone(activity), ready: false }
        })
    }

    fn set_ready(&mut self, ready: bool) {
        if self.ready != ready {
            self.ready = ready;
            if ready {
                self.activity.ready.fetch_add(1, Relaxed)
            } else {
                self.activity.ready.fetch_sub(1, Relaxed)
            };
        }
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.set_ready(false);
        self.activity.open.fetch_sub(1, Relaxed);
        self.activity.steps.fetch_add(1, Relaxed);
    }
}

impl Watched {
    pub(super) fn new(body: Body, mut marks: Option<Marks>) -> Self {
        if let Some(marks) = &mut marks {
            marks.activity.steps.fetch_add(1, Relaxed);
            marks.set_ready(true);
        }
        Self { body, marks }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Some(marks) = &mut self.marks {
            marks.activity.steps.fetch_add(1, Relaxed);
            // A piece that was taken: whether the next one is wanted is the client's to say. None at hand: it is the upstream's turn.
            marks.set_ready(polled.is_ready());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Either, Full};

    use super::*;
    use crate::io::clock;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[track_caller]
    fn check(watch: &mut Watch, activity: &Activity, begin: Instant, after_s: u64, expected: Verdict) {
        assert_eq!(watch.look(activity, begin + Duration::from_secs(after_s)), expected, "after {after_s} s");
    }

    fn body() -> Body {
        Either::Left(Full::from("text"))
    }

    #[test]
    fn a_client_that_takes_no_bytes_is_stalled_until_it_takes_some() {
        let (activity, begin) = (Activity::default(), clock::monotonic());
        let mut watch = Watch::new(PATIENCE, begin);
        activity.begin(false);
        check(&mut watch, &activity, begin, 500, Verdict::Goes);
        activity.written();
        activity.blocked();
        check(&mut watch, &activity, begin, 501, Verdict::Goes);
        check(&mut watch, &activity, begin, 560, Verdict::Goes);
        check(&mut watch, &activity, begin, 561, Verdict::Stalled);
        activity.written();
        check(&mut watch, &activity, begin, 562, Verdict::Goes);
        check(&mut watch, &activity, begin, 900, Verdict::Goes);
    }

    #[tokio::test]
    async fn an_http_2_body_that_is_not_asked_for_is_stalled() {
        let (activity, begin) = (Arc::new(Activity::default()), clock::monotonic());
        let mut watch = Watch::new(PATIENCE, begin);
        activity.begin(true);
        let marks = Marks::of(&activity);
        check(&mut watch, &activity, begin, 1, Verdict::Goes);
        // The upstream may take its time.
        check(&mut watch, &activity, begin, 100, Verdict::Goes);
        let mut watched = Watched::new(body(), marks);
        check(&mut watch, &activity, begin, 101, Verdict::Goes);
        check(&mut watch, &activity, begin, 161, Verdict::Stalled);
        assert!(watched.frame().await.is_some());
        check(&mut watch, &activity, begin, 162, Verdict::Goes);
        // Bytes of other kinds, such as answers to pings, do not help.
        activity.written();
        check(&mut watch, &activity, begin, 222, Verdict::Stalled);
        drop(watched);
        check(&mut watch, &activity, begin, 223, Verdict::Goes);
        check(&mut watch, &activity, begin, 283, Verdict::Idle);
    }

    #[test]
    fn on_http_1_a_body_leaves_no_marks() {
        let activity = Arc::new(Activity::default());
        activity.begin(false);
        assert!(Marks::of(&activity).is_none());
        assert_eq!(Watched::new(body(), None).size_hint().exact(), Some(4));
    }
}
