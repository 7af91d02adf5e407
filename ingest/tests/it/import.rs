//! Real logs in, records and rejections out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use whopulls_ingest::import::{
    ImportFile, ImportReport, ImportRules, ImportedIds, LogFormat, RejectedLine, import_file,
};
use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_schemas::RejectReason;
use whopulls_schemas::raw::{Kind, RawAccess};

use crate::support::is_here;

fn real_log(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/logs").join(name);
    is_here(&path).then_some(path)
}

fn rules(format: LogFormat, paths: &[&str]) -> ImportRules {
    let paths: Vec<String> = paths.iter().map(|p| (*p).into()).collect();
    ImportRules::new(format, &paths).expect("the patterns are good")
}

/// Imports into a spool of its own; gives the report, the records as a reader of the spool gets them, and what was rejected.
fn import(path: &Path, rules: ImportRules) -> (ImportReport, Vec<RawAccess>, Vec<RejectedLine>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (spool, _) = Spool::open(SpoolOptions::new(dir.path())).expect("the spool opens");
    let file = ImportFile::open(path, rules).expect("the log opens");
    let size = file.size();
    let (mut seen, mut rejected) = (0, Vec::new());
    let mut ids = ImportedIds::default();
    let (report, end_seq) =
        import_file(file, &spool, &mut ids, |line| rejected.push(line), |progress| seen = progress.bytes)
            .expect("the log is imported");
    assert_eq!(seen, size, "the progress ends at the file's size");
    assert_eq!(report.lines, report.accepted + report.rejected);
    assert_eq!(report.rejected, rejected.len() as u64);
    assert_eq!(end_seq, spool.end_seq());
    let mut reader = spool.reader("test").expect("the reader opens");
    let records = reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
    let records = records.iter().map(|r| RawAccess::decode(&r.payload).expect("the record is good")).collect();
    (report, records, rejected)
}

fn tally<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

#[test]
fn a_real_nginx_log_becomes_one_record_a_line() {
    let Some(path) = real_log("nginx_package_downloads.log") else { return };
    let (report, records, _) = import(&path, rules(LogFormat::Nginx, &["/downloads/{package}"]));
    assert_eq!((report.lines, report.accepted, report.rejected), (14_575, 14_575, 0));
    assert!(records.iter().zip(1..).all(|(record, line)| record.seq == line && record.node == report.node));
    let packages = tally(records.iter().map(|r| (r.kind.as_str(), r.package.clone())));
    let statuses = tally(records.iter().map(|r| r.status));
    let first = &records[0];
    insta::assert_debug_snapshot!((packages, statuses, first));
}

#[test]
fn a_real_apache_log_has_one_line_that_is_cut() {
    let Some(path) = real_log("apache_logs_elastic.log") else { return };
    let (report, records, rejected) = import(&path, rules(LogFormat::Apache, &[]));
    assert_eq!((report.lines, report.accepted, report.rejected), (10_000, 9_999, 1));
    let rejected = &rejected[0];
    let reason = (rejected.line, rejected.rejected.reason, rejected.rejected.field.as_deref());
    assert_eq!(reason, (8899, RejectReason::UnparsableLine, Some("user_agent")));
    assert!(records.iter().all(|r| r.kind == Kind::Other && r.client_ip.is_some()));
    insta::assert_debug_snapshot!((tally(records.iter().map(|r| (r.method.clone(), r.status))), records.last()));
}

#[test]
fn a_file_is_known_by_its_content() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let line = "192.0.2.1 - - [17/May/2015:08:05:32 +0000] \"GET /downloads/a HTTP/1.1\" 200 1 \"-\" \"-\"";
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("the log is written");
        import(&path, rules(LogFormat::Nginx, &["/downloads/{package}"])).1
    };
    let first = write("one.log", line);
    assert_eq!(first, write("two.log", line));
    let other = write("three.log", &format!("{line}\n{line}\n"));
    assert_eq!(other.len(), 2);
    assert!(other.iter().all(|r| r.node != first[0].node && r.id != first[0].id));
    assert_ne!(other[0].id, other[1].id);
}

#[test]
fn lines_without_an_end_or_with_too_much_are_counted_and_passed_over() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("odd.log");
    let good = "192.0.2.1 - - [17/May/2015:08:05:32 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";
    let long = "x".repeat(70_000);
    fs::write(&path, format!("{good}\r\n\n{long}\n{good}\n{long}")).expect("the log is written");
    let (_, records, rejected) = import(&path, rules(LogFormat::Nginx, &[]));
    let records = records.iter().map(|record| (record.seq, None));
    let rejected = rejected.iter().map(|line| (line.line, Some(line.rejected.reason)));
    let mut seen: Vec<_> = records.chain(rejected).collect();
    seen.sort_by_key(|(line, _)| *line);
    let (unparsable, oversized) = (Some(RejectReason::UnparsableLine), Some(RejectReason::Oversized));
    assert_eq!(seen, [(1, None), (2, unparsable), (3, oversized), (4, None), (5, oversized)]);
}
