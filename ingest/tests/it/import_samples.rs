//! Every sample of foreign logs, line by line: what each became.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use whopulls_ingest::import::{ImportFile, ImportRules, Imported, Importer, LogFormat, LogTemplate, Shape};

use crate::support::is_here;

fn sample(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/logs/formats").join(name);
    is_here(&path).then_some(path)
}

/// A line a result: the record without what is the same everywhere, or the refusal.
fn results(bytes: &[u8], shape: Shape, paths: &[&str]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let rules = ImportRules::new(shape, &paths).expect("the patterns are good");
    let mut importer = Importer::new(rules, "import-1");
    let mut out = String::new();
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
    for (line, number) in lines.zip(1..) {
        let text = match importer.line(number, line) {
            Imported::Record(record) => brief(&record.encode()),
            Imported::Rejected(line) => format!("refused {}", line.rejected),
            Imported::PassedOver => "passed over".to_owned(),
        };
        writeln!(out, "{number}: {text}").expect("memory");
    }
    out
}

fn brief(record: &[u8]) -> String {
    let Value::Object(mut record) = serde_json::from_slice(record).expect("JSON") else { panic!("no object") };
    let mut out = String::new();
    for name in ["kind", "method", "path", "status", "bytes"] {
        let value = record.remove(name).expect("a field that is always there");
        write!(out, "{} ", value.as_str().map_or_else(|| value.to_string(), str::to_owned)).expect("memory");
    }
    for same in ["schema", "node", "seq", "id", "client_ip_source"] {
        record.remove(same);
    }
    record.retain(|name, value| name != "duration_us" || value.as_u64() != Some(0));
    out.push_str(&Value::Object(record).to_string());
    out
}

fn golden(name: &str, format: LogFormat, paths: &[&str]) {
    let Some(path) = sample(name) else { return };
    // Of the files of errors most lines are none of the format.
    if !name.contains("errors") {
        let rules = ImportRules::new(Shape::Auto, &[]).expect("no patterns");
        let file = ImportFile::open(&path, rules).expect("it is detected");
        assert_eq!(file.shape().to_string(), format.as_str(), "what {name} is");
    }
    let bytes = fs::read(&path).expect("the sample");
    let snapshot = name.replace('.', "_");
    insta::assert_snapshot!(snapshot, results(&bytes, Shape::Known(format), paths));
}

const CRATES: [&str; 2] = ["/crates/{package}/{version}/download", "/crates/{package}/{file}"];

#[test]
fn cloudfront_of_crates_io() {
    for name in ["basic", "percent-encoding", "recoverable-errors", "unrelated-traffic"] {
        golden(&format!("cratesio_cloudfront_{name}.log"), LogFormat::CloudFront, &CRATES);
    }
    // Of a version that is not known nothing is read, so it cannot be detected.
    let Some(path) = sample("cratesio_cloudfront_unknown-version.log") else { return };
    let bytes = fs::read(path).expect("the sample");
    insta::assert_snapshot!(results(&bytes, Shape::Known(LogFormat::CloudFront), &[]));
}

#[test]
fn fastly_of_crates_io() {
    for name in ["basic", "full-info", "percent-encoding", "recoverable-errors", "unrelated-traffic"] {
        golden(&format!("cratesio_fastly_{name}.log"), LogFormat::Fastly, &CRATES);
    }
}

#[test]
fn python_and_ruby() {
    golden("pypi_linehaul_downloads.log", LogFormat::Linehaul, &[]);
    golden("pypi_linehaul_simple.log", LogFormat::Linehaul, &[]);
    golden("rubygems_fastly_fake.log", LogFormat::Rubygems, &["/production.s3.rubygems.org/gems/{file}"]);
}

/// Files of lines of many formats, under `### name (count)`. Each section is read by each format that could be meant.
fn sections(name: &str, formats: &[(&str, &[LogFormat])]) {
    let Some(path) = sample(name) else { return };
    let text = fs::read_to_string(&path).expect("the sample");
    let mut found = 0;
    for section in text.split("### ").skip(1) {
        let (title, lines) = section.split_once('\n').expect("a title");
        let title = title.split(' ').next().unwrap_or_default();
        let formats = formats.iter().find(|(known, _)| *known == title).map(|(_, formats)| *formats);
        for format in formats.unwrap_or_else(|| panic!("a section {title}")) {
            let name = format!("{}_{title}_{format}", name.trim_end_matches(".txt"));
            insta::assert_snapshot!(name, results(lines.as_bytes(), Shape::Known(*format), &[]));
        }
        found += 1;
    }
    assert_eq!(found, formats.len());
}

#[test]
fn what_logstash_is_tested_with() {
    sections(
        "logstash_grok_examples.txt",
        &[
            ("aws", &[LogFormat::Alb, LogFormat::S3, LogFormat::CloudFront]),
            ("httpd", &[LogFormat::Apache]),
            ("haproxy", &[LogFormat::Apache]),
            ("squid", &[LogFormat::Apache]),
        ],
    );
}

#[test]
fn what_vector_is_tested_with() {
    sections(
        "vrl_parse_examples.txt",
        &[
            ("parse_apache_log", &[LogFormat::Apache]),
            ("parse_nginx_log", &[LogFormat::Nginx]),
            ("parse_common_log", &[LogFormat::Apache]),
            ("parse_aws_alb_log", &[LogFormat::Alb]),
        ],
    );
}

#[test]
fn a_log_format_reads_a_real_log_as_its_name_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/logs/nginx_package_downloads.log");
    if !is_here(&path) {
        return;
    }
    let bytes = fs::read(path).expect("the sample");
    let combined = r#"log_format combined '$remote_addr - $remote_user [$time_local] '
                    '"$request" $status $body_bytes_sent '
                    '"$http_referer" "$http_user_agent"';"#;
    let template = LogTemplate::compile(combined).expect("nginx's own");
    let paths = ["/downloads/{package}"];
    let by_format = results(&bytes, Shape::Template(template.into()), &paths);
    assert!(by_format == results(&bytes, Shape::Known(LogFormat::Nginx), &paths), "they differ");
}
