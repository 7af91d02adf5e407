//! The conformance suite of the OCI distribution specification, run through the gateway.
//!
//! Its pull workflow runs as for a registry that takes no pushes: it is told what is there and asks for all of it. In a second
//! run what it pushes goes to the registry behind, and what it reads comes through the gateway: so it compares every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::authority::Authority;
use crate::page;
use crate::program::{self, Need};
use crate::registry::{Registry, TokenServer};
use crate::splitter::Splitter;
use crate::stage::{Relay, redirecting, start_gateway};
use crate::storage::Storage;

/// What the suite said of each of its tests; one name may stand for several.
struct Verdicts(BTreeMap<String, Vec<String>>);

impl Verdicts {
    /// The names of the tests that all ended so.
    fn all(&self, verdict: &str) -> BTreeSet<&str> {
        let matching = self.0.iter().filter(|(_, said)| said.iter().all(|one| one == verdict));
        matching.map(|(name, _)| name.as_str()).collect()
    }

    /// For the page.
    fn text(&self) -> String {
        let mut text = format!(
            "{} passed, {} failed",
            self.count("Pass"),
            FAILURES.map(|word| self.count(word)).iter().sum::<usize>()
        );
        for verdict in ["FAIL", "Error", "Skip", "Disabled"] {
            // By what was tested, not with what.
            let tests = self.0.iter().filter(|(_, said)| said.iter().any(|one| one == verdict));
            let kinds: BTreeSet<&str> = tests.map(|(name, _)| name.rsplit('/').next().unwrap_or(name)).collect();
            if !kinds.is_empty() {
                let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
                write!(text, "; {} {verdict}: {kinds}", self.count(verdict)).expect("text grows");
            }
        }
        text + ".\n"
    }

    fn count(&self, verdict: &str) -> usize {
        self.0.values().flatten().filter(|said| *said == verdict).count()
    }
}

/// How the suite calls a test that did not end well.
const FAILURES: [&str; 2] = ["FAIL", "Error"];

struct Suite {
    program: PathBuf,
    /// The reference registry, version 3: Debian's fails some of the tests by itself.
    registry: PathBuf,
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Suite {
    fn find() -> Option<Self> {
        let registry = program::find("registry", Need::WithAllClients)?;
        let program = program::find("conformance", Need::WithAllClients)?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::make(dir.path());
        Some(Self { program, registry, dir, authority })
    }

    /// Runs it against a registry at `host`, with its repositories under `prefix`.
    async fn run(&self, host: &str, prefix: &str, settings: &[(&str, &str)]) -> Verdicts {
        let results = self.dir.path().join(format!("results-{prefix}"));
        std::fs::create_dir_all(&results).expect("a folder");
        let mut command = program::command(&self.program, &results, &self.authority);
        command.env("OCI_REGISTRY", host).env("OCI_RESULTS_DIR", &results);
        command.env("OCI_REPO1", format!("{prefix}/one")).env("OCI_REPO2", format!("{prefix}/two"));
        // Nothing is deleted through a gateway; the registry behind has no referrers and takes no SHA-512.
        for disabled in ["BLOBS_DELETE", "MANIFESTS_DELETE", "TAGS_DELETE", "REFERRER"] {
            command.env(format!("OCI_API_{disabled}"), "false");
        }
        command.env("OCI_DATA_SHA512", "false").envs(settings.iter().copied());
        let output = command.output().await.expect("the suite starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line =
            Regex::new("(?m)^ *OCI Conformance Test/(.+): (Pass|FAIL|Skip|Disabled|Error)$").expect("a good pattern");
        let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for found in line.captures_iter(&said) {
            verdicts.entry(found[1].to_owned()).or_default().push(found[2].to_owned());
        }
        // What a group says follows from its tests.
        let names: Vec<String> = verdicts.keys().cloned().collect();
        verdicts.retain(|group, _| {
            !names.iter().any(|name| name.strip_prefix(group).is_some_and(|rest| rest.starts_with('/')))
        });
        assert!(!verdicts.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Verdicts(verdicts)
    }

    /// A second registry over the same folder: it wants tokens, and sends everybody to the storage for blobs.
    async fn guarded(&self) -> (Storage, TokenServer, Registry) {
        let dir = self.dir.path();
        let storage = Storage::start(dir.join("storage"), &self.authority).await;
        let tokens = TokenServer::start(dir).await;
        let registry = Registry::start_program(&self.registry, dir, Some(&tokens), &redirecting(&storage));
        (storage, tokens, registry)
    }

    /// The registry that takes pushes, those of layers that are kept elsewhere too.
    fn open(&self) -> Registry {
        let sections = "validation: {manifests: {urls: {allow: ['.*']}}}\n";
        Registry::start_program(&self.registry, self.dir.path(), None, sections)
    }

    /// The digests that the registry keeps under a folder of a repository.
    fn kept(&self, repository: &str, folder: &str) -> String {
        let repositories = self.dir.path().join("storage/docker/registry/v2/repositories");
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).expect("the registry made its folder");
            let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("a folder is read").file_name();
            entries.map(|entry| name(entry).into_string().expect("a digest is text")).collect()
        };
        let digests = names(&repositories.join(repository).join(folder).join("sha256"));
        digests.into_iter().map(|hex| format!("sha256:{hex}")).collect::<Vec<_>>().join(" ")
    }
}

const PUSH: [(&str, &str); 1] = [("OCI_TLS", "disabled")];

#[tokio::test]
async fn the_pull_workflow_passes() {
    let Some(suite) = Suite::find() else { return };
    let open = suite.open();
    suite.run(&open.address.to_string(), "up", &PUSH).await;
    let listed = reqwest::get(open.url("/v2/up/one/tags/list")).await.expect("an answer");
    let listed: serde_json::Value = serde_json::from_str(&listed.text().await.expect("a body")).expect("JSON");
    let tags: Vec<&str> = listed["tags"].as_array().expect("tags").iter().filter_map(|tag| tag.as_str()).collect();
    let (manifests, blobs) = (suite.kept("up/one", "_manifests/revisions"), suite.kept("up/one", "_layers"));
    drop(open);

    let (_storage, _tokens, registry) = suite.guarded().await;
    let route = format!(
        "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"acme/{{image...}}\"\nupstream = \"{}\"\nname = \"up/{{image}}\"\n",
        registry.url("")
    );
    let gateway = start_gateway(suite.dir.path(), &suite.authority, &route).await;
    let relay = Relay::start(gateway.tls_address()).await;
    let there = [
        ("OCI_API_PUSH", "false"),
        ("OCI_RO_DATA_TAGS", &*tags.join(" ")),
        ("OCI_RO_DATA_MANIFESTS", &manifests),
        ("OCI_RO_DATA_BLOBS", &blobs),
    ];
    let verdicts = suite.run(&relay.host(), "acme", &there).await;
    gateway.stop().await;
    let failed: Vec<_> =
        verdicts.0.iter().filter(|(_, said)| said.iter().any(|one| FAILURES.contains(&&**one))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let (tags, manifests, blobs) = (tags.len(), manifests.split(' ').count(), blobs.split(' ').count());
    assert!(
        tags > 10 && manifests > 30 && blobs > 30,
        "the suite pushed {tags} tags, {manifests} manifests, {blobs} blobs"
    );
    let there = format!("\nTold of {tags} tags, {manifests} manifests and {blobs} blobs.");
    page::check_text("Conformance: pull", &format!("{there} {}", verdicts.text()));
}

#[tokio::test]
async fn what_the_suite_pushed_it_reads_through_the_gateway_as_from_the_registry() {
    let Some(suite) = Suite::find() else { return };
    let open = suite.open();
    let direct = suite.run(&open.address.to_string(), "direct", &PUSH).await;
    let (_storage, _tokens, registry) = suite.guarded().await;
    // A tag that the suite moves is asked for at once: nothing may be answered from a cache without asking.
    let route = format!(
        "[[route]]\nid = \"images\"\nkind = \"oci\"\nmatch = \"up/{{image...}}\"\nupstream = \"{}\"\nttl_s = 0\n",
        registry.url("")
    );
    let gateway = start_gateway(suite.dir.path(), &suite.authority, &route).await;
    let splitter = Splitter::start(gateway.address, open.address).await;
    let through = suite.run(&splitter.address.to_string(), "up", &PUSH).await;
    gateway.stop().await;
    let (passed_direct, passed_through) = (direct.all("Pass"), through.all("Pass"));
    let lost: Vec<_> = passed_direct.difference(&passed_through).collect();
    assert!(lost.is_empty(), "passed with the registry alone, not through the gateway: {lost:#?}");
    assert!(passed_direct.len() > 150, "the suite ran {} tests", passed_direct.len());
    page::check_text("Conformance: push behind, pull through", &format!("\n{}", through.text()));
}
