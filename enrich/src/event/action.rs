//! The counting rule as far as one request says. Which digest is a child, and what is a retry, takes memory of earlier
//! requests: [`crate::fold`].

use whopulls_schemas::raw::{Kind, RawAccess};

/// What a request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A manifest was fetched.
    Pull,
    /// A further manifest of a pull.
    PullPart,
    /// A file was fetched, or the client was sent to it.
    Download,
    /// A later part of a file.
    DownloadPart,
    /// The same was fetched a moment before.
    Retry,
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
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::Pull,
        Self::PullPart,
        Self::Download,
        Self::DownloadPart,
        Self::Retry,
        Self::VersionCheck,
        Self::Blob,
        Self::BlobPart,
        Self::Metadata,
        Self::View,
        Self::Event,
        Self::Error,
    ];

    /// The action of a word in the table.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// The word in the column `action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::PullPart => "pull_part",
            Self::Download => "download",
            Self::DownloadPart => "download_part",
            Self::Retry => "retry",
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

/// What of a request says by itself what it was.
#[derive(Debug, Clone, Copy)]
pub struct Alone<'a> {
    /// What kind of thing was asked for.
    pub kind: Kind,
    /// The request method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The status answered.
    pub status: u16,
    /// The rule knows the package.
    pub has_package: bool,
    /// The first byte of a range that was asked for.
    pub range_start: Option<u64>,
}

/// What this request was by itself.
pub fn action(raw: &RawAccess) -> Action {
    let (status, range_start) = (raw.status, raw.range_start);
    let has_package = raw.package.is_some();
    Alone { kind: raw.kind, method: &raw.method, path: &raw.path, status, has_package, range_start }.action()
}

impl Alone<'_> {
    /// What the request was.
    pub fn action(&self) -> Action {
        if self.status == 304 {
            return Action::VersionCheck;
        }
        if !(200..400).contains(&self.status) {
            return Action::Error;
        }
        match self.kind {
            Kind::Oci => self.oci(),
            Kind::Pixel if self.method == "GET" => Action::View,
            Kind::Pixel => Action::Metadata,
            Kind::Telemetry => Action::Event,
            Kind::Helm if self.path.ends_with("/index.yaml") || has_ending(self.path, "prov") => Action::Metadata,
            Kind::Pypi if is_pypi_metadata(self.path) => Action::Metadata,
            Kind::Npm if !self.path.contains("/-/") || !has_ending(self.path, "tgz") => Action::Metadata,
            Kind::File | Kind::Other | Kind::Helm | Kind::Pypi | Kind::Npm => self.file(),
        }
    }

    fn oci(&self) -> Action {
        let mut from_the_end = self.path.rsplit('/');
        let (last, before) = (from_the_end.next().unwrap_or_default(), from_the_end.next().unwrap_or_default());
        match (before, self.method) {
            ("manifests", _) if is_attachment(last) => Action::Metadata,
            ("manifests", "HEAD") => Action::VersionCheck,
            // Also one that is sent elsewhere, by a rule that asks for that: nobody else sees it.
            ("manifests", "GET") => Action::Pull,
            ("blobs", "GET") if self.is_later_part() => Action::BlobPart,
            ("blobs", "GET") => Action::Blob,
            _ => Action::Metadata,
        }
    }

    fn is_later_part(&self) -> bool {
        self.range_start.is_some_and(|start| start > 0)
    }

    fn file(&self) -> Action {
        match self.method {
            "GET" if !self.has_package => Action::Metadata,
            "GET" if self.is_later_part() => Action::DownloadPart,
            // Some logs do not say which range a 206 answered; what cannot be told from a later part does not count.
            "GET" if self.status == 206 && self.range_start.is_none() => Action::DownloadPart,
            "GET" => Action::Download,
            "HEAD" if self.has_package => Action::VersionCheck,
            _ => Action::Metadata,
        }
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
