//! What was installed last, remembered beside the database, and what follows from it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use whopulls_schemas::config::Config;

/// What stands beside a database that was installed, in `<file>.source.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    /// Where it came from, without the query.
    pub(super) url: String,
    /// The SHA-256 of the bytes as downloaded.
    pub(super) download_sha256: String,
    /// The SHA-256 of the database, which is what was in the download.
    pub(super) file_sha256: String,
    /// When, in UTC as RFC 3339 writes it.
    #[serde(rename = "installed_at")]
    pub(super) at: String,
}

/// Where the memory of a database stands.
pub(super) fn memory_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".source.json");
    name.into()
}

/// How a file is related to what was installed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is remembered.
    NeverInstalled,
    /// The file is not there.
    Gone,
    /// The file has been replaced by something else.
    Replaced,
    /// The file is the one that was installed.
    Same,
}

/// `in_place` is the SHA-256 of the file, `None` where there is none.
pub(super) fn standing(installed: Option<&Installed>, in_place: Option<&str>) -> Standing {
    match (installed, in_place) {
        (None, _) => Standing::NeverInstalled,
        (Some(_), None) => Standing::Gone,
        (Some(installed), Some(digest)) if installed.file_sha256 == digest => Standing::Same,
        (Some(_), Some(_)) => Standing::Replaced,
    }
}

/// Whether a download that has this SHA-256 would install what is there already.
pub(super) fn is_current(wanted: &str, installed: Option<&Installed>, in_place: Option<&str>) -> bool {
    installed.is_some_and(|installed| installed.download_sha256 == wanted)
        && standing(installed, in_place) == Standing::Same
}

/// The files that a source keeps and that `enrich.geo_databases` does not name, so that nobody reads them.
pub(crate) fn unread(config: &Config) -> impl Iterator<Item = &Path> {
    let sources = config.geo.sources.iter().map(|source| source.file.as_path());
    sources.filter(|file| !config.enrich.geo_databases.iter().any(|named| is_same_path(named, file)))
}

/// `geo/asn.mmdb` and `./geo/asn.mmdb` are one file, and so is its absolute path.
pub(super) fn is_same_path(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed() -> Installed {
        let [url, download_sha256, file_sha256, at] =
            ["https://a.example.org/a", "packed", "unpacked", "2026-11-24T06:25:00Z"].map(str::to_owned);
        Installed { url, download_sha256, file_sha256, at }
    }

    #[track_caller]
    fn check(wanted: &str, remembered: bool, in_place: Option<&str>, expected: (Standing, bool)) {
        let installed = remembered.then(installed);
        let found = (standing(installed.as_ref(), in_place), is_current(wanted, installed.as_ref(), in_place));
        assert_eq!(found, expected, "{wanted} {remembered} {in_place:?}");
    }

    #[test]
    fn only_the_file_that_was_installed_is_current() {
        check("packed", true, Some("unpacked"), (Standing::Same, true));
        check("newer", true, Some("unpacked"), (Standing::Same, false));
        check("packed", true, Some("another"), (Standing::Replaced, false));
        check("packed", true, None, (Standing::Gone, false));
        check("packed", false, Some("unpacked"), (Standing::NeverInstalled, false));
        check("packed", false, None, (Standing::NeverInstalled, false));
    }

    #[test]
    fn a_source_that_nobody_reads_is_found() {
        let source = |file: &str| {
            let digest = "0".repeat(64);
            format!("[[geo.source]]\nfile = '{file}'\nurl = 'https://a.example.org/a'\nsha256 = '{digest}'\n")
        };
        let text = format!(
            "[enrich]\ngeo_databases = ['./geo/a.mmdb', '/x/b.mmdb']\n{}{}{}",
            source("geo/a.mmdb"),
            source("/x/b.mmdb"),
            source("b.mmdb")
        );
        let config = Config::parse("f", &text, &[]).expect("right");
        assert_eq!(unread(&config).collect::<Vec<_>>(), [Path::new("b.mmdb")]);
    }

    #[test]
    fn the_memory_stands_beside_the_file() {
        assert_eq!(memory_of(Path::new("geo/asn.mmdb")), Path::new("geo/asn.mmdb.source.json"));
    }
}
