//! A real log goes the same way as requests do: spool, worker, table.

use std::io::Write as _;
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

#[test]
fn packed_logs_are_found_by_a_pattern_and_their_format_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |package: &str| {
        format!(
            "198.51.100.7 - - [17/May/2015:08:05:32 +0000] \"GET /downloads/{package} HTTP/1.1\" 200 490 \"-\" \"curl/8.5.0\"\n"
        )
    };
    for (name, package) in [("access.log.1.gz", "app"), ("access.log.2.gz", "tool")] {
        let file = std::fs::File::create(folder.path().join(name)).expect("a log");
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(line(package).as_bytes()).and_then(|()| packed.finish().map(drop)).expect("a packed log");
    }
    let data = folder.path().join("data");
    let [data_text, pattern] =
        [data.clone(), folder.path().join("access.log.*.gz")].map(|path| path.display().to_string());
    let arguments = ["import", "--path", "/downloads/{package}", "--data", &data_text, &pattern];
    let printed = whopulls(&arguments).expect_success();
    assert!(printed.contains("read as nginx") && printed.contains("2 files: 2 lines, 2 events added"), "{printed}");
    let packages = query(&data, "select package from events order by package");
    assert_eq!(packages, [["app"], ["tool"]]);
    // The same log before it was packed.
    std::fs::write(folder.path().join("access.log"), line("app")).expect("a log");
    let plain = folder.path().join("access.log").display().to_string();
    let again = whopulls(&["import", "--log-format", r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#, "--data", &data_text, &plain]).expect_success();
    assert!(again.contains("nothing was added"), "{again}");

    // One that cannot be read holds the others up no more than it must.
    std::fs::write(folder.path().join("access.log.0.gz"), "nothing of a log\n").expect("a file");
    let more = whopulls(&arguments);
    assert!(
        !more.success && more.stderr.contains("access.log.0.gz") && more.stderr.contains("1 of 3"),
        "{}",
        more.stderr
    );
    assert!(more.stdout.contains("2 files: 2 lines, 0 events added"), "{}", more.stdout);
}
