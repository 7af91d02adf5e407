//! Packed files, streams, patterns, and several files that have the same events.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use whopulls_ingest::import::{
    ImportError, ImportFile, ImportReport, ImportRules, Imported, ImportedIds, Importer, LogFormat, Shape, expand,
    import_file, read_report,
};
use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_schemas::raw::RawAccess;

fn lines(count: usize) -> String {
    let line = |at: usize| {
        format!(
            "192.0.2.{} - - [17/May/2015:08:05:32 +0000] \"GET /f/{at} HTTP/1.1\" 200 1 \"-\" \"curl/8\"\n",
            at % 250
        )
    };
    (0..count).map(line).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).expect("memory")
}

fn rules(shape: impl Into<Shape>) -> ImportRules {
    ImportRules::new(shape, &[]).expect("no patterns")
}

fn pass(file: ImportFile, ids: &mut ImportedIds) -> (ImportReport, Vec<RawAccess>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (spool, _) = Spool::open(SpoolOptions::new(dir.path())).expect("the spool opens");
    let (report, _) = import_file(file, &spool, ids, |_| {}, |_| {}).expect("the log is imported");
    assert_eq!(report.lines, report.accepted + report.rejected + report.duplicates + report.passed_over);
    assert_eq!(report.rejected, report.rejections.count());
    let mut reader = spool.reader("test").expect("the reader opens");
    let records = reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
    (report, records.iter().map(|r| RawAccess::decode(&r.payload).expect("the record is good")).collect())
}

fn import(path: &Path, shape: impl Into<Shape>) -> (ImportReport, Vec<RawAccess>) {
    pass(ImportFile::open(path, rules(shape)).expect("the log opens"), &mut ImportedIds::default())
}

#[test]
fn a_packed_log_is_the_log_that_was_packed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = lines(5000);
    let (first, rest) = text.split_at(text.len() / 3);
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("the log is written");
        import(&path, LogFormat::Nginx)
    };
    let plain = write("plain", text.as_bytes());
    assert_eq!((plain.0.lines, plain.1.len()), (5000, 5000));
    assert!(plain.1.iter().zip(0..).all(|(record, at)| record.path == format!("/f/{at}") && record.seq == at + 1));
    // What a name says of a file is not asked.
    assert_eq!(write("packed.zst", &gzip(&text)), plain);
    assert_eq!(write("packed.gz", &zstd(&text)), plain);
    assert_eq!(write("members.log", &[gzip(first), gzip(rest)].concat()), plain);
    assert_eq!(write("frames.log", &[zstd(first), zstd(rest)].concat()), plain);
    let stream = ImportFile::open_stream(Path::new("-"), &mut gzip(&text).as_slice(), dir.path(), rules(Shape::Auto));
    assert_eq!(pass(stream.expect("the stream opens"), &mut ImportedIds::default()), plain);
}

#[test]
fn lines_read_on_every_core_are_the_lines_read_one_by_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("E2EXAMPLE.log");
    // Headers that change in the middle of a chunk, lines under no header, and versions that are not known.
    let fields =
        ["date time cs-method cs-uri-stem sc-status", "cs-uri-stem date time sc-status cs-method", "date time"];
    let mut text = String::new();
    for at in 0..4000 {
        if at % 700 == 0 {
            writeln!(text, "#Version: {}.0\n#Fields: {}", 1 + at / 700 % 2, fields[at / 350 % 3]).expect("memory");
        }
        let line = ["2024-01-16", "23:56:42", "GET", &format!("/f/{at}"), "200"];
        let turned = [line[3], line[0], line[1], line[4], line[2]];
        writeln!(text, "{}", if at / 350 % 3 == 1 { turned } else { line }.join("\t")).expect("memory");
    }
    fs::write(&path, &text).expect("the log is written");
    let (report, records) = import(&path, LogFormat::CloudFront);
    let mut importer = Importer::new(rules(LogFormat::CloudFront), &report.node);
    let one_by_one: Vec<Imported> =
        text.lines().zip(1..).map(|(line, number)| importer.line(number, line.as_bytes())).collect();
    let expected: Vec<&RawAccess> = one_by_one
        .iter()
        .filter_map(|result| match result {
            Imported::Record(record) => Some(&**record),
            Imported::Rejected(_) | Imported::PassedOver => None,
        })
        .collect();
    assert!(expected.len() > 500 && report.rejected > 500, "{report:?}");
    assert_eq!(records.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_packed_log_that_is_cut_is_an_error_and_nothing_of_it_is_imported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("cut.gz");
    for packed in [gzip(&lines(5000)), zstd(&lines(5000))] {
        fs::write(&path, &packed[..packed.len() / 2]).expect("the log is written");
        let error = ImportFile::open(&path, rules(LogFormat::Nginx)).expect_err("half a file");
        assert!(matches!(error, ImportError::Read { .. }) && error.to_string().contains("cut.gz"), "{error}");
    }
}

#[test]
fn a_spool_that_is_full_ends_the_import_and_says_before_which_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("access.log");
    fs::write(&path, lines(40_000)).expect("the log is written");
    let options =
        SpoolOptions { max_bytes: 1 << 20, segment_bytes: 64 << 10, ..SpoolOptions::new(dir.path().join("spool")) };
    let (spool, _) = Spool::open(options).expect("the spool opens");
    // What nobody has read is not dropped.
    let _reader = spool.reader("test").expect("the reader opens");
    let file = ImportFile::open(&path, rules(LogFormat::Nginx)).expect("the log opens");
    let error = import_file(file, &spool, &mut ImportedIds::default(), |_| {}, |_| {}).expect_err("it is full");
    assert!(matches!(error, ImportError::Take { line, .. } if line > 1000 && line < 40_000), "{error:?}");
}

#[test]
fn the_first_lines_say_the_format_or_an_error_lists_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("access.log");
    let detect = |text: &str| {
        fs::write(&path, text).expect("the log is written");
        ImportFile::open(&path, rules(Shape::Auto)).map(|file| file.shape().to_string()).map_err(|error| {
            format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default())
        })
    };
    assert_eq!(detect(&lines(3)).as_deref(), Ok("nginx"));
    assert_eq!(detect("").as_deref(), Ok("nginx"), "of no lines any format makes nothing");
    assert_eq!(detect(&lines(1).replace(" \"-\" \"curl/8\"", "")).as_deref(), Ok("apache"));
    assert_eq!(detect(&format!("get.example.org:80 {}", lines(1))).as_deref(), Ok("apache-vhost"));
    assert_eq!(detect("#Version: 1.0\n#Fields: date time\n").as_deref(), Ok("cloudfront"));
    let unknown = detect("nothing\nof\nany\n").expect_err("no format");
    assert!(
        unknown.contains("access.log") && unknown.contains("--log-format") && unknown.contains("scarf"),
        "{unknown}"
    );
    let mixed = detect(&format!("{}{}", lines(1), "x\n".repeat(9))).expect_err("mostly something else");
    assert!(mixed.contains("no format reads"), "{mixed}");
    let server = r#"{"level":"info","msg":"starting","ts":1,"time":"2024-01-16T23:53:20Z"}"#;
    let ambiguous = detect(server).expect_err("two that say nothing yet");
    assert!(ambiguous.contains("caddy as registry"), "{ambiguous}");
}

#[test]
fn events_with_an_identity_of_their_own_count_once_also_in_the_next_import() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let event = |id: usize| format!("e-{id},download,app,,,2024-01-16T23:53:20Z,,,,,,,,,,,,,,,,,,\n");
    let write = |name: &str, ids: &[usize]| {
        let path = dir.path().join(name);
        fs::write(&path, ids.iter().map(|id| event(*id)).collect::<String>()).expect("the export is written");
        ImportFile::open(&path, rules(LogFormat::Scarf)).expect("the export opens")
    };
    let known = dir.path().join("imports/ids");
    let open = || ImportedIds::at(known.clone());
    let mut ids = open();
    let (report, records) = pass(write("one.csv", &[1, 2, 2, 3]), &mut ids);
    assert_eq!((report.lines, report.accepted, report.duplicates, records.len()), (4, 3, 1, 3));
    // What was not kept is not known: an import that failed is made again.
    assert_eq!(pass(write("one.csv", &[1, 2, 2, 3]), &mut open()).0.accepted, 3);
    ids.keep().expect("the identities are kept");
    let mut ids = open();
    let (report, records) = pass(write("two.csv", &[3, 4]), &mut ids);
    assert_eq!((report.accepted, report.duplicates, records[0].seq), (1, 1, 2));
    ids.keep().expect("the identities are kept");
    // A crash may leave half of one.
    fs::OpenOptions::new().append(true).open(&known).and_then(|mut f| f.write_all(b"half")).expect("written");
    let mut ids = open();
    assert_eq!(pass(write("three.csv", &[4, 5]), &mut ids).0.duplicates, 1);
    ids.keep().expect("the identities are kept");
    assert_eq!(pass(write("four.csv", &[1, 2, 3, 4, 5]), &mut open()).0.duplicates, 5);
}

#[test]
fn a_report_has_rows_of_sums_and_refuses_what_is_none() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("companies.csv");
    let header = "DATE_GRANULARITY,DATE_REFERENCE,PUBLISHER_NAME,DOMAIN,IP_COUNTRY,CLOUD_SERVICE_PROVIDER,USER_AGENT,INFERRED_USE_CASE,IMAGE_REPOSITORY,DATA_DOWNLOADS,VERSION_CHECKS,PULLS,UNIQUE_AUTHENTICATED_USERS";
    let good = "weekly,2025-09-29,acme,corp.example,US,no csp,docker,Local Dev,acme/app,3,4,7,2";
    let refused = |change: &dyn Fn(&str) -> String, field: &str| {
        fs::write(&path, format!("{header}\n{good}\n{}\n", change(good))).expect("the report is written");
        let file = ImportFile::open(&path, rules(Shape::Auto)).expect("the report opens");
        assert_eq!(file.shape().to_string(), "docker");
        let mut rejected = Vec::new();
        let (report, rows) = read_report(file, |line| rejected.push(line)).expect("the report is read");
        assert_eq!((report.lines, report.passed_over, rows.len()), (3, 1, 1));
        assert_eq!(report.lines, report.accepted + report.rejected + report.duplicates + report.passed_over);
        let fields: Vec<_> = rejected.iter().map(|line| (line.line, line.rejected.to_string())).collect();
        match field {
            "" => assert_eq!(report.duplicates, 1, "{fields:?}"),
            field => assert!(fields.len() == 1 && fields[0].0 == 3 && fields[0].1.contains(field), "{fields:?}"),
        }
    };
    refused(&|line| line.to_owned(), "");
    refused(&|line| line.replace("weekly", "daily"), "DATE_GRANULARITY");
    refused(&|line| line.replace("2025-09-29", "29.09.2025"), "DATE_REFERENCE");
    refused(&|line| line.replace("2025-09-29", "2025-02-30"), "DATE_REFERENCE");
    refused(&|line| line.replace("acme/app", ""), "IMAGE_REPOSITORY");
    refused(&|line| line.replace(",4,", ",-4,"), "VERSION_CHECKS");
    refused(&|line| line.replace(",3,4,7,2", ",,,,"), "PULLS");
    refused(&|line| line.replace(",3,4,7,2", ",3,4,7,9"), "another line");
    refused(&|line| format!("{line}\""), "quote");
    refused(&|line| "x".repeat(70_000) + line, "65536");
}

#[test]
fn patterns_become_files_by_name_and_each_is_taken_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["b.log", "a.log", "c.txt", "odd[1].log"] {
        fs::write(dir.path().join(name), "").expect("a file");
    }
    let at = |name: &str| dir.path().join(name);
    let files = expand(&[at("c.txt"), at("?.log"), at("a.log"), at("missing.log"), "-".into(), at("odd[1].log")]);
    let expected: Vec<PathBuf> =
        vec![at("c.txt"), at("a.log"), at("b.log"), at("missing.log"), "-".into(), at("odd[1].log")];
    assert_eq!(files.expect("the patterns are good"), expected);
    let error = expand(&[at("*.gz")]).expect_err("nothing fits").to_string();
    assert!(error.contains("no file fits") && error.contains("*.gz"), "{error}");
    assert!(expand(&[at("***")]).is_err());
}

#[test]
fn reasons_are_told_with_lines_and_without_what_stands_in_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("access.log");
    let text = lines(2000).replace("200 1", "999 1").replacen("999 1", "200 1", 2);
    fs::write(&path, format!("{text}192.0.2.7 nonsense\n")).expect("the log is written");
    let (report, _) = import(&path, LogFormat::Nginx);
    assert_eq!((report.lines, report.accepted, report.rejected), (2001, 2, 1999));
    assert_eq!(report.rejections.count(), 1999);
    let told: Vec<String> =
        report.rejections.by_frequency().iter().map(|(reason, lines)| format!("{}: {reason}", lines.lines())).collect();
    assert_eq!(
        told,
        [
            "line 3, line 4, line 5 and 1995 more: unparsable_line: field `status`: not a number from 100 to 599",
            "line 2001: unparsable_line: field `ident`: missing",
        ]
    );
    assert!(!told.concat().contains("192.0.2"));
}
