//! Overrides change the past: what is planned is what changes, whatever dies, and no query sees half of a day.

#![expect(clippy::print_stderr, reason = "the large form says how long it took")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::past::{build, commits, copy, differences, parquet_files};
use crate::support::{now, number, query, wait_until, whopulls};

const OVERRIDES: &str = r#"
ignore = ["apple.com"]
opt_out = ["1.1.1.0/24"]
[[organization]]
id = "cern.example"
name = "Cern"
kind = "education"
aliases = ["cern.ch"]
[[organization]]
id = "acme.example"
name = "Acme"
kind = "business"
[[network]]
net = "8.8.8.0/24"
organization = "acme.example"
[[network]]
asn = 3320
kind = "hosting"
"#;

/// The short form that every test run makes; `make past` makes the long one.
const EVENTS_SHORT: u64 = 30_000;
const DAYS: u64 = 30;

#[expect(clippy::disallowed_methods, reason = "`make past` says how many events it wants")]
fn events() -> u64 {
    std::env::var("PAST_EVENTS").ok().and_then(|events| events.parse().ok()).unwrap_or(EVENTS_SHORT)
}

/// A data folder with a configuration and overrides beside it.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(events: u64) -> Self {
        let case = Self { folder: tempfile::tempdir().expect("a folder") };
        build(&case.data("data"), DAYS, events);
        case.write_overrides(OVERRIDES);
        let overrides = case.folder.path().join("overrides.toml");
        let config = format!("[enrich]\noverrides_file = '{}'\n", overrides.display());
        std::fs::write(case.folder.path().join("whopulls.toml"), config).expect("a file");
        case
    }

    fn write_overrides(&self, text: &str) {
        std::fs::write(self.folder.path().join("overrides.toml"), text).expect("a file");
    }

    fn data(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn copied(&self, name: &str) -> std::path::PathBuf {
        copy(&self.data("data"), &self.data(name));
        self.data(name)
    }

    fn arguments(&self, data: &Path, command: &[&str]) -> Vec<String> {
        let config = self.folder.path().join("whopulls.toml").display().to_string();
        let mut arguments: Vec<String> = command.iter().map(|&argument| argument.to_owned()).collect();
        arguments.extend(["--config".to_owned(), config, "--data".to_owned(), data.display().to_string()]);
        arguments
    }

    #[track_caller]
    fn run(&self, data: &Path, command: &[&str]) -> String {
        let arguments = self.arguments(data, command);
        whopulls(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect_success()
    }
}

/// The lines of a plan that are days: the day, its events, its downloads.
fn days(printed: &str) -> Vec<(String, u64, u64)> {
    let number = |text: &str| text.split(' ').next()?.replace(',', "").parse::<u64>().ok();
    let day = |line: &str| {
        let (day, counts) = line.split_once(": ")?;
        let (events, downloads) = counts.split_once(" events, ")?;
        let is_day = day.len() == 10 && day.starts_with("2026-");
        is_day.then(|| Some((day.to_owned(), number(events)?, number(downloads)?)))?
    };
    printed.lines().filter_map(day).collect()
}

#[test]
fn what_is_planned_is_what_changes_and_a_second_time_nothing_does() {
    let case = Case::new(events());
    let data = case.data("data");
    let before = case.copied("before");
    let started = now();
    let plan = case.run(&data, &["overrides", "plan"]);
    eprintln!("plan: {:?}\n{plan}", started.elapsed());
    let planned = days(&plan);
    assert_eq!(planned.len(), usize::try_from(DAYS).expect("a small number"), "{plan}");
    assert!(differences(&before, &data).iter().all(|day| day.events == 0), "a plan changes nothing");

    let started = now();
    let applied = case.run(&data, &["overrides", "apply"]);
    eprintln!("apply: {:?}", started.elapsed());
    assert_eq!(days(&applied), planned);
    let found = differences(&before, &data);
    assert!(found.iter().all(|day| day.rows_in_one_only == 0 && day.rows_otherwise_different == 0), "{found:?}");
    let found: Vec<_> = found.into_iter().map(|day| (day.day, day.events, day.downloads)).collect();
    assert_eq!(found, planned, "DuckDB sees the planned changes and no others");
    who_is_who_now(&data);

    let version = commits(&data);
    assert!(case.run(&data, &["overrides", "plan"]).contains("would change: 0 events"), "everything is done");
    case.run(&data, &["overrides", "apply"]);
    assert_eq!(commits(&data), version, "what is done is not done again");

    let data_alone = data.to_str().expect("a text path");
    let unnamed = whopulls(&["overrides", "apply", "--data", data_alone]);
    assert!(!unnamed.success && unnamed.stderr.contains("overrides_file"), "{unnamed:?}");
    let all = whopulls(&["overrides", "apply", "--all", "--data", data_alone]).expect_success();
    assert!(
        all.contains("changed: 0 events"),
        "the database is the same, and leaving a file out takes nothing back: {all}"
    );

    case.write_overrides("");
    case.run(&data, &["overrides", "apply"]);
    let left = differences(&before, &data);
    let erased: u64 = left.iter().map(|day| day.events).sum();
    assert_eq!(erased, number(&before, "select count(*) from events where client_net = '1.1.1.0/24'"), "{left:?}");
}

#[track_caller]
fn who_is_who_now(data: &Path) {
    let count = |condition: &str| number(data, &format!("select count(*) from events where {condition}"));
    assert_eq!(count("org_id in ('cern.ch', 'apple.com') or client_net = '1.1.1.0/24'"), 0);
    assert!(count("org_id = 'cern.example' and array_to_string(org_evidence, ' ') like 'override:alias:cern.ch%'") > 0);
    assert!(count("org_id is null and array_to_string(org_evidence, ' ') = 'override:ignore:apple.com'") > 0);
    assert_eq!(count("client_net = '8.8.8.0/24' and org_id not in ('acme.example', 'said.example')"), 0);
    assert_eq!(count("org_id = 'said.example'"), count("array_to_string(org_evidence, ' ') like 'claim:host%'"));
    assert!(count("org_id = 'said.example'") > 0, "a claim stands");
    assert!(count("asn = 3320 and network_kind = 'hosting'") > 0);
    assert_eq!(count("enriched_with like '%overrides-%' and org_evidence is null and network_kind is not null"), 0);
}

#[test]
fn an_apply_that_is_killed_ends_the_same_and_queries_see_whole_days() {
    let case = Case::new(events());
    let (whole, killed) = (case.data("data"), case.copied("killed"));
    let before = commits(&killed);
    let start = || {
        let arguments = case.arguments(&killed, &["overrides", "apply"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_whopulls"));
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("whopulls runs")
    };
    for kill in 1..=3_usize {
        let mut child = start();
        wait_until("some days are done", Duration::from_mins(2), || commits(&killed) >= before + 4 * kill);
        child.kill().expect("it runs");
        child.wait().expect("it ended");
    }
    let done = commits(&killed) - before;
    assert!(done < usize::try_from(DAYS).expect("a small number"), "killed in the middle, not after {done} days");
    let mut child = start();
    let mut queries = 0;
    loop {
        let ended = child.try_wait().expect("it can be asked");
        let mixed = query(
            &killed,
            "select date from events where client_net = '8.8.8.0/24' and org_id is distinct from 'said.example' \
             group by date having count(distinct coalesce(org_id, '')) > 1",
        );
        assert!(mixed.is_empty(), "days between old and new: {mixed:?}");
        queries += 1;
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
    }
    eprintln!("{done} days done when killed, {queries} queries while the rest was");
    case.run(&whole, &["overrides", "apply"]);
    let found = differences(&whole, &killed);
    let same = |day: &crate::support::past::DayDifference| {
        (day.events, day.rows_in_one_only, day.rows_otherwise_different) == (0, 0, 0)
    };
    assert!(found.iter().all(same), "{found:?}");
    assert!(
        parquet_files(&killed).len() >= parquet_files(&whole).len(),
        "a killed apply may leave files that nobody names"
    );
}

#[test]
fn check_says_what_is_right_and_every_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("overrides.toml");
    let path = file.to_str().expect("a text path");
    std::fs::write(&file, "[[network]]\nnet = '192.0.2.16/28'\nkind = 'isp'\n").expect("a file");
    let right = whopulls(&["overrides", "check", path]).expect_success();
    assert!(right.contains("right") && right.contains("192.0.2.16/28 is smaller"), "{right}");
    std::fs::write(&file, "ignor = []\n[[network]]\nkind = 'isp'\n").expect("a file");
    let wrong = whopulls(&["overrides", "check", path]);
    assert!(!wrong.success && wrong.stderr.contains("line 1") && wrong.stderr.contains("line 2"), "{}", wrong.stderr);
}
