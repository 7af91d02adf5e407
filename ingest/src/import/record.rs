//! From a line to its record, with an identity that the next import of the same file gives it again.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};
use uuid::Uuid;
use whopulls_schemas::raw::{ClientIpSource, HttpVersion, Kind, RawAccess, bounded};
use whopulls_schemas::{Rejected, UnixMicros};

use super::ImportRules;
use super::line::{self, Line};
use crate::gateway::{Pattern, value_of};

/// The record of line `number` (from 1) of the file that `node` names.
pub(super) fn record(line: &[u8], number: u64, node: &str, rules: &ImportRules) -> Result<RawAccess, Rejected> {
    let line = line::parse(line, rules.format)?;
    let (path, _query) = path_and_query(&line.target);
    let mut record =
        RawAccess::new(id(line.time, node, number), line.time, Kind::Other, &line.method, path, line.status);
    node.clone_into(&mut record.node);
    record.seq = number;
    record.bytes = line.bytes;
    record.client_ip = line.host.parse().ok();
    record.client_ip_source = ClientIpSource::Import;
    record.http_version = http_version(&line);
    record.user_agent = line.user_agent.as_deref().map(bounded);
    record.referer = line.referer.as_deref().map(|r| bounded(r.split(['?', '#']).next().unwrap_or_default()));
    name_package(&mut record, path, &rules.patterns);
    Ok(record)
}

fn name_package(record: &mut RawAccess, path: &str, patterns: &[Pattern]) {
    let Some(variables) = patterns.iter().find_map(|pattern| pattern.matches(path)) else {
        return;
    };
    record.kind = Kind::File;
    record.package = value_of(&variables, "package").map(bounded);
    record.version = value_of(&variables, "version").map(bounded);
    let others = variables.iter().filter(|(name, _)| !matches!(*name, "package" | "version"));
    record.vars = others.map(|(name, value)| (bounded(name), bounded(value))).collect();
}

/// The time of a `UUIDv7` is the line's, its rest a hash of file and line.
fn id(time: UnixMicros, node: &str, number: u64) -> Uuid {
    let mut hasher = SipHasher13::new();
    hasher.write(node.as_bytes());
    hasher.write_u64(number);
    let hash = hasher.finish128().as_bytes();
    let mut rest = [0; 10];
    rest.copy_from_slice(&hash[..10]);
    let millis = u64::try_from(time.0 / 1000).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}

/// A proxy's target is a whole URL; the record has the path.
fn path_and_query(target: &str) -> (&str, Option<&str>) {
    let local = match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    local.split_once('?').map_or((local, None), |(path, query)| (path, Some(query)))
}

fn http_version(line: &Line<'_>) -> Option<HttpVersion> {
    match line.version.as_deref()? {
        "HTTP/1.0" => Some(HttpVersion::Http10),
        "HTTP/1.1" => Some(HttpVersion::Http11),
        "HTTP/2" | "HTTP/2.0" => Some(HttpVersion::Http2),
        "HTTP/3" | "HTTP/3.0" => Some(HttpVersion::Http3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::*;

    fn of(target: &str, number: u64) -> RawAccess {
        let line = format!(
            r#"2001:db8::1 - - [17/May/2015:08:05:32 +0000] "GET {target} HTTP/1.1" 200 9 "http://a/b?key=s3cret" "curl/8""#
        );
        let paths = ["/downloads/{package}".to_owned(), "/{os}/{package}-{version}.tgz".to_owned()];
        let rules = ImportRules::new(LogFormat::Nginx, &paths).expect("the patterns are good");
        record(line.as_bytes(), number, "import-1", &rules).expect("the line is good")
    }

    #[test]
    fn a_path_pattern_says_what_the_package_is() {
        let first = of("/downloads/product_1?token=s3cret", 1);
        assert_eq!((first.kind, first.package.as_deref()), (Kind::File, Some("product_1")));
        let second = of("/linux/tool-1.2.tgz", 1);
        assert_eq!((second.package.as_deref(), second.version.as_deref()), (Some("tool"), Some("1.2")));
        assert_eq!(second.vars.get("os").map(String::as_str), Some("linux"));
        let other = of("http://example.org/index.html", 1);
        assert_eq!((other.kind, other.package, other.path.as_str()), (Kind::Other, None, "/index.html"));
        assert!(!String::from_utf8_lossy(&first.encode()).contains("s3cret"));
    }

    #[test]
    fn the_same_line_has_the_same_identity_and_another_has_another() {
        assert_eq!(of("/downloads/a", 7), of("/downloads/a", 7));
        assert_ne!(of("/downloads/a", 7).id, of("/downloads/a", 8).id);
        assert_eq!(of("/downloads/a", 7).id.get_version_num(), 7);
        assert_eq!(of("/downloads/a", 7).seq, 7);
    }
}
