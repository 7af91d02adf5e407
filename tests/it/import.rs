//! A real log goes the same way as requests do: spool, worker, table.

use std::path::Path;

use crate::support::{number, query, shared, whopulls};

const NGINX: &str = "logs/nginx_package_downloads.log";

fn import(data: &Path, format: &str, path: &str, file: &Path) -> String {
    let [data, file] = [data, file].map(|path| path.to_str().expect("a text path"));
    whopulls(&["import", "--format", format, "--path", path, "--data", data, file]).expect_success()
}

#[test]
fn every_line_of_a_real_nginx_log_is_an_event_and_a_second_import_adds_nothing() {
    let Some(log) = shared(NGINX) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let printed = import(folder.path(), "nginx", "/downloads/{package}", &log);
    assert!(printed.contains("14,575 events added"), "{printed}");
    assert_eq!(number(folder.path(), "select count(*) from events"), 14_575);
    assert_eq!(number(folder.path(), "select count(distinct id) from events"), 14_575);
    let packages = query(folder.path(), "select package, count(*) from events group by package order by package");
    let lines = std::fs::read_to_string(&log).expect("the log");
    for package in ["product_1", "product_2", "product_3"] {
        let in_log = lines.lines().filter(|line| line.contains(&format!(" /downloads/{package} "))).count();
        assert!(
            in_log > 0 && packages.contains(&vec![package.to_owned(), in_log.to_string()]),
            "{package}: {packages:?}"
        );
    }

    let again = import(folder.path(), "nginx", "/downloads/{package}", &log);
    assert!(again.contains("nothing was added"), "{again}");
    assert_eq!(number(folder.path(), "select count(*) from events"), 14_575);
}

#[test]
fn what_is_no_line_of_the_format_is_named_by_line_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let good =
        r#"198.51.100.7 - - [17/May/2015:08:05:32 +0000] "GET /downloads/app HTTP/1.1" 200 490 "-" "curl/8.5.0""#;
    std::fs::write(&log, format!("{good}\nthis is no line\n{good}\n")).expect("a log");
    let printed = import(&folder.path().join("data"), "nginx", "/downloads/{package}", &log);
    assert!(printed.contains("line 2"), "{printed}");
    assert!(!printed.contains("198.51.100"), "no address: {printed}");
    assert_eq!(number(&folder.path().join("data"), "select count(*) from events"), 2);
    let letters = std::fs::read_dir(folder.path().join("data/dead-letters")).expect("a folder of letters");
    let text: String =
        letters.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    assert!(text.contains("this is no line") && text.contains("unparsable_line"), "{text}");
}

#[test]
fn a_real_apache_log_is_accounted_for() {
    let Some(log) = shared("logs/apache_logs_elastic.log") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    import(folder.path(), "apache", "/{package...}", &log);
    let events = number(folder.path(), "select count(*) from events");
    let letters = std::fs::read_dir(folder.path().join("dead-letters")).map_or(0, |files| {
        let lines = |file: std::fs::DirEntry| std::fs::read_to_string(file.path()).expect("text").lines().count();
        files.map(|file| lines(file.expect("a file"))).sum::<usize>()
    });
    let lines = std::fs::read_to_string(&log).expect("the log").lines().count();
    assert_eq!(usize::try_from(events).expect("a small number") + letters, lines);
}
