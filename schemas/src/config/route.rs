//! `[[route]]`: which requests a rule answers, and from where.

use url::Url;

use super::gateway::sha256;
use super::read::{self, Fault, Section};
use super::upstream::{self, UpstreamRef};

/// One rule. The first that matches answers; `match` patterns are compiled by the gateway, which reports a bad one by `line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// The rule's name: the column `route`.
    pub id: String,
    /// The line of the file on which the rule begins, for messages.
    pub line: usize,
    /// The host that the rule is for, without port; every host when absent.
    pub host: Option<String>,
    /// What it does.
    pub rule: RouteRule,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteRule {
    /// `kind = "oci"`.
    Oci(OciRoute),
    /// `kind = "file"`.
    File(FileRoute),
    /// `kind = "helm"`: a repository with an `index.yaml`.
    Helm(IndexRoute),
    /// `kind = "pypi"`: a Python package index.
    Pypi(IndexRoute),
    /// `kind = "npm"`: an npm registry.
    Npm(IndexRoute),
    /// `kind = "pixel"`: a counting picture.
    Pixel(PixelRoute),
    /// `kind = "telemetry"`: small JSON objects that programs send.
    Telemetry(TelemetryRoute),
    /// `kind = "other"`: a redirect for whatever no other rule knows.
    Other(OtherRoute),
}

/// Container images: manifests are proxied, blobs redirected where the upstream redirects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciRoute {
    /// The public repository name, as `linkerd/proxy` or `acme/{image}`; a variable stands for one path component, one written
    /// `{name...}` at the end for one or more.
    pub pattern: String,
    /// The upstream registry.
    pub upstream: UpstreamRef,
    /// The upstream's repository name, with the pattern's variables. Absent: the public name.
    pub name: Option<String>,
    /// A second registry, asked when the first fails.
    pub fallback: Option<Fallback>,
    /// The column `package`. Absent: the public name.
    pub package: Option<String>,
    /// Who has the token.
    pub token: TokenMode,
    /// What happens to manifests, tag lists and referrers.
    pub manifests: Manifests,
    /// What happens to blobs.
    pub blobs: Blobs,
    /// How long a tag is answered without asking the upstream, in seconds. Absent: `cache.ttl_s`.
    pub ttl_s: Option<u64>,
    /// What a person who pulls is told.
    pub notices: Vec<Notice>,
}

/// The second registry of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// It.
    pub upstream: UpstreamRef,
    /// Its repository name, with the pattern's variables. Absent: the first upstream's name.
    pub name: Option<String>,
}

/// Who has the upstream's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMode {
    /// The gateway; clients need none. For public images.
    Inject,
    /// The client, from the gateway's own token endpoint, which asks the upstream's with the client's credentials.
    OwnRealm,
    /// Nobody: the upstream needs none, and blobs are redirected to it without asking.
    Redirect,
}

/// What happens to manifests, tag lists and referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manifests {
    /// They pass through the gateway.
    Proxy,
    /// The client is sent to the upstream; many clients fail then.
    Redirect,
}

/// What happens to blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blobs {
    /// The upstream's redirect to its storage is handed on; what it sends itself passes through.
    Redirect,
    /// They pass through the gateway, for clients behind a firewall.
    Proxy,
}

/// A text for the person who pulls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The tags that it is for, as `1.*`; every one when empty.
    pub tags: Vec<String>,
    /// What is said.
    pub text: String,
}

/// Files: the client is sent to an outgoing URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRoute {
    /// The incoming path.
    pub pattern: FilePattern,
    /// The outgoing URL: an RFC 6570 template over the same variables.
    pub to: String,
    /// The column `package`, with the pattern's variables. Absent: the variable `package`.
    pub package: Option<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where the file is fetched from when it passes through the gateway, for clients behind a firewall: the scheme and host of `to`.
    /// Absent: the client is sent there.
    pub proxy: Option<UpstreamRef>,
}

/// How a file's path is read. Variables `package` and `version` fill those columns, the others the column `vars`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePattern {
    /// `/releases/{version}/app-{os}-{arch}.tar.gz`
    Path(String),
    /// A regular expression over the whole path, with named groups.
    Regex(String),
}

/// A package index whose documents are proxied, with their links led through the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRoute {
    /// The path under which it is served, as `/charts`; empty for the whole host.
    pub prefix: String,
    /// The index.
    pub upstream: UpstreamRef,
    /// How long a document is answered without asking the upstream, in seconds. Absent: `cache.ttl_s`.
    pub ttl_s: Option<u64>,
}

/// A counting picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelRoute {
    /// The incoming path, as `/p/{id}.gif`.
    pub pattern: String,
    /// The column `package`, with the pattern's variables.
    pub package: Option<String>,
}

/// Small JSON objects that programs send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryRoute {
    /// The incoming path, as `/t/{id}`.
    pub pattern: String,
    /// The column `package`, with the pattern's variables.
    pub package: Option<String>,
    /// The largest body, in bytes.
    pub bytes_max: usize,
    /// SHA-256 of the bearer tokens that are taken, in hexadecimal; none is asked for when empty.
    pub tokens_sha256: Vec<String>,
}

/// A redirect for the rest of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRoute {
    /// The outgoing URL: an RFC 6570 template over the variable `path`, the path asked for without its first slash.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

type ReadRule = fn(&mut Section<'_, '_>) -> Option<RouteRule>;
const KINDS: &[(&str, ReadRule)] = &[
    ("oci", oci),
    ("file", file),
    ("helm", |section| index(section).map(RouteRule::Helm)),
    ("pypi", |section| index(section).map(RouteRule::Pypi)),
    ("npm", |section| index(section).map(RouteRule::Npm)),
    ("pixel", pixel),
    ("telemetry", telemetry),
    ("other", other),
];

pub(super) fn route(mut section: Section<'_, '_>) -> Option<RouteConfig> {
    let start = section.start();
    let id = section.required("id", "a short name; it is the column `route`", read::text);
    let host = section.optional("host", read::host);
    let kinds = "one of: oci, file, helm, pypi, npm, pixel, telemetry, other";
    let rule = section.required("kind", kinds, read::word(KINDS))?(&mut section);
    section.finish();
    Some(RouteConfig { id: id?, line: start, host, rule: rule? })
}

fn oci(section: &mut Section<'_, '_>) -> Option<RouteRule> {
    let pattern = section.required("match", "the repository name that the rule answers", read::text);
    let upstream = section.required(
        "upstream",
        "an id of [[upstream]], or as \"https://registry.example.org\"",
        upstream::reference,
    );
    let name = section.optional("name", read::text);
    let fallback = section.optional("fallback", upstream::reference);
    let fallback_name = section.optional("fallback_name", read::text);
    if fallback.is_none() && fallback_name.is_some() {
        section.complain("`fallback_name` without `fallback`".to_owned(), "name the second upstream with `fallback`");
    }
    let tokens =
        &[("inject", TokenMode::Inject), ("own_realm", TokenMode::OwnRealm), ("redirect", TokenMode::Redirect)];
    let token = section.optional("token", read::word(tokens)).unwrap_or(TokenMode::Inject);
    let words = &[("proxy", Manifests::Proxy), ("redirect", Manifests::Redirect)];
    let manifests = section.optional("manifests", read::word(words)).unwrap_or(Manifests::Proxy);
    let words = &[("redirect", Blobs::Redirect), ("proxy", Blobs::Proxy)];
    let blobs = section.optional("blobs", read::word(words)).unwrap_or(Blobs::Redirect);
    let package = section.optional("package", read::text);
    let ttl_s = section.optional("ttl_s", read::number(0..=86_400));
    let notices = section.each_table("notices", notice);
    if manifests == Manifests::Redirect && token != TokenMode::Redirect {
        section.complain(
            "`manifests = \"redirect\"` needs `token = \"redirect\"`".to_owned(),
            "a client that is sent to an upstream that wants a token fails",
        );
    }
    Some(RouteRule::Oci(OciRoute {
        pattern: pattern?,
        upstream: upstream?,
        name,
        fallback: fallback.map(|upstream| Fallback { upstream, name: fallback_name }),
        package,
        token,
        manifests,
        blobs,
        ttl_s,
        notices,
    }))
}

/// The longest `Warning` that clients take, in bytes, with room for its code.
const NOTICE_BYTES_MAX: usize = 4000;

fn notice(mut section: Section<'_, '_>) -> Option<Notice> {
    let tags = section.optional("tags", read::texts).unwrap_or_default();
    let text = section.required("text", "what the person who pulls is told", |value| {
        let text = read::text(value)?;
        let plain = text.len() <= NOTICE_BYTES_MAX && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"');
        let hint = format!("printable ASCII without quotes, at most {NOTICE_BYTES_MAX} bytes");
        if plain { Ok(text) } else { Err(Fault::new("cannot be sent in a header", hint)) }
    });
    section.finish();
    Some(Notice { tags, text: text? })
}

fn file(section: &mut Section<'_, '_>) -> Option<RouteRule> {
    let path = section.optional("match", read::text).map(FilePattern::Path);
    let regex = section.optional("regex", read::text).map(FilePattern::Regex);
    if path.is_some() == regex.is_some() {
        section.complain(
            "a file rule has either `match` or `regex`".to_owned(),
            "as `match = \"/releases/{version}/app.tar.gz\"`",
        );
    }
    let to = section.required("to", "the URL template to send the client to", read::text);
    let package = section.optional("package", read::text);
    let status = section.optional("status", redirect_status).unwrap_or(302);
    let proxy = section.optional("proxy", read::flag).unwrap_or(false);
    let to = to?;
    // A template whose host is not written out is refused when it is compiled.
    let proxy = proxy.then(|| origin(&to)).flatten().map(UpstreamRef::Url);
    Some(RouteRule::File(FileRoute { pattern: path.or(regex)?, to, package, status, proxy }))
}

/// The scheme and host at the beginning of a URL template.
fn origin(template: &str) -> Option<Url> {
    let (scheme, rest) = template.split_once("://")?;
    let host = rest.split(['/', '?', '#', '{']).next()?;
    Url::parse(&format!("{scheme}://{host}")).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

fn index(section: &mut Section<'_, '_>) -> Option<IndexRoute> {
    let prefix = section.required("prefix", "the path under which it is served, as \"/charts\", or \"/\"", |value| {
        let text = read::text(value)?;
        let good =
            text.starts_with('/') && !text.contains(['{', '?', '#', '%']) && !text.split('/').any(|part| part == "..");
        let hint = "as \"/charts\", or \"/\" for the whole host";
        if good {
            Ok(text.trim_end_matches('/').to_owned())
        } else {
            Err(Fault::new(format!("`{text}` is not a path"), hint))
        }
    });
    let upstream = section.required("upstream", "an id of [[upstream]], or the index's URL", upstream::reference);
    let ttl_s = section.optional("ttl_s", read::number(0..=86_400));
    Some(IndexRoute { prefix: prefix?, upstream: upstream?, ttl_s })
}

fn pixel(section: &mut Section<'_, '_>) -> Option<RouteRule> {
    let pattern = section.required("match", "as \"/p/{id}.gif\"", read::text);
    let package = section.optional("package", read::text);
    Some(RouteRule::Pixel(PixelRoute { pattern: pattern?, package }))
}

fn telemetry(section: &mut Section<'_, '_>) -> Option<RouteRule> {
    let pattern = section.required("match", "as \"/t/{id}\"", read::text);
    let package = section.optional("package", read::text);
    let bytes_max = section.optional("bytes_max", read::count(2..=65_536)).unwrap_or(8192);
    let tokens_sha256 = section.optional("tokens_sha256", read::list(sha256)).unwrap_or_default();
    Some(RouteRule::Telemetry(TelemetryRoute { pattern: pattern?, package, bytes_max, tokens_sha256 }))
}

fn other(section: &mut Section<'_, '_>) -> Option<RouteRule> {
    let to =
        section.required("to", "the URL to send the client to, as \"https://www.example.org/{+path}\"", read::text);
    let status = section.optional("status", redirect_status).unwrap_or(302);
    Some(RouteRule::Other(OtherRoute { to: to?, status }))
}

fn redirect_status(value: toml_span::Value<'_>) -> read::Read<u16> {
    let number = read::number(301..=308)(value)?;
    match number {
        301 | 302 | 303 | 307 | 308 => Ok(u16::try_from(number).unwrap_or(302)),
        _ => Err(Fault::new(format!("{number} is not a redirect"), "302 or 307")),
    }
}
