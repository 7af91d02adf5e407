//! The counting rule as far as one record says. Which digest is a child, and what is a retry, takes memory of earlier
//! records and is not decided here.

use whopulls_schemas::raw::{Kind, RawAccess};

/// What a request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A manifest was fetched.
    Pull,
    /// A file was fetched, or the client was sent to it.
    Download,
    /// A later part of a file.
    DownloadPart,
    /// The client only asked whether there is something new.
    VersionCheck,
    /// A config or layer was fetched.
    Blob,
    /// A later part of a layer.
    BlobPart,
    /// Lists, indexes, signatures, and what belongs to no package.
    Metadata,
    /// A counting picture was seen.
    View,
    /// A telemetry event.
    Event,
    /// It was not answered with success.
    Error,
}

impl Action {
    /// The word in the column `action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Download => "download",
            Self::DownloadPart => "download_part",
            Self::VersionCheck => "version_check",
            Self::Blob => "blob",
            Self::BlobPart => "blob_part",
            Self::Metadata => "metadata",
            Self::View => "view",
            Self::Event => "event",
            Self::Error => "error",
        }
    }
}

/// What this request was.
pub fn action(raw: &RawAccess) -> Action {
    if raw.status == 304 {
        return Action::VersionCheck;
    }
    if !(200..400).contains(&raw.status) {
        return Action::Error;
    }
    match raw.kind {
        Kind::Oci => oci(raw),
        Kind::Pixel if raw.method == "GET" => Action::View,
        Kind::Pixel => Action::Metadata,
        Kind::Telemetry => Action::Event,
        Kind::Helm if raw.path.ends_with("/index.yaml") || has_ending(&raw.path, "prov") => Action::Metadata,
        Kind::Pypi if is_pypi_metadata(&raw.path) => Action::Metadata,
        Kind::Npm if !raw.path.contains("/-/") || !has_ending(&raw.path, "tgz") => Action::Metadata,
        Kind::File | Kind::Other | Kind::Helm | Kind::Pypi | Kind::Npm => file(raw),
    }
}

fn oci(raw: &RawAccess) -> Action {
    let mut from_the_end = raw.path.rsplit('/');
    let (last, before) = (from_the_end.next().unwrap_or_default(), from_the_end.next().unwrap_or_default());
    match (before, raw.method.as_str()) {
        ("manifests", _) if is_attachment(last) => Action::Metadata,
        ("manifests", "HEAD") => Action::VersionCheck,
        // Also one that is sent elsewhere, by a rule that asks for that: nobody else sees it.
        ("manifests", "GET") => Action::Pull,
        ("blobs", "GET") if is_later_part(raw) => Action::BlobPart,
        ("blobs", "GET") => Action::Blob,
        _ => Action::Metadata,
    }
}

/// Tags that stand for referrers (`sha256-<hex>`), and cosign's beside them: `sha256-<hex>.sig`, `.att`, `.sbom`.
fn is_attachment(reference: &str) -> bool {
    let Some(rest) = reference.strip_prefix("sha256-") else { return false };
    let (digest, suffix) = rest.split_once('.').map_or((rest, None), |(digest, suffix)| (digest, Some(suffix)));
    let is_digest = !digest.is_empty() && digest.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest && matches!(suffix, None | Some("sig" | "att" | "sbom"))
}

fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}

/// Pages, and what stands beside a file. A project may itself be called `simple`: only pages have no file behind that name.
fn is_pypi_metadata(path: &str) -> bool {
    let beside = ["metadata", "asc", "provenance"].iter().any(|ending| has_ending(path, ending));
    beside || (!path.contains("/files/") && path.split('/').any(|segment| segment == "simple"))
}

fn is_later_part(raw: &RawAccess) -> bool {
    raw.range_start.is_some_and(|start| start > 0)
}

fn file(raw: &RawAccess) -> Action {
    let belongs_to_a_package = raw.package.is_some();
    match raw.method.as_str() {
        "GET" if !belongs_to_a_package => Action::Metadata,
        "GET" if is_later_part(raw) => Action::DownloadPart,
        // Some logs do not say which range a 206 answered; what cannot be told from a later part does not count.
        "GET" if raw.status == 206 && raw.range_start.is_none() => Action::DownloadPart,
        "GET" => Action::Download,
        "HEAD" if belongs_to_a_package => Action::VersionCheck,
        _ => Action::Metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use whopulls_schemas::UnixMicros;

    fn record(kind: Kind, method: &str, path: &str, status: u16) -> RawAccess {
        let mut raw = RawAccess::new(Uuid::nil(), UnixMicros(0), kind, method, path, status);
        raw.package = Some("acme/app".to_owned());
        raw
    }

    #[track_caller]
    fn check(kind: Kind, method: &str, path: &str, status: u16, expected: Action) {
        assert_eq!(action(&record(kind, method, path, status)), expected, "{method} {path} {status}");
    }

    const DIGEST: &str =
        "/v2/acme/app/manifests/sha256:1111111111111111111111111111111111111111111111111111111111111111";

    #[test]
    fn a_manifest_get_is_a_pull_and_a_head_is_a_version_check() {
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/1.0", 200, Action::Pull);
        check(Kind::Oci, "GET", DIGEST, 200, Action::Pull);
        check(Kind::Oci, "HEAD", "/v2/acme/app/manifests/1.0", 200, Action::VersionCheck);
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/1.0", 304, Action::VersionCheck);
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/1.0", 404, Action::Error);
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/1.0", 401, Action::Error);
    }

    #[test]
    fn signatures_and_lists_are_metadata() {
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/sha256-11aa.sig", 200, Action::Metadata);
        check(Kind::Oci, "HEAD", "/v2/acme/app/manifests/sha256-11aa.sbom", 200, Action::Metadata);
        check(Kind::Oci, "GET", "/v2/acme/app/tags/list", 200, Action::Metadata);
        check(Kind::Oci, "GET", "/v2/acme/app/referrers/sha256:11", 200, Action::Metadata);
        check(Kind::Oci, "GET", "/v2/", 200, Action::Metadata);
        check(Kind::Helm, "GET", "/charts/index.yaml", 200, Action::Metadata);
        check(Kind::Pypi, "GET", "/simple/acme/", 200, Action::Metadata);
        check(Kind::Npm, "GET", "/acme", 200, Action::Metadata);
        check(Kind::Helm, "GET", "/charts/app/1.0/app-1.0.tgz.prov", 302, Action::Metadata);
        check(Kind::Pypi, "GET", "/pypi/files/acme/acme-1.0-py3-none-any.whl.metadata", 302, Action::Metadata);
        check(Kind::Npm, "GET", "/npm/-/package/acme/dist-tags", 200, Action::Metadata);
        check(Kind::Pypi, "GET", "/pypi/files/simple/simple-1.0.tar.gz", 302, Action::Download);
        check(Kind::Pypi, "GET", "/pypi/files/acme/acme-1.0.tar.gz.asc", 302, Action::Metadata);
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/sha256-11aa", 404, Action::Error);
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/sha256-11aa", 200, Action::Metadata);
        check(Kind::Oci, "GET", "/v2/acme/app/manifests/sha256-next", 200, Action::Pull);
    }

    #[test]
    fn a_blob_may_be_redirected() {
        check(Kind::Oci, "GET", "/v2/acme/app/blobs/sha256:11", 200, Action::Blob);
        check(Kind::Oci, "GET", "/v2/acme/app/blobs/sha256:11", 307, Action::Blob);
        check(Kind::Oci, "HEAD", "/v2/acme/app/blobs/sha256:11", 200, Action::Metadata);
        check(Kind::Oci, "GET", "/v2/acme/app/blobs/sha256:11", 500, Action::Error);
    }

    #[test]
    fn a_file_answered_or_redirected_is_a_download() {
        for status in [200, 301, 302, 303, 307, 308] {
            check(Kind::File, "GET", "/app-1.0.tar.gz", status, Action::Download);
        }
        check(Kind::Helm, "GET", "/charts/app-1.0.tgz", 200, Action::Download);
        check(Kind::Npm, "GET", "/acme/-/acme-1.0.tgz", 200, Action::Download);
        check(Kind::File, "HEAD", "/app-1.0.tar.gz", 200, Action::VersionCheck);
        check(Kind::File, "GET", "/app-1.0.tar.gz", 304, Action::VersionCheck);
        check(Kind::File, "GET", "/app-1.0.tar.gz", 404, Action::Error);
        check(Kind::File, "POST", "/app-1.0.tar.gz", 200, Action::Metadata);
    }

    #[test]
    fn only_the_part_that_starts_at_zero_counts() {
        let mut raw = record(Kind::File, "GET", "/app-1.0.tar.gz", 206);
        assert_eq!(action(&raw), Action::DownloadPart);
        raw.range_start = Some(0);
        assert_eq!(action(&raw), Action::Download);
        raw.range_start = Some(1024);
        assert_eq!(action(&raw), Action::DownloadPart);
    }

    #[test]
    fn a_path_that_belongs_to_no_package_is_no_download() {
        let mut raw = record(Kind::File, "GET", "/robots.txt", 200);
        raw.package = None;
        assert_eq!(action(&raw), Action::Metadata);
    }

    #[test]
    fn pictures_and_telemetry_have_their_own_words() {
        check(Kind::Pixel, "GET", "/a.png", 200, Action::View);
        check(Kind::Telemetry, "POST", "/event", 200, Action::Event);
    }
}
