//! Erasure: no file of the table's folder knows who it was.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::past::{build, copy, differences, parquet_files};
use crate::support::{number, repository, whopulls};

struct Case {
    _folder: TempDir,
    data: PathBuf,
    before: PathBuf,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, before) = (folder.path().join("data"), folder.path().join("before"));
        build(&data, 4, 8_000);
        copy(&data, &before);
        Self { _folder: folder, data, before }
    }

    fn forget(&self, arguments: &[&str]) -> crate::support::Output {
        let data = self.data.to_str().expect("a text path");
        whopulls(&[&["forget", "--data", data], arguments].concat())
    }

    fn count(&self, condition: &str) -> u64 {
        number(&self.data, &format!("select count(*) from events where {condition}"))
    }
}

/// Rows of every Parquet file in the folder for which a condition holds, with nothing of whopulls.
fn in_every_file(data: &Path, condition: &str) -> u64 {
    let script = "import duckdb,sys; print(duckdb.execute('select count(*) from read_parquet(?, union_by_name=true) where ' + sys.argv[1], \
                  [sys.argv[2:]]).fetchone()[0])";
    let files = parquet_files(data);
    let files = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    let output = Command::new(repository().join("scripts/python"))
        .args(["-c", script, condition])
        .args(files)
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

#[test]
fn a_forgotten_endpoint_is_in_no_file_and_its_events_are_counted_as_before() {
    let case = Case::new();
    let (events, endpoint) = (case.count("true"), number_of_some_endpoint(&case.data));
    let condition = format!("endpoint_id = {endpoint}");
    let theirs = case.count(&condition);
    assert!(theirs > 0 && in_every_file(&case.data, &condition) == theirs);
    let id = format!("--endpoint={endpoint}");
    let said = case.forget(&[&id]);
    assert!(!said.success && said.stdout.contains("would be erased"), "{said:?}");
    assert_eq!(case.count(&condition), theirs, "without --yes nothing is erased");

    let said = case.forget(&[&id, "--yes"]).expect_success();
    assert!(said.contains("left in the table: 0 events"), "{said}");
    assert_eq!(in_every_file(&case.data, &condition), 0);
    assert_eq!(case.count("true"), events);
    let found = differences(&case.before, &case.data);
    assert_eq!(found.iter().map(|day| day.events).sum::<u64>(), theirs, "theirs and no others: {found:?}");
    assert!(found.iter().all(|day| day.rows_in_one_only == 0 && day.rows_otherwise_different == 0), "{found:?}");
}

#[test]
fn a_forgotten_network_may_be_deleted_and_what_a_killed_writer_left_is_told_until_it_may_go() {
    let case = Case::new();
    let condition = "client_net = '8.8.8.0/24'";
    let (events, theirs) = (case.count("true"), case.count(condition));
    // A file with rows of theirs that no version names: a worker died, or is about to commit it.
    let file = parquet_files(&case.data).into_iter().next().expect("a file");
    std::fs::copy(&file, file.with_file_name("part-0.parquet")).expect("a copy");
    let half_written = file.with_file_name("part-1.parquet#1");
    std::fs::write(&half_written, "PAR1").expect("a file");
    let said = case.forget(&["--network", "8.8.8.0/25", "--yes"]);
    assert!(!said.success && said.stderr.contains("/24"), "{said:?}");
    let said = case.forget(&["--network", "8.8.0.0/16", "--delete", "--yes"]);
    assert!(!said.success && said.stderr.contains("--workers-stopped"), "{said:?}");
    assert!(
        said.stdout.contains("left in the table: 0 events") && in_every_file(&case.data, condition) > 0,
        "{said:?}"
    );
    case.forget(&["--network", "8.8.0.0/16", "--delete", "--yes", "--workers-stopped"]).expect_success();
    assert!(!half_written.exists());
    assert_eq!((in_every_file(&case.data, condition), case.count("true")), (0, events - theirs));
}

#[test]
fn a_forgotten_organization_is_in_no_file_and_not_in_the_log() {
    let case = Case::new();
    for organization in ["cern.ch", "said.example"] {
        let condition = format!("org_id = '{organization}'");
        assert!(case.count(&condition) > 0, "{organization}");
        case.forget(&["--organization", organization, "--yes"]).expect_success();
        assert_eq!((case.count(&condition), in_every_file(&case.data, &condition)), (0, 0));
        for entry in std::fs::read_dir(case.data.join("lake/_delta_log")).expect("the log") {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file");
            let found = bytes.windows(organization.len()).any(|window| window == organization.as_bytes());
            assert!(!found, "{organization} in {}", path.display());
        }
    }
    assert_eq!(case.count("true"), 8_000, "the table reads without its old log");
    assert_eq!(case.count("array_to_string(org_evidence, ' ') like 'claim:%'"), 0);
    build(&case.data, 1, 100);
    assert_eq!(case.count("true"), 8_100, "and takes more");
}

fn number_of_some_endpoint(data: &Path) -> i64 {
    let rows = crate::support::query(data, "select max(endpoint_id) from events");
    rows.first().and_then(|row| row.first()?.parse().ok()).expect("an endpoint")
}
