//! What real clients asked of the gateway, as `make test-clients` recorded it in `docs/clients.md`, counted: each session is the pulls that were made in it.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;
use whopulls_enrich::event::{Action, Enriched, action};
use whopulls_enrich::fold::{Fold, Request};
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Child, Kind, RawAccess};

/// A client's pull, with its requests.
struct Session {
    name: String,
    records: Vec<RawAccess>,
}

/// The page's sections, their pulls, and the lines of each.
fn sessions() -> Vec<Session> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (mut section, mut pull, mut inside) = ("", "", false);
    let mut sessions: Vec<Session> = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading;
        } else if line == "```" {
            inside = !inside;
            if inside {
                sessions.push(Session { name: format!("{section}, {pull}"), records: Vec::new() });
            }
        } else if inside {
            let session = sessions.last_mut().expect("a session was begun");
            session.records.push(record(line, session.records.len()));
        } else if let Some(name) = line.strip_suffix(':') {
            pull = name;
        }
    }
    sessions
}

fn digest(name: &str) -> String {
    format!("sha256:{}", data_digest(name))
}

fn data_digest(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// `GET   manifest   tag     index           200  proxied`, or with a kind and a path in place of the middle.
fn record(line: &str, number: usize) -> RawAccess {
    let field = |from: usize, to: usize| line.get(from..to).unwrap_or_default().trim().to_owned();
    let id = Uuid::from_u128(number as u128 + 1);
    let ts = UnixMicros(i64::try_from(number).expect("few") * 1_000_000);
    let (method, what) = (field(0, 4), field(6, 15));
    let kind = ["helm", "pypi", "npm", "file"].into_iter().find(|kind| field(6, 12).starts_with(kind));
    let words: Vec<&str> = line.split_whitespace().collect();
    let status = words[words.len() - 2].parse().expect("a status");
    if let Some(kind) = kind {
        let kind = Kind::from_word(kind).expect("a kind");
        let mut raw = RawAccess::new(id, ts, kind, &method, words[2], status);
        raw.package = Some("demo".to_owned());
        return raw;
    }
    let (by, which) = (field(17, 23), field(25, 39));
    let reference = match by.as_str() {
        "tag" if which == "signature" => "sha256-11aa.sig".to_owned(),
        "tag" if which.starts_with("of ") => "sha256-11aa".to_owned(),
        "tag" => "1.0".to_owned(),
        _ => digest(&which),
    };
    let path = match what.as_str() {
        "base" => "/v2/".to_owned(),
        "referrers" => format!("/v2/acme/app/referrers/{reference}"),
        what => format!("/v2/acme/app/{what}s/{reference}"),
    };
    let mut raw = RawAccess::new(id, ts, Kind::Oci, &method, &path, status);
    if what == "manifest" || what == "blob" {
        raw.repository = Some("acme/app".to_owned());
        raw.reference = Some(reference);
        raw.digest = (what == "manifest" && status == 200).then(|| digest(&which));
    }
    if which == "index" {
        let child = |platform: &str| Child {
            digest: digest(&format!("image {platform}")),
            platform: Some(format!("linux/{platform}")),
        };
        raw.children = vec![child("amd64"), child("arm64")];
    }
    raw
}

#[test]
fn each_session_of_a_real_client_is_the_pulls_that_were_made_in_it() {
    let client = Enriched { endpoint_id: Some(1), client: Some("a client".to_owned()), ..Enriched::default() };
    let sessions = sessions();
    assert!(sessions.len() > 50, "the page has {} sessions", sessions.len());
    for Session { name, records } in sessions {
        let mut fold = Fold::default();
        let counted: Vec<_> =
            records.iter().map(|raw| (raw, fold.count(&Request::of(raw, &client, action(raw))))).collect();
        let mut actions: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, counted) in &counted {
            *actions.entry(counted.action.as_str()).or_default() += 1;
        }
        let count = |action: Action| actions.get(action.as_str()).copied().unwrap_or_default();
        // Whoever verifies a signature by digest fetches the signature alone.
        let pulls = usize::from(name != "cosign, verify, by digest");
        assert_eq!(count(Action::Pull) + count(Action::Download), pulls, "{name}: {actions:?}");
        let by_tag_of_head = counted.iter().find(|(raw, _)| raw.method == "HEAD" && raw.path.ends_with("/1.0"));
        let pull = counted.iter().find(|(_, counted)| counted.action == Action::Pull);
        if let (Some(_), Some((_, pull))) = (by_tag_of_head, pull) {
            assert_eq!(pull.tag.as_deref(), Some("1.0"), "{name}");
        }
        if name.contains("of two platforms") {
            let platforms: Vec<_> = counted.iter().filter_map(|(_, counted)| counted.platform.as_deref()).collect();
            assert_eq!(platforms, ["linux/amd64"], "{name}");
        }
        let downloaded = counted.iter().any(|(_, counted)| counted.downloaded == Some(true));
        assert_eq!(downloaded, !name.starts_with("cosign, verify"), "{name}: layers or a file came");
    }
}
