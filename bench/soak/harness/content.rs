//! What clients ask for, and what they must get.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::account::Source;
use super::random::Random;
use super::upstreams::Pushed;

/// One thing that can be asked for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) kind: &'static str,
    pub(crate) source: Source,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) expected: Expected,
}

/// What comes back when all is well.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A redirect to this place.
    Location(String),
    /// These headers and no body.
    Head { digest: String, length: usize },
    /// This body.
    Body(Vec<u8>),
    /// A list of these tags, in any order.
    Tags(BTreeSet<String>),
}

/// Everything that can be asked for.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) asks: Vec<Ask>,
    /// By weight in the mix: places in `asks`.
    mix: Vec<(usize, Vec<usize>)>,
    fresh: Vec<usize>,
}

/// How many of a hundred requests are of this kind.
const WEIGHTS: [(&str, usize); 6] =
    [(HEAD_TAG, 25), (GET_TAG, 20), (GET_DIGEST, 20), (BLOB, 10), (TAGS, 5), (REDIRECT, 20)];
const HEAD_TAG: &str = "HEAD tag";
const GET_TAG: &str = "GET tag";
const GET_DIGEST: &str = "GET digest";
const BLOB: &str = "GET small blob";
const TAGS: &str = "GET tags/list";
const REDIRECT: &str = "GET file";
const FRESH: &str = "GET tag, once";
/// Files, which differ in nothing but their path.
const FILES: usize = 16;

impl Content {
    pub(crate) fn of(pushed: &[Pushed]) -> Self {
        let mut asks: Vec<Ask> = pushed.iter().flat_map(of_image).collect();
        asks.extend(of_repositories(pushed));
        asks.extend((0..FILES).map(|number| Ask {
            kind: REDIRECT,
            source: Source::Rule,
            method: Method::GET,
            path: format!("/f/app/{number}"),
            expected: Expected::Location(format!("https://files.example.org/app/{number}")),
        }));
        let places =
            |kind| asks.iter().enumerate().filter(|(_, ask)| ask.kind == kind).map(|(place, _)| place).collect();
        let mix = WEIGHTS.iter().map(|(kind, weight)| (*weight, places(*kind))).collect();
        let fresh = places(FRESH);
        Self { asks, mix, fresh }
    }

    /// What is asked for all the time.
    pub(crate) fn lasting(&self) -> Vec<usize> {
        self.mix.iter().flat_map(|(_, places)| places).copied().collect()
    }

    /// What is asked for once.
    pub(crate) fn fresh(&self) -> &[usize] {
        &self.fresh
    }

    /// The next one of the mix.
    pub(crate) fn choose(&self, random: &mut Random) -> usize {
        let mut at = random.below(self.mix.iter().map(|(weight, _)| weight).sum());
        for (weight, places) in &self.mix {
            if at < *weight {
                return places.get(random.below(places.len())).copied().unwrap_or(0);
            }
            at -= weight;
        }
        0
    }
}

fn public_name(source: Source, image: &str) -> String {
    format!("{}/{image}", if source == Source::Alone { "alone" } else { "both" })
}

fn of_image(pushed: &Pushed) -> Vec<Ask> {
    let Pushed { source, image, tag, digest, manifest, layer } = pushed;
    let name = public_name(*source, image);
    let ask = |kind, method, behind: &str, expected| Ask {
        kind,
        source: *source,
        method,
        path: format!("/v2/{name}/{behind}"),
        expected,
    };
    let by_tag = format!("manifests/{tag}");
    let body = || Expected::Body(manifest.clone());
    let Some((layer_digest, layer)) = layer else { return vec![ask(FRESH, Method::GET, &by_tag, body())] };
    let head = Expected::Head { digest: digest.clone(), length: manifest.len() };
    vec![
        ask(HEAD_TAG, Method::HEAD, &by_tag, head),
        ask(GET_TAG, Method::GET, &by_tag, body()),
        ask(GET_DIGEST, Method::GET, &format!("manifests/{digest}"), body()),
        ask(BLOB, Method::GET, &format!("blobs/{layer_digest}"), Expected::Body(layer.clone())),
    ]
}

fn of_repositories(pushed: &[Pushed]) -> impl Iterator<Item = Ask> {
    let mut tags: BTreeMap<(Source, &str), BTreeSet<String>> = BTreeMap::new();
    for pushed in pushed.iter().filter(|pushed| pushed.layer.is_some()) {
        tags.entry((pushed.source, &pushed.image)).or_default().insert(pushed.tag.clone());
    }
    tags.into_iter().map(|((source, image), tags)| Ask {
        kind: TAGS,
        source,
        method: Method::GET,
        path: format!("/v2/{}/tags/list", public_name(source, image)),
        expected: Expected::Tags(tags),
    })
}
