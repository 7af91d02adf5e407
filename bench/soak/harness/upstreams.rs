//! Two real registries with the same images behind a proxy each, one with some more; and what happens to them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::account::Source;
use super::fault_proxy::FaultProxy;
use super::schedule::{Fault, Step};
use crate::registry::{MANIFEST, Registry, TokenServer};

/// Repositories in both registries, and as many in the first alone.
const REPOSITORIES: usize = 5;
/// Tags of each.
const TAGS: usize = 3;
/// Tags that are asked for once in the whole run, in both registries and in the first alone.
const FRESH: usize = 24;

/// A manifest as the registry gives it, with its layer.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) source: Source,
    /// The repository's last component.
    pub(crate) image: String,
    pub(crate) tag: String,
    pub(crate) digest: String,
    pub(crate) manifest: Vec<u8>,
    /// None for a tag that is asked for once.
    pub(crate) layer: Option<(String, Vec<u8>)>,
}

/// The first registry's name of a repository.
pub(crate) fn upstream_name(source: Source, image: &str) -> String {
    format!("{}/{image}", if source == Source::Alone { "only" } else { "up" })
}

/// Whether the first registry is disturbed, or was a moment ago.
#[derive(Debug)]
pub(crate) struct Disturbance {
    begun: Instant,
    active: AtomicBool,
    ended_ms: AtomicU64,
}

/// What was sent before a fault ended may fail a moment later.
const AFTERMATH: Duration = Duration::from_secs(1);

impl Disturbance {
    fn set(&self, active: bool) {
        if !active && self.active.load(Ordering::SeqCst) {
            self.ended_ms.store(self.at_ms(Instant::now()), Ordering::SeqCst);
        }
        self.active.store(active, Ordering::SeqCst);
    }

    /// Any time between `since` and now.
    pub(crate) fn any_since(&self, since: Instant) -> bool {
        let ended_ms = self.ended_ms.load(Ordering::SeqCst);
        let aftermath_ms = u64::try_from(AFTERMATH.as_millis()).unwrap_or(0);
        self.active.load(Ordering::SeqCst) || (ended_ms > 0 && ended_ms + aftermath_ms >= self.at_ms(since))
    }

    /// Milliseconds since the start.
    pub(crate) fn at_ms(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }
}

pub(crate) struct Upstreams {
    first: Upstream,
    second: Upstream,
    tokens: Arc<TokenServer>,
    disturbance: Arc<Disturbance>,
}

struct Upstream {
    dir: PathBuf,
    proxy: FaultProxy,
    registry: Option<Registry>,
}

impl Upstreams {
    /// Fills the registries, then starts them with a token server that both believe.
    pub(crate) async fn start(dir: &Path) -> (Self, Vec<Pushed>) {
        let (first, second) = (dir.join("first"), dir.join("second"));
        for dir in [&first, &second] {
            std::fs::create_dir(dir).expect("a folder is made");
        }
        let registry = Registry::start(&first, None);
        let mut pushed = push(&registry, Source::Both).await;
        let copied = std::process::Command::new("cp").arg("-r").arg(first.join("storage")).arg(&second).status();
        assert!(copied.expect("cp starts").success(), "the storage is copied");
        pushed.extend(push(&registry, Source::Alone).await);
        drop(registry);
        let tokens = Arc::new(TokenServer::start(dir).await);
        let (first, second) = (Upstream::start(first, &tokens).await, Upstream::start(second, &tokens).await);
        let disturbance =
            Disturbance { begun: Instant::now(), active: AtomicBool::new(false), ended_ms: AtomicU64::new(0) };
        (Self { first, second, tokens, disturbance: Arc::new(disturbance) }, pushed)
    }

    pub(crate) fn disturbance(&self) -> Arc<Disturbance> {
        Arc::clone(&self.disturbance)
    }

    /// Where the gateway finds them.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.first.proxy.address, self.second.proxy.address)
    }

    /// Goes through the schedule; gives how often each fault came, and itself: who is still asked then gets an answer.
    pub(crate) async fn misbehave(mut self, steps: Vec<Step>) -> (BTreeMap<&'static str, u64>, Self) {
        let mut counts = BTreeMap::new();
        for Step { fault, lasts } in steps {
            *counts.entry(fault.name()).or_default() += 1;
            self.disturbance.set(!matches!(fault, Fault::Quiet | Fault::SecondKilled));
            self.first.proxy.set_fault(fault);
            let until = Instant::now() + lasts;
            let killed = if fault == Fault::Killed {
                Some(&mut self.first)
            } else if fault == Fault::SecondKilled {
                Some(&mut self.second)
            } else {
                None
            };
            if let Some(upstream) = killed {
                drop(upstream.registry.take());
                tokio::time::sleep_until(until).await;
                upstream.restart(&self.tokens).await;
            } else {
                tokio::time::sleep_until(until).await;
            }
        }
        self.first.proxy.set_fault(Fault::Quiet);
        self.disturbance.set(false);
        (counts, self)
    }
}

impl Upstream {
    async fn start(dir: PathBuf, tokens: &TokenServer) -> Self {
        let registry = Registry::start(&dir, Some(tokens));
        let proxy = FaultProxy::start(registry.address).await;
        Self { dir, proxy, registry: Some(registry) }
    }

    async fn restart(&mut self, tokens: &Arc<TokenServer>) {
        let (dir, tokens) = (self.dir.clone(), Arc::clone(tokens));
        let started = tokio::task::spawn_blocking(move || Registry::start(&dir, Some(&tokens))).await;
        let registry = started.expect("the registry starts");
        self.proxy.set_behind(registry.address);
        self.registry = Some(registry);
    }
}

async fn push(registry: &Registry, source: Source) -> Vec<Pushed> {
    let mut pushed = Vec::new();
    for repository in 0..REPOSITORIES {
        let image = format!("app{repository}");
        let name = upstream_name(source, &image);
        for tag in 0..TAGS {
            let tag = format!("v{tag}");
            // From 1 kB to some 30 kB, no two alike.
            let layer: Vec<u8> = format!("{source:?} {image} {tag}\n").repeat(50 + 173 * repository).into_bytes();
            let (digest, layer_digest) = registry.push_image(&name, &tag, &layer).await;
            let manifest = get(registry, &name, &tag).await;
            let layer = Some((layer_digest, layer));
            pushed.push(Pushed { source, image: image.clone(), tag, digest, manifest, layer });
        }
    }
    pushed.extend(push_fresh(registry, source).await);
    pushed
}

/// Manifests of the same layer that differ in an annotation.
async fn push_fresh(registry: &Registry, source: Source) -> Vec<Pushed> {
    let name = upstream_name(source, "fresh");
    registry.push_image(&name, "base", b"fresh").await;
    let base = get(registry, &name, "base").await;
    let mut pushed = Vec::new();
    for number in 0..FRESH {
        let tag = format!("fresh{number}");
        let mut manifest: serde_json::Value = serde_json::from_slice(&base).expect("a manifest is JSON");
        manifest["annotations"] = serde_json::json!({"number": number.to_string()});
        let manifest = manifest.to_string();
        let digest = registry.push_manifest(&name, &tag, MANIFEST, &manifest).await;
        let manifest = manifest.into_bytes();
        pushed.push(Pushed { source, image: "fresh".to_owned(), tag, digest, manifest, layer: None });
    }
    pushed
}

async fn get(registry: &Registry, name: &str, tag: &str) -> Vec<u8> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let got = client.get(registry.url(&format!("/v2/{name}/manifests/{tag}"))).header("accept", MANIFEST).send().await;
    got.expect("an answer").bytes().await.expect("a body").into()
}
