//! `[[upstream]]`: where answers come from. A rule may also name one by its URL alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::mistake::Flaws;
use super::read::{self, Section};
use super::route::{RouteConfig, RouteRule};
use super::secret::SecretSource;

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Its name in rules, records and metrics; of one that a rule names by URL, its host.
    pub id: String,
    /// Its base URL.
    pub url: Url,
    /// The user for its token service, or for HTTP Basic where it asks for that.
    pub username: Option<String>,
    /// The password, in a file.
    pub password: Option<SecretSource>,
    /// A certificate (PEM) to trust, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long it may take to answer, in seconds. Absent: `gateway.upstream_timeout_s`.
    pub timeout_s: Option<u64>,
    /// The most requests to it at once; further ones wait.
    pub requests_max: usize,
    /// How often a request that failed is tried again.
    pub retries_max: usize,
}

impl UpstreamConfig {
    fn of_url(url: Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let id = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self {
            id,
            url,
            username: None,
            password: None,
            ca_file: None,
            timeout_s: None,
            requests_max: REQUESTS_MAX,
            retries_max: RETRIES_MAX,
        }
    }
}

const REQUESTS_MAX: usize = 256;
const RETRIES_MAX: usize = 2;

/// How a rule names an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamRef {
    /// By its id.
    Id(String),
    /// By its URL; [`Config::upstreams`](super::Config::upstreams) has an entry for it.
    Url(Url),
}

pub(super) fn upstream(mut section: Section<'_, '_>) -> Option<UpstreamConfig> {
    let id = section.required("id", "a short name; it is the column `upstream`", read::text);
    let url = section.required("url", "as \"https://registry.example.org\"", read::http_url);
    let username = section.optional("username", read::text);
    let password = section.optional("password_file", read::path).map(SecretSource::File);
    let ca_file = section.optional("ca_file", read::path);
    let timeout_s = section.optional("timeout_s", read::number(1..=600));
    let requests_max = section.optional("requests_max", read::count(1..=100_000)).unwrap_or(REQUESTS_MAX);
    let retries_max = section.optional("retries_max", read::count(0..=10)).unwrap_or(RETRIES_MAX);
    if username.is_some() != password.is_some() {
        section.complain("`username` and `password_file` go together".to_owned(), "give both or none");
    }
    section.finish();
    Some(UpstreamConfig { id: id?, url: url?, username, password, ca_file, timeout_s, requests_max, retries_max })
}

/// An id of `[[upstream]]` or a URL.
pub(super) fn reference(value: toml_span::Value<'_>) -> read::Read<UpstreamRef> {
    let span = value.span;
    let text = read::text(value)?;
    if !text.contains("://") {
        return Ok(UpstreamRef::Id(text));
    }
    read::http_url(toml_span::Value::with_span(toml_span::value::ValueInner::String(text.into()), span))
        .map(UpstreamRef::Url)
}

/// Gives each URL that a rule names an upstream of its own, and says which ids are not known or stand twice.
pub(super) fn resolve(upstreams: &mut Vec<UpstreamConfig>, routes: &mut [RouteConfig], flaws: &mut Flaws) {
    let mut ids = BTreeMap::new();
    for upstream in &*upstreams {
        if ids.insert(upstream.id.clone(), upstream.url.clone()).is_some() {
            flaws.at_line(
                1,
                format!("the upstream id `{}` is used twice", upstream.id),
                "give each [[upstream]] an id of its own",
            );
        }
    }
    for route in routes {
        let line = route.line;
        for reference in references(&mut route.rule) {
            match reference {
                UpstreamRef::Id(id) if ids.contains_key(id.as_str()) => {}
                UpstreamRef::Id(id) => {
                    flaws.at_line(
                        line,
                        format!("no [[upstream]] has the id `{id}`"),
                        "define it, or name the upstream by its URL",
                    );
                }
                UpstreamRef::Url(url) if upstreams.iter().any(|known| known.url == *url) => {
                    let known = upstreams.iter().find(|known| known.url == *url).map(|known| known.id.clone());
                    *reference = UpstreamRef::Id(known.unwrap_or_default());
                }
                UpstreamRef::Url(url) => {
                    let mut made = UpstreamConfig::of_url(url.clone());
                    // Two URLs of one host, with different paths or schemes, are two upstreams.
                    if ids.get(&made.id).is_some_and(|known| *known != made.url) {
                        made.url.as_str().trim_end_matches('/').clone_into(&mut made.id);
                    }
                    if !ids.contains_key(&made.id) {
                        ids.insert(made.id.clone(), made.url.clone());
                        upstreams.push(made.clone());
                    }
                    *reference = UpstreamRef::Id(made.id);
                }
            }
        }
    }
}

fn references(rule: &mut RouteRule) -> Vec<&mut UpstreamRef> {
    match rule {
        RouteRule::Oci(oci) => {
            let mut all = vec![&mut oci.upstream];
            all.extend(oci.fallback.as_mut().map(|fallback| &mut fallback.upstream));
            all
        }
        RouteRule::Helm(index) | RouteRule::Pypi(index) | RouteRule::Npm(index) => vec![&mut index.upstream],
        RouteRule::File(file) => file.proxy.as_mut().into_iter().collect(),
        RouteRule::Pixel(_) | RouteRule::Telemetry(_) | RouteRule::Other(_) => Vec::new(),
    }
}
