//! `[[route]]`: which requests a rule answers, and from where.

use url::Url;

use super::read::{self, Fault, Section};

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
}

/// Container images: manifests are proxied, blobs redirected where the upstream redirects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciRoute {
    /// The public repository name, as `linkerd/proxy` or `acme/{image}`; a variable stands for one path component, one written
    /// `{name...}` at the end for one or more.
    pub pattern: String,
    /// The upstream registry.
    pub upstream: Url,
    /// The upstream's repository name, with the pattern's variables. Absent: the public name.
    pub name: Option<String>,
    /// The column `package`. Absent: the public name.
    pub package: Option<String>,
}

/// Files: the client is sent to an outgoing URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRoute {
    /// The incoming path, as `/releases/{version}/app-{os}-{arch}.tar.gz`. Variables `package` and `version` fill those
    /// columns, the others the column `vars`.
    pub pattern: String,
    /// The outgoing URL: an RFC 6570 template over the same variables.
    pub to: String,
    /// The column `package`, with the pattern's variables. Absent: the variable `package`.
    pub package: Option<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

pub(super) fn route(mut section: Section<'_, '_>) -> Option<RouteConfig> {
    let start = section.start();
    let id = section.required("id", "a short name; it is the column `route`", read::text);
    let host = section.optional("host", host);
    let kinds = &[("oci", true), ("file", false)];
    let is_oci = section.required("kind", "one of: oci, file", read::word(kinds));
    let pattern = section.required("match", "the name or path that the rule answers", read::text);
    let package = section.optional("package", read::text);
    let rule = match is_oci {
        Some(true) => {
            let upstream = section.required("upstream", "as \"https://registry.example.org\"", read::http_url);
            let name = section.optional("name", read::text);
            pattern
                .zip(upstream)
                .map(|(pattern, upstream)| RouteRule::Oci(OciRoute { pattern, upstream, name, package }))
        }
        Some(false) => {
            let to = section.required("to", "the URL template to send the client to", read::text);
            let status = section.optional("status", redirect_status).unwrap_or(302);
            pattern.zip(to).map(|(pattern, to)| RouteRule::File(FileRoute { pattern, to, package, status }))
        }
        None => None,
    };
    if is_oci.is_some() {
        section.finish();
    }
    Some(RouteConfig { id: id?, line: start, host, rule: rule? })
}

fn host(value: toml_span::Value<'_>) -> read::Read<String> {
    let host = read::text(value)?.to_ascii_lowercase();
    if host.contains(['/', ':']) {
        return Err(Fault::new(format!("`{host}` is not a host name"), "without scheme, port and path"));
    }
    Ok(host)
}

fn redirect_status(value: toml_span::Value<'_>) -> read::Read<u16> {
    let number = read::number(301..=308)(value)?;
    match number {
        301 | 302 | 303 | 307 | 308 => Ok(u16::try_from(number).unwrap_or(302)),
        _ => Err(Fault::new(format!("{number} is not a redirect"), "302 or 307")),
    }
}
