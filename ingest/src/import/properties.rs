//! What holds for any bytes of a foreign log. Each property is a function that panics where it does not hold; the tests run it on made-up
//! input, the fuzz targets of `ingest/fuzz` on whatever leads to new code.

use whopulls_schemas::raw::RawAccess;

use super::detect::detect;
use super::format::docker;
use super::header::{self, Header};
use super::log_format::Shape;
use super::{ImportRules, Imported, Importer, LogFormat, LogTemplate};

/// Formats of words and quotes.
pub const OF_WORDS: [LogFormat; 5] =
    [LogFormat::Nginx, LogFormat::Apache, LogFormat::ApacheVhost, LogFormat::Alb, LogFormat::S3];
/// Formats of JSON objects.
pub const OF_JSON: [LogFormat; 4] = [LogFormat::Caddy, LogFormat::Fastly, LogFormat::Registry, LogFormat::Whopulls];
/// Formats of cells between separators.
pub const OF_CELLS: [LogFormat; 6] = [
    LogFormat::CloudFront,
    LogFormat::Gcs,
    LogFormat::Scarf,
    LogFormat::Linehaul,
    LogFormat::Rubygems,
    LogFormat::Artifactory,
];

/// Whatever the lines are, each is a record within the contract, a refusal without the line's content, or passed over.
pub fn every_line_is_a_record_or_refused(bytes: &[u8], formats: &[LogFormat]) {
    for format in formats {
        every_line(bytes, Shape::Known(*format));
    }
}

/// The same by a `log_format`, which is the first line. A format that is taken reads lines or refuses them.
pub fn a_log_format_reads_its_lines_or_refuses_them(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let Some(Ok(text)) = parts.next().map(str::from_utf8) else { return };
    let Ok(template) = LogTemplate::compile(text) else { return };
    every_line(parts.next().unwrap_or_default(), Shape::Template(template.into()));
}

/// The lines of a report are rows that read back, or refused.
pub fn a_report_reads_or_refuses(bytes: &[u8]) {
    let mut header = Header::Absent;
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(said) = header::read(line, LogFormat::Docker, &header) {
            header = said.header;
        } else if let Ok(row) = docker::parse(line, &header) {
            assert!(row.counts.iter().flatten().all(|count| *count >= 0), "{row:?}");
            assert!(row.texts.iter().flatten().all(|text| !text.is_empty()), "{row:?}");
        }
    }
}

/// Any first lines have a format, or it is said why not.
pub fn a_format_is_detected_or_not(bytes: &[u8]) {
    let lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if let Err(error) = detect(&lines) {
        assert!(error.to_string().contains("--format"), "{error}");
    }
}

fn every_line(bytes: &[u8], shape: Shape) {
    let paths = ["/{package}/{version}/{file}".to_owned(), "/{rest...}".to_owned()];
    let Ok(rules) = ImportRules::new(shape, &paths) else { return };
    let mut importer = Importer::new(rules, "import-0123456789abcdef");
    let (mut records, mut rejected, mut passed_over, mut lines) = (0, 0, 0, 0);
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        lines += 1;
        match importer.line(number, line) {
            Imported::Record(record) => {
                records += 1;
                assert_eq!((record.seq, record.node.as_str()), (number, "import-0123456789abcdef"));
                let read = RawAccess::decode(&record.encode());
                assert_eq!(read.as_ref(), Ok(&*record), "it does not read back");
            }
            Imported::Rejected(refused) => {
                rejected += 1;
                assert_eq!((refused.line, refused.bytes.as_slice()), (number, line));
                assert!(refused.rejected.detail.len() <= 256, "a long reason: {}", refused.rejected);
            }
            Imported::PassedOver => passed_over += 1,
        }
    }
    assert_eq!(lines, records + rejected + passed_over);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which lines are made that nearly fit.
    const PIECES: &str = r#"[ -~]{0,12}|[ \t|,"\[\]{}:-]|192\.0\.2\.1(:80)?|2001:db8::1|17/May/2015:08:05:32 \+0000|2024-01-1[0-9][T ]23:53:20(\.[0-9]{1,9})?Z?|Mon, 30 Nov 2015 21:00:05 GMT|"(GET|HEAD) /[a-z0-9/?.]{0,20} HTTP/1\.1"|/v2/[a-z/]{1,9}/manifests/[a-z]{1,5}|200|404|9|-|"-"|https|h2|#Version: [12]\.0|#Fields: date time cs-method|REST\.GET\.OBJECT|download|simple|\PC{0,3}|%[0-9a-fA-F]{2}|\\x[0-9a-f]{2}"#;

    fn near_misses() -> impl Strategy<Value = String> {
        let separator = prop::sample::select(vec![" ", "\t", "|", ",", "\",\"", "\n"]);
        (prop::collection::vec(PIECES, 0..40), separator).prop_map(|(pieces, separator)| pieces.join(separator))
    }

    /// Good lines of every format.
    const GOOD: [&str; 10] = [
        include_str!("../../fuzz/seeds/import_words/combined"),
        include_str!("../../fuzz/seeds/import_words/aws"),
        include_str!("../../fuzz/seeds/import_json/caddy"),
        include_str!("../../fuzz/seeds/import_json/fastly"),
        include_str!("../../fuzz/seeds/import_json/registry"),
        include_str!("../../fuzz/seeds/import_json/whopulls"),
        include_str!("../../fuzz/seeds/import_cells/cloudfront"),
        include_str!("../../fuzz/seeds/import_cells/csv"),
        include_str!("../../fuzz/seeds/import_cells/docker"),
        include_str!("../../fuzz/seeds/import_cells/pipes"),
    ];

    /// A good line in which some bytes are others, more or fewer.
    fn changed_lines() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3),
            "[ \t|,\"\\\\\n%:-]{0,2}".prop_map(String::into_bytes),
            "[0-9]{1,30}".prop_map(String::into_bytes),
        ];
        let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, bytes), 0..4);
        (prop::sample::select(GOOD.to_vec()), changes).prop_map(|(good, changes)| {
            let mut line = good.as_bytes().to_vec();
            for (at, removed, added) in changes {
                let start = at.index(line.len() + 1);
                let end = line.len().min(start + removed);
                line.splice(start..end, added);
            }
            line
        })
    }

    fn objects() -> impl Strategy<Value = String> {
        let field = r#""(ts|time|date_time|timestamp|request|method|url|status|version|http\.request\.method|http\.request\.uri|http\.response\.status|http\.response\.duration|level|msg|schema|id|seq|node|kind|path|ip)":("[a-z0-9:./ZT-]{0,24}"|-?[0-9]{1,18}(\.[0-9]{1,3})?|null|\{"(method|uri|headers)":("GET"|"/a"|\{"Range":\["bytes=1-"\]\})\})"#;
        prop::collection::vec(field, 0..12).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            every_line_is_a_record_or_refused(&bytes, LogFormat::ALL);
            a_report_reads_or_refuses(&bytes);
            a_format_is_detected_or_not(&bytes);
        }

        #[test]
        fn holds_for_lines_that_nearly_fit(line in near_misses()) {
            every_line_is_a_record_or_refused(line.as_bytes(), &OF_WORDS);
            every_line_is_a_record_or_refused(line.as_bytes(), &OF_CELLS);
            a_format_is_detected_or_not(line.as_bytes());
        }

        #[test]
        fn holds_for_good_lines_with_changes(lines in changed_lines()) {
            every_line_is_a_record_or_refused(&lines, LogFormat::ALL);
            a_report_reads_or_refuses(&lines);
            a_format_is_detected_or_not(&lines);
        }

        #[test]
        fn holds_for_objects_that_nearly_fit(line in objects(), head in "|<134>2024-01-16T23:53:20Z host name\\[1\\]: ") {
            every_line_is_a_record_or_refused(format!("{head}{line}").as_bytes(), &OF_JSON);
        }

        #[test]
        fn holds_for_any_log_format(
            escape in "|escape=json |escape=none |log_format a ",
            parts in prop::collection::vec(r#"\$(time_local|msec|status|request|request_method|uri|is_args|args|host|remote_addr|http_user_agent|x)|[ '"\[\]{};:-]|\PC{0,3}"#, 0..20),
            line in near_misses(),
        ) {
            let text = format!("{escape}$msec $status $request {}\n1.5 200 GET / HTTP/1.1 {line}\n{line}", parts.concat());
            a_log_format_reads_its_lines_or_refuses_them(text.as_bytes());
        }
    }

    #[test]
    fn good_lines_are_records() {
        for format in LogFormat::ALL.iter().filter(|format| **format != LogFormat::Docker) {
            let rules = ImportRules::new(*format, &[]).expect("no patterns");
            let mut importer = Importer::new(rules, "n");
            let lines = GOOD.iter().flat_map(|good| good.lines());
            let records = lines
                .zip(1..)
                .filter(|(line, number)| matches!(importer.line(*number, line.as_bytes()), Imported::Record(_)));
            assert!(records.count() > 0, "no line of {format}");
        }
        let rows = GOOD
            .iter()
            .flat_map(|good| good.lines())
            .filter(|line| docker::parse(line.as_bytes(), &Header::Absent).is_ok());
        assert_eq!(rows.count(), 1, "a report has rows and no records");
    }

    #[test]
    fn every_format_belongs_to_a_family() {
        let families = [OF_WORDS.as_slice(), OF_JSON.as_slice(), OF_CELLS.as_slice()].concat();
        let has_one = |format: &LogFormat| families.contains(format) || *format == LogFormat::Docker;
        assert!(LogFormat::ALL.iter().all(has_one), "a report is read by itself");
    }
}
