//! The table of `docs/counting.md`, line by line, and the properties that hold for any stream.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Child, Kind, RawAccess};

use super::{Counted, Fold, FoldLimits, Request, WINDOW_US};
use crate::event::{Action, Enriched, action};

const INDEX: &str = "sha256:aa";
const AMD64: &str = "sha256:bb";
const ARM64: &str = "sha256:cc";

/// A client's session: each request a second after the one before.
#[derive(Default)]
struct Session {
    fold: Fold,
    now_s: i64,
    seen: u128,
}

/// `GET manifests/1.0 -> sha256:aa` and what goes with it.
#[derive(Debug, Clone, Default)]
struct Ask<'a> {
    what: &'a str,
    answers: Option<&'a str>,
    children: &'a [(&'a str, Option<&'a str>)],
    range_start: Option<u64>,
    status: u16,
}

fn ask(what: &str) -> Ask<'_> {
    Ask { what, status: 200, ..Ask::default() }
}

fn index(what: &str) -> Ask<'_> {
    Ask { answers: Some(INDEX), children: &[(AMD64, Some("linux/amd64")), (ARM64, Some("linux/arm64"))], ..ask(what) }
}

fn record(ask: &Ask<'_>, id: u128, ts: UnixMicros) -> RawAccess {
    let (method, rest) = ask.what.split_once(' ').expect("a method and a path");
    let is_oci = rest.contains("manifests/") || rest.contains("blobs/") || rest.contains("tags/");
    let (kind, path) = if is_oci { (Kind::Oci, format!("/v2/acme/app/{rest}")) } else { (Kind::File, rest.to_owned()) };
    let mut raw = RawAccess::new(Uuid::from_u128(id), ts, kind, method, &path, ask.status);
    raw.package = Some("acme/app".to_owned());
    raw.reference = rest.split_once('/').filter(|_| is_oci).map(|(_, reference)| reference.to_owned());
    raw.digest = ask.answers.map(str::to_owned);
    let child = |&(digest, platform): &(&str, Option<&str>)| Child {
        digest: digest.to_owned(),
        platform: platform.map(str::to_owned),
    };
    raw.children = ask.children.iter().map(child).collect();
    raw.range_start = ask.range_start;
    raw
}

fn client(endpoint: i64) -> Enriched {
    Enriched { endpoint_id: Some(endpoint), client: Some("docker".to_owned()), ..Enriched::default() }
}

fn counted(fold: &mut Fold, raw: &RawAccess, enriched: &Enriched) -> Counted {
    fold.count(&Request::of(raw, enriched, action(raw)))
}

impl Session {
    fn say(&mut self, ask: &Ask<'_>) -> Counted {
        self.seen += 1;
        self.now_s += 1;
        let raw = record(ask, self.seen, UnixMicros(self.now_s * 1_000_000));
        counted(&mut self.fold, &raw, &client(1))
    }

    #[track_caller]
    fn check(&mut self, ask: &Ask<'_>, action: Action, pull: Option<u128>) -> Counted {
        let counted = self.say(ask);
        assert_eq!((counted.action, counted.pull_id), (action, pull.map(Uuid::from_u128)), "{}", ask.what);
        counted
    }
}

#[test]
fn a_head_alone_is_a_version_check() {
    let mut session = Session::default();
    session.check(&index("HEAD manifests/1.0"), Action::VersionCheck, None);
    session.check(&ask("HEAD manifests/sha256:aa"), Action::VersionCheck, None);
}

#[test]
fn a_pull_by_tag_and_the_platform_that_it_chose_are_one_pull() {
    let mut session = Session::default();
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(1));
    let part = session.check(&ask("GET manifests/sha256:bb"), Action::PullPart, Some(1));
    assert_eq!(part.platform.as_deref(), Some("linux/amd64"));
    let other = session.check(&ask("GET manifests/sha256:cc"), Action::PullPart, Some(1));
    assert_eq!(other.platform.as_deref(), Some("linux/arm64"));
}

#[test]
fn the_tag_of_the_head_is_the_tag_of_the_pull() {
    let mut session = Session::default();
    session.check(&index("HEAD manifests/1.0"), Action::VersionCheck, None);
    let pull = session.check(&index("GET manifests/sha256:aa"), Action::Pull, Some(2));
    assert_eq!(pull.tag.as_deref(), Some("1.0"));
    session.check(&ask("GET manifests/sha256:bb"), Action::PullPart, Some(2));
    session.check(&ask("GET blobs/sha256:c0"), Action::Blob, Some(2));
}

#[test]
fn a_pull_by_digest_has_no_tag() {
    let mut session = Session::default();
    session.check(&ask("HEAD manifests/sha256:aa"), Action::VersionCheck, None);
    let pull = session.check(&index("GET manifests/sha256:aa"), Action::Pull, Some(2));
    assert_eq!(pull.tag, None);
}

#[test]
fn what_a_tag_answered_by_its_digest_is_the_same_pull_and_another_tag_is_another() {
    let mut session = Session::default();
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(1));
    session.check(&index("GET manifests/sha256:aa"), Action::PullPart, Some(1));
    session.check(&index("GET manifests/latest"), Action::Pull, Some(3));
}

#[test]
fn blobs_belong_to_the_last_pull_and_the_second_tells_that_a_layer_came() {
    let mut session = Session::default();
    session.check(&ask("GET blobs/sha256:77"), Action::Blob, None);
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(2));
    let config = session.check(&ask("GET blobs/sha256:c0"), Action::Blob, Some(2));
    assert_eq!(config.downloaded, Some(false), "whoever inspects an image fetches its configuration");
    let redirected = Ask { status: 307, ..ask("GET blobs/sha256:1a") };
    assert_eq!(session.check(&redirected, Action::Blob, Some(2)).downloaded, Some(true));
    session.check(&ask("GET blobs/sha256:c0"), Action::Retry, Some(2));
    session.check(&Ask { status: 500, ..ask("GET blobs/sha256:1b") }, Action::Error, None);
}

#[test]
fn ranges_of_one_layer_are_one_blob() {
    let mut session = Session::default();
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(1));
    let range = |start| Ask { range_start: Some(start), status: 206, ..ask("GET blobs/sha256:1a") };
    session.check(&range(1000), Action::Blob, Some(1));
    session.check(&range(0), Action::BlobPart, Some(1));
    session.check(&range(2000), Action::BlobPart, Some(1));
}

#[test]
fn the_same_again_within_the_window_is_a_retry_and_after_it_a_pull() {
    let mut session = Session::default();
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(1));
    session.check(&ask("GET manifests/sha256:bb"), Action::PullPart, Some(1));
    session.check(&index("GET manifests/1.0"), Action::Retry, Some(1));
    session.check(&ask("GET manifests/sha256:bb"), Action::Retry, Some(1));
    session.now_s += 600;
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(5));
}

#[test]
fn lists_and_signatures_change_nothing() {
    let mut session = Session::default();
    session.check(&ask("GET tags/list"), Action::Metadata, None);
    session.check(&ask("GET manifests/sha256-aa.sig"), Action::Metadata, None);
    session.check(&Ask { status: 404, ..ask("GET manifests/1.0") }, Action::Error, None);
    session.check(&index("GET manifests/1.0"), Action::Pull, Some(4));
}

#[test]
fn a_file_again_within_the_window_is_a_retry() {
    let mut session = Session::default();
    assert_eq!(session.check(&ask("GET /app.tar.gz"), Action::Download, None).downloaded, Some(true));
    session.check(&Ask { status: 302, ..ask("GET /app.tar.gz") }, Action::Retry, None);
    session.check(&ask("GET /other.tar.gz"), Action::Download, None);
    session.check(&Ask { status: 304, ..ask("GET /app.tar.gz") }, Action::VersionCheck, None);
    session.check(&Ask { range_start: Some(9), status: 206, ..ask("GET /app.tar.gz") }, Action::DownloadPart, None);
    session.now_s += 601;
    session.check(&ask("GET /app.tar.gz"), Action::Download, None);
}

#[test]
fn who_may_not_be_known_stands_alone() {
    let (mut fold, nobody) = (Fold::default(), Enriched::default());
    for id in 1..=2 {
        let raw = record(&index("GET manifests/1.0"), id, UnixMicros(0));
        let counted = counted(&mut fold, &raw, &nobody);
        assert_eq!((counted.action, counted.pull_id), (Action::Pull, Some(Uuid::from_u128(id))));
    }
}

#[test]
fn the_memory_is_bounded_and_what_it_loses_is_counted() {
    let limits = FoldLimits { pairs_max: 10, pair_things_max: 4, things_max: 25 };
    let mut fold = Fold::new(limits);
    for id in 0..1000_i64 {
        let path = format!("GET /file-{}.tar.gz", id % 50);
        let raw = record(&ask(&path), 1 + u128::from(id.unsigned_abs()), UnixMicros(id));
        counted(&mut fold, &raw, &client(id % 100));
        assert!(fold.memory.size().0 <= 10 && fold.memory.size().1 <= 25, "{:?}", fold.memory.size());
    }
    assert!(fold.forgotten() > 900, "{}", fold.forgotten());
}

/// A request of a random stream: small alphabets, so that things meet.
#[derive(Debug, Clone)]
struct Step {
    after_s: i64,
    endpoint: i64,
    what: &'static str,
    answers: Option<&'static str>,
    is_index: bool,
    range_start: Option<u64>,
    status: u16,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop::sample::select(vec![
        "GET manifests/1.0",
        "HEAD manifests/1.0",
        "GET manifests/latest",
        "HEAD manifests/latest",
        "GET manifests/sha256:aa",
        "GET manifests/sha256:bb",
        "GET manifests/sha256:cc",
        "GET blobs/sha256:c0",
        "GET blobs/sha256:1a",
        "GET /app.tar.gz",
        "GET /other.tar.gz",
        "GET tags/list",
    ]);
    let answers = prop::option::of(prop::sample::select(vec![INDEX, AMD64, ARM64]));
    let range = prop::option::weighted(0.2, prop::sample::select(vec![0_u64, 1000]));
    let status = prop::sample::select(vec![200_u16, 200, 200, 206, 307, 304, 404]);
    (0..400_i64, 1..3_i64, what, answers, any::<bool>(), range, status).prop_map(
        |(after_s, endpoint, what, answers, is_index, range_start, status)| Step {
            after_s,
            endpoint,
            what,
            answers,
            is_index,
            range_start,
            status,
        },
    )
}

fn stream(steps: &[Step]) -> Vec<(RawAccess, Enriched)> {
    let mut now_s = 0;
    let mut id = 0;
    let request = |step: &Step| {
        now_s += step.after_s;
        id += 1;
        let children: &[(&str, Option<&str>)] =
            if step.is_index { &[(AMD64, Some("linux/amd64")), (ARM64, None)] } else { &[] };
        let Step { what, answers, range_start, status, .. } = *step;
        let ask = Ask { what, answers, children, range_start, status };
        (record(&ask, id, UnixMicros(now_s * 1_000_000)), client(step.endpoint))
    };
    steps.iter().map(request).collect()
}

fn all(stream: &[(RawAccess, Enriched)]) -> Vec<Counted> {
    let mut fold = Fold::default();
    stream.iter().map(|(raw, enriched)| counted(&mut fold, raw, enriched)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Cut anywhere, the rows of the last ten minutes with their answers make the memory anew.
    #[test]
    fn a_stream_that_is_cut_anywhere_goes_on_as_if_it_were_not(steps in vec(step(), 1..20)) {
        let stream = stream(&steps);
        let whole = all(&stream);
        for cut in 0..stream.len() {
            let mut fold = Fold::default();
            let from = stream[cut].0.ts.0 - WINDOW_US;
            for ((raw, enriched), known) in stream.iter().zip(&whole).take(cut).filter(|((raw, _), _)| raw.ts.0 >= from) {
                fold.replay(&Request::of(raw, enriched, action(raw)), known);
            }
            for ((raw, enriched), expected) in stream.iter().zip(&whole).skip(cut) {
                prop_assert_eq!(&counted(&mut fold, raw, enriched), expected, "cut at {}", cut);
            }
        }
    }
}

proptest! {
    /// Each client is counted as if it were alone, whoever is read in between, and however much earlier or later.
    #[test]
    fn other_clients_change_nothing(one in vec(step(), 0..20), other in vec(step(), 0..20), order in vec(any::<bool>(), 40), apart_s in -100_000..100_000_i64) {
        let of = |steps: &[Step], endpoint| -> Vec<(RawAccess, Enriched)> {
            stream(steps).into_iter().map(|(mut raw, _)| {
                if endpoint == 2 { raw.ts.0 += apart_s * 1_000_000; }
                (raw, client(endpoint))
            }).collect()
        };
        let (one, other) = (of(&one, 1), of(&other, 2));
        let (mut ones, mut others) = (one.iter(), other.iter());
        let mut fold = Fold::default();
        let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
        for first in order.into_iter().chain([true; 20]).chain([false; 20]) {
            let (next, into) = if first { (ones.next(), &mut of_one) } else { (others.next(), &mut of_other) };
            if let Some((raw, enriched)) = next {
                into.push(counted(&mut fold, raw, enriched));
            }
        }
        prop_assert_eq!(of_one, all(&one));
        prop_assert_eq!(of_other, all(&other));
    }

    /// What a request was by itself changes only into its own kind of part, and every pull has one opener.
    #[test]
    fn counting_only_ever_takes_away(steps in vec(step(), 0..60)) {
        let stream = stream(&steps);
        let mut opened = std::collections::HashSet::new();
        for ((raw, _), counted) in stream.iter().zip(all(&stream)) {
            let alone = action(raw);
            let may_become = [
                (Action::Pull, &[Action::PullPart, Action::Retry][..]),
                (Action::Blob, &[Action::BlobPart, Action::Retry]),
                (Action::BlobPart, &[Action::Blob, Action::Retry]),
                (Action::Download, &[Action::Retry]),
            ];
            let becomes = may_become.iter().find(|(from, _)| *from == alone).is_some_and(|(_, to)| to.contains(&counted.action));
            prop_assert!(becomes || counted.action == alone, "{:?} of {:?}", counted, alone);
            if counted.action == Action::Pull {
                prop_assert_eq!(counted.pull_id, Some(raw.id));
                opened.insert(raw.id);
            }
            prop_assert!(counted.pull_id.is_none_or(|pull_id| opened.contains(&pull_id)), "{:?}", counted);
        }
    }
}

#[test]
fn older_rows_that_are_replayed_late_change_nothing_that_is_known_since() {
    let mut fold = Fold::default();
    let at = |id, second: i64| record(&index("GET manifests/1.0"), id, UnixMicros(second * 1_000_000));
    let pull = counted(&mut fold, &at(1, 100), &client(1));
    let older = Counted { pull_id: Some(Uuid::from_u128(9)), ..pull };
    let row = at(9, 50);
    fold.replay(&Request::of(&row, &client(1), action(&row)), &older);
    let again = counted(&mut fold, &at(2, 650), &client(1));
    assert_eq!((again.action, again.pull_id), (Action::Retry, Some(Uuid::from_u128(1))));
    let layer = record(&ask("GET blobs/sha256:1a"), 3, UnixMicros(651_000_000));
    assert_eq!(counted(&mut fold, &layer, &client(1)).pull_id, Some(Uuid::from_u128(1)));
}

#[test]
fn a_robot_never_counts() {
    let mut fold = Fold::default();
    let robot = Enriched { automation: Some("bot".to_owned()), ..client(1) };
    for (id, what) in (1..).zip(["GET manifests/1.0", "GET /app.tar.gz", "GET blobs/sha256:1a"]) {
        let counted = counted(&mut fold, &record(&index(what), id, UnixMicros(0)), &robot);
        assert_eq!((counted.action, counted.pull_id), (Action::Metadata, None), "{what}");
    }
    let raw = record(&Ask { status: 404, ..ask("GET /app.tar.gz") }, 9, UnixMicros(0));
    assert_eq!(counted(&mut fold, &raw, &robot).action, Action::Error);
}
