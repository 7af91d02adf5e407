//! `[[geo.source]]`: where an address database is fetched from, and by what it is known to be whole.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::gateway::sha256;
use super::mistake::Flaws;
use super::read::{self, Fault, Read, Section};
use super::secret::SecretSource;

/// `[geo]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoConfig {
    /// `[[geo.source]]`.
    pub sources: Vec<GeoSourceConfig>,
}

/// One database and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoSourceConfig {
    /// Where it is kept; as a rule one of `enrich.geo_databases`.
    pub file: PathBuf,
    /// Where it is fetched from: https, or http where the checksum stands in the configuration.
    pub url: SourceUrl,
    /// What the bytes that `url` gives are compared with.
    pub checksum: GeoChecksum,
    /// What `url`'s own host is told, and no other.
    pub login: Option<GeoLogin>,
    /// Where it stands in the file: a line, from 1.
    pub line: usize,
}

/// The SHA-256 of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeoChecksum {
    /// 64 small hexadecimal digits.
    Sha256(String),
    /// Where it is published.
    Url(SourceUrl),
}

/// HTTP Basic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoLogin {
    /// The user, or the number of an account.
    pub username: String,
    /// The password, or the licence key.
    pub password: SecretSource,
}

/// A URL that does not show its query, for a token may stand there.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl(Url);

impl SourceUrl {
    /// Wraps a URL.
    pub const fn new(url: Url) -> Self {
        Self(url)
    }

    /// The URL with its query, for the one place that asks it.
    pub const fn reveal(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        shown.fmt(f)
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(super) fn geo(mut section: Section<'_, '_>) -> GeoConfig {
    let sources = section.each_table("source", source);
    section.finish();
    GeoConfig { sources }
}

fn source(mut section: Section<'_, '_>) -> Option<GeoSourceConfig> {
    let line = section.start();
    let file = section.required("file", "where it is kept, as \"geo/asn.mmdb\"", file);
    let url = section.required("url", URL_HINT, source_url);
    let checksum = checksum(&mut section, url.as_ref());
    let is_named = (section.has("username"), section.has("password_file"));
    let username = section.optional("username", username);
    // A list has no variables of its own in the environment, so the one place for the password is a file.
    if section.has("password") {
        let message = "a [[geo.source]] has its password in this file".to_owned();
        section.complain(message, "write it into a file of its own and name that with `password_file`");
        section.optional("password", |_| Ok(()));
    }
    let password = section.optional("password_file", read::path).map(SecretSource::File);
    if is_named.0 != is_named.1 {
        let message = "`username` and `password_file` of a [[geo.source]] go together".to_owned();
        section.complain(message, "give both or none");
    }
    if is_named.0 && url.as_ref().is_some_and(is_plain) {
        let message = "a [[geo.source]] would send its password over http".to_owned();
        section.complain(message, "fetch it by https");
    }
    section.finish();
    let login = username.zip(password).map(|(username, password)| GeoLogin { username, password });
    Some(GeoSourceConfig { file: file?, url: url?, checksum: checksum?, login, line })
}

const URL_HINT: &str = "as \"https://downloads.example.org/asn.mmdb.gz\"";

fn checksum(section: &mut Section<'_, '_>, url: Option<&SourceUrl>) -> Option<GeoChecksum> {
    let is_given = (section.has("sha256"), section.has("sha256_url"));
    let value = section.optional("sha256", sha256).map(GeoChecksum::Sha256);
    let published = section.optional("sha256_url", source_url);
    if is_given.0 == is_given.1 {
        let message = "a [[geo.source]] has `sha256` or `sha256_url`, one of them".to_owned();
        section.complain(message, "the digest itself, or the URL where the provider publishes it");
    } else if is_given.1 && (published.as_ref().is_some_and(is_plain) || url.is_some_and(is_plain)) {
        let message = "a [[geo.source]] is fetched over http, and nothing vouches for what comes".to_owned();
        section.complain(message, "use https for `url` and `sha256_url`, or give the digest itself as `sha256`");
    }
    value.or(published.map(GeoChecksum::Url))
}

fn is_plain(url: &SourceUrl) -> bool {
    url.reveal().scheme() == "http"
}

fn file(value: toml_span::Value<'_>) -> Read<PathBuf> {
    let text = read::text(value)?;
    let is_folder = text.ends_with('/') || Path::new(&text).file_name().is_none();
    if is_folder { Err(Fault::new(format!("`{text}` is a folder"), "as \"geo/asn.mmdb\"")) } else { Ok(text.into()) }
}

fn username(value: toml_span::Value<'_>) -> Read<String> {
    let name = read::text(value)?;
    if name.contains(':') { Err(Fault::new("has a colon", "HTTP Basic ends a user name there")) } else { Ok(name) }
}

/// An http or https URL, whose query may hold a token: what is wrong with it is said without repeating it.
fn source_url(value: toml_span::Value<'_>) -> Read<SourceUrl> {
    let text = read::text(value)?;
    let url = Url::parse(&text).map_err(|error| Fault::new(format!("not a URL: {error}"), URL_HINT))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Fault::new("not an http or https URL", URL_HINT));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("holds credentials", "give `username` and `password_file` beside it"));
    }
    if url.fragment().is_some() {
        return Err(Fault::new("has a fragment", "leave out what stands behind `#`"));
    }
    Ok(SourceUrl(url))
}

/// Two sources of one file would replace it in turn.
pub(super) fn flaws_between(config: &GeoConfig, flaws: &mut Flaws) {
    let mut seen = BTreeMap::new();
    for source in &config.sources {
        if let Some(first) = seen.insert(&source.file, source.line) {
            let message = format!("the file {} has two sources, the first on line {first}", source.file.display());
            flaws.at_line(source.line, message, "give each [[geo.source]] a file of its own");
        }
    }
}
