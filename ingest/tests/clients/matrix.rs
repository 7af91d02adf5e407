//! One client, every way to pull, and what came of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::authority::Authority;
use crate::events::{self, Order};
use crate::images::{Image, Images};
use crate::page::{self, Pulled, Section};
use crate::program::{self, Need};
use crate::registry::digest_of;
use crate::stage::{REPOSITORY, Seen, Stage};

/// What passes between a client and the gateway in one pull stays below this: manifests, redirects and a handshake for each
/// connection (four kB). Two layers of a megabyte would not.
pub(crate) const WIRE_BYTES_MAX: u64 = 200_000;

/// A client of container registries.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// Its section of the page.
    pub(crate) heading: &'static str,
    pub(crate) need: Need,
    /// What makes it say its version.
    pub(crate) version: &'static [&'static str],
    /// How it pulls, for the page.
    pub(crate) how: &'static str,
    /// What it has under way at once when it takes all platforms.
    pub(crate) order: Order,
    /// It can take all platforms of an image.
    pub(crate) takes_all: bool,
    pub(crate) keeps: Keeps,
}

/// What is left of a layer at the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// It, as it was sent.
    Archives,
    /// What was in it; packed again without compression it has the digest that the image's configuration names.
    Files,
    /// The same, and not the manifest.
    FilesWithoutManifest,
}

/// One pull, and what must come of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What stands behind the repository's name: `:tag` or `@digest`.
    pub(crate) reference: String,
    /// The digest of what the reference stands for.
    pub(crate) digest: String,
    /// Every platform, not the machine's alone.
    pub(crate) all: bool,
    /// The digests that the client must have afterwards.
    pub(crate) expected: BTreeSet<String>,
}

impl Client {
    /// The pulls that every client is put through.
    fn cases(&self, images: &Images) -> Vec<Case> {
        let of = |image: &Image| -> BTreeSet<String> {
            let (manifest, layers) = match self.keeps {
                Keeps::Archives => (Some(&image.digest), &image.layers),
                Keeps::Files => (Some(&image.digest), &image.diff_ids),
                Keeps::FilesWithoutManifest => (None, &image.diff_ids),
            };
            manifest.into_iter().chain([&image.config]).chain(layers).cloned().collect()
        };
        let (single, multi) = (&images.single, images.platforms.first().expect("there are two"));
        let case = |name, tag: Option<&str>, digest: &str, taken| {
            let reference = tag.map_or_else(|| format!("@{digest}"), |tag| format!(":{tag}"));
            Case { name, reference, digest: digest.to_owned(), all: false, expected: of(taken) }
        };
        let mut cases = vec![
            case("one platform, by tag", Some("single"), &single.digest, single),
            case("one platform, by digest", None, &single.digest, single),
            case("one of two platforms, by tag", Some("multi"), &images.index, multi),
            case("one of two platforms, by digest", None, &images.index, multi),
        ];
        if self.takes_all {
            let expected = images.platforms.iter().flat_map(of).chain([images.index.clone()]).collect();
            let both = case("both platforms, by tag", Some("multi"), &images.index, multi);
            cases.push(Case { all: true, expected, ..both });
        }
        cases
    }

    /// Where it and the registry behind the gateway are, unless one of them may be missing and is.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        program::find("docker-registry", Need::Always)?;
        program::find(self.name, self.need)
    }
}

/// What a client is told to pull.
pub(crate) struct Pull<'a> {
    pub(crate) program: &'a Path,
    pub(crate) case: &'a Case,
    pub(crate) host: &'a str,
    pub(crate) authority: &'a Authority,
    /// A folder for this pull alone.
    pub(crate) dir: &'a Path,
}

impl Pull<'_> {
    pub(crate) fn command(&self) -> tokio::process::Command {
        program::command(self.program, self.dir, self.authority)
    }

    /// The image with host and tag or digest.
    pub(crate) fn image(&self) -> String {
        format!("{}/{REPOSITORY}{}", self.host, self.case.reference)
    }

    /// The option that asks for one platform, where one is wanted.
    pub(crate) fn one_platform(&self) -> &'static [&'static str] {
        if self.case.all { &[] } else { &["--platform", "linux/amd64"] }
    }

    /// The value of an option that names the platform.
    pub(crate) fn platform(&self) -> &'static str {
        if self.case.all { "all" } else { "linux/amd64" }
    }
}

/// Pulls in every way; `pull` gives the folders where the client keeps what it got.
pub(crate) async fn check(client: &Client, pull: impl AsyncFn(&Pull<'_>) -> Vec<PathBuf>) {
    let Some(program) = client.find() else { return };
    let stage = Stage::start().await;
    let cases = client.cases(&stage.images);
    check_cases(client, &program, &stage, &cases, pull).await;
}

/// The same with pulls of the client's own.
pub(crate) async fn check_cases(
    client: &Client,
    program: &Path,
    stage: &Stage,
    cases: &[Case],
    pull: impl AsyncFn(&Pull<'_>) -> Vec<PathBuf>,
) {
    let mut pulls = Vec::new();
    for case in cases {
        let (visit, scratch) = (stage.visit().await, stage.scratch());
        let host = visit.host();
        let (authority, dir) = (&stage.authority, scratch.path());
        let folders = pull(&Pull { program, case, host: &host, authority, dir }).await;
        let seen = stage.leave(visit).await;
        let arrived: BTreeSet<String> = folders.iter().flat_map(|folder| digests_under(folder)).collect();
        for digest in &case.expected {
            let name = stage.images.name_of(digest);
            assert!(arrived.contains(digest), "{}, {}: {name} ({digest}) did not arrive", client.name, case.name);
        }
        // One platform is one chain of requests up to its blobs; several are fetched side by side.
        let order = if case.all { client.order } else { Order::BlobsAtOnce };
        pulls.push(pulled(case.name, &seen, &stage.images, order));
    }
    let version = program::version(program, client.version).await;
    page::check(&Section { heading: client.heading, version, how: client.how, pulls });
}

/// The pull as it stands in the page; on the way, what every pull has to be.
pub(crate) fn pulled(name: &'static str, seen: &Seen, images: &Images, order: Order) -> Pulled {
    let wire = seen.wire_bytes;
    assert!(wire < WIRE_BYTES_MAX, "{name}: {wire} bytes passed between client and gateway");
    let gateway_bytes = seen.records.iter().map(|record| record.bytes).sum();
    let lines = events::lines(&seen.records, images, order);
    Pulled { name, lines, gateway_bytes, storage_bytes: seen.storage_bytes }
}

/// The digests of all files in a folder and below, computed from their bytes.
pub(crate) fn digests_under(folder: &Path) -> BTreeSet<String> {
    let mut digests = BTreeSet::new();
    let entries = std::fs::read_dir(folder).expect("the client made its folder");
    for entry in entries.map(|entry| entry.expect("a folder is read")) {
        let kind = entry.file_type().expect("an entry has a kind");
        if kind.is_dir() {
            digests.extend(digests_under(&entry.path()));
        } else if kind.is_file() {
            digests.insert(digest_of(&std::fs::read(entry.path()).expect("a file is read")));
        }
    }
    digests
}
