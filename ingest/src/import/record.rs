//! From what a line says to its record, with an identity that the next import of the same file gives it again.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};
use uuid::Uuid;
use whopulls_schemas::raw::{ClientIpSource, Kind, RawAccess, bounded};
use whopulls_schemas::{Rejected, UnixMicros};

use super::entry::Entry;
use super::part::wrong;
use crate::gateway::{OciPath, Pattern, host_of, is_digest, value_of, without_query};

/// The record of line `number` (from 1) of the file that `node` names.
pub(super) fn record(entry: &Entry<'_>, number: u64, node: &str, patterns: &[Pattern]) -> Result<RawAccess, Rejected> {
    if !entry.time.is_plausible() {
        return Err(wrong("time", "before 1970 or after 9999"));
    }
    let id = match &entry.identity {
        Some(identity) => id(entry.time, identity, 0),
        None => id(entry.time, node, number),
    };
    let (path, query) = entry.request.path_and_query();
    let method = entry.request.method.as_ref();
    let mut record = RawAccess::new(id, entry.time, entry.kind.unwrap_or(Kind::Other), method, path, entry.status);
    node.clone_into(&mut record.node);
    record.seq = number;
    // A HEAD moves no body, whatever length its answer named.
    record.bytes = if method == "HEAD" { 0 } else { entry.bytes };
    record.duration_us = entry.duration_us;
    record.client_ip = entry.address;
    record.client_ip_source = ClientIpSource::Import;
    let host = entry.host.as_deref().or_else(|| entry.request.host());
    record.host = host.and_then(host_of).map(|host| bounded(&host.to_ascii_lowercase()));
    record.http_version = entry.request.version;
    record.tls = entry.tls;
    record.user_agent = entry.user_agent.as_deref().map(bounded);
    record.referer = entry.referer.as_deref().map(|referer| bounded(without_query(referer)));
    record.accept = entry.accept.as_deref().map(bounded);
    (record.dnt, record.gpc) = (entry.dnt, entry.gpc);
    record.range_start = entry.range_start;
    record.media_type = entry.media_type.as_deref().map(bounded);
    record.package = entry.package.as_deref().map(bounded);
    record.version = entry.version.as_deref().map(bounded);
    record.vars.clone_from(&entry.vars);
    if !name_image(&mut record, path, query) && record.package.is_none() {
        name_package(&mut record, path, patterns);
    }
    Ok(record)
}

/// What a path of the registry API asks for, in the fields in which the gateway records it. `false` for other paths.
fn name_image(record: &mut RawAccess, path: &str, query: Option<&str>) -> bool {
    // Artifactory has a registry API for each of its repositories, whose key is the first part of the name that clients use.
    let (key, path) = match path.strip_prefix("/artifactory").unwrap_or(path).strip_prefix("/api/docker/") {
        Some(below) => match below.find("/v2") {
            Some(at) => (below.get(..at), below.get(at..).unwrap_or_default()),
            None => return false,
        },
        None => (None, path),
    };
    let (name, reference) = match OciPath::parse(path) {
        Some(OciPath::Base | OciPath::Catalog) => (None, None),
        Some(
            oci @ (OciPath::Manifest { .. } | OciPath::Blob { .. } | OciPath::Tags { .. } | OciPath::Referrers { .. }),
        ) => (oci.name(), oci.reference()),
        Some(OciPath::Token | OciPath::Unknown) | None => return false,
    };
    let public = |name: &str| key.map_or_else(|| bounded(name), |key| bounded(&format!("{key}/{name}")));
    record.kind = Kind::Oci;
    record.repository = name.map(public);
    record.package.clone_from(&record.repository);
    record.reference = reference.map(bounded);
    record.digest = reference.filter(|reference| is_digest(reference)).map(bounded);
    let parameters = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    record.ns = parameters.into_iter().find(|(key, _)| key == "ns").map(|(_, value)| bounded(&value));
    true
}

fn name_package(record: &mut RawAccess, path: &str, patterns: &[Pattern]) {
    let Some(variables) = patterns.iter().find_map(|pattern| pattern.matches(path)) else {
        return;
    };
    record.kind = Kind::File;
    record.package = value_of(&variables, "package").map(bounded);
    record.version = value_of(&variables, "version").map(bounded);
    let others = variables.iter().filter(|(name, _)| !matches!(*name, "package" | "version"));
    record.vars.extend(others.map(|(name, value)| (bounded(name), bounded(value))));
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

#[cfg(test)]
mod tests {
    use super::super::{ImportRules, Imported, Importer, LogFormat};
    use super::*;

    const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn of(target: &str, number: u64) -> RawAccess {
        let line = format!(
            r#"2001:db8::1 - - [17/May/2015:08:05:32 +0000] "GET {target} HTTP/1.1" 200 9 "http://a/b?key=s3cret" "curl/8""#
        );
        let paths = ["/downloads/{package}".to_owned(), "/{os}/{package}-{version}.tgz".to_owned()];
        let rules = ImportRules::new(LogFormat::Nginx, &paths).expect("the patterns are good");
        match Importer::new(rules, "import-1").line(number, line.as_bytes()) {
            Imported::Record(record) => *record,
            other @ (Imported::Rejected(_) | Imported::PassedOver) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_path_pattern_says_what_the_package_is() {
        let first = of("/downloads/product_1?token=s3cret", 1);
        assert_eq!((first.kind, first.package.as_deref()), (Kind::File, Some("product_1")));
        let second = of("/linux/tool-1.2.tgz", 1);
        assert_eq!((second.package.as_deref(), second.version.as_deref()), (Some("tool"), Some("1.2")));
        assert_eq!(second.vars.get("os").map(String::as_str), Some("linux"));
        let other = of("http://Example.org:80/index.html", 1);
        assert_eq!((other.kind, other.package, other.path.as_str()), (Kind::Other, None, "/index.html"));
        assert_eq!(other.host.as_deref(), Some("example.org"));
        assert!(!String::from_utf8_lossy(&first.encode()).contains("s3cret"));
    }

    #[test]
    fn a_path_of_a_registry_is_an_image_and_not_a_file() {
        let [repository, package] = [Some("a/b"), Some("a/b")];
        for (path, reference, digest) in [
            ("/v2/a/b/manifests/1.0?ns=docker.io".to_owned(), Some("1.0"), None),
            (format!("/v2/a/b/manifests/{DIGEST}"), Some(DIGEST), Some(DIGEST)),
            (format!("/v2/a/b/blobs/{DIGEST}"), Some(DIGEST), Some(DIGEST)),
            (format!("/artifactory/api/docker/a/v2/b/blobs/{DIGEST}"), Some(DIGEST), Some(DIGEST)),
            ("/v2/a/b/tags/list".to_owned(), None, None),
        ] {
            let record = of(&path, 1);
            let named = (record.kind, record.repository.as_deref(), record.package.as_deref());
            assert_eq!(named, (Kind::Oci, repository, package), "{path}");
            assert_eq!((record.reference.as_deref(), record.digest.as_deref()), (reference, digest), "{path}");
            assert_eq!(record.ns.as_deref(), path.contains("ns=").then_some("docker.io"));
        }
        assert_eq!((of("/v2/", 1).kind, of("/v2/", 1).repository), (Kind::Oci, None));
        assert_eq!(of("/v2/a/b/other", 1).kind, Kind::Other);
        assert_eq!(of("/downloads/v2", 1).kind, Kind::File);
    }

    #[test]
    fn the_same_line_has_the_same_identity_and_another_has_another() {
        assert_eq!(of("/downloads/a", 7), of("/downloads/a", 7));
        assert_ne!(of("/downloads/a", 7).id, of("/downloads/a", 8).id);
        assert_eq!(of("/downloads/a", 7).id.get_version_num(), 7);
        assert_eq!(of("/downloads/a", 7).seq, 7);
    }
}
