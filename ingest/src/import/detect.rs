//! Which format a log has, from its first lines.

use super::header::{self, Header};
use super::log_format::{LogFormat, Shape};
use super::{ImportRules, Imported, Importer};

/// So many lines decide.
pub const DETECT_LINES: usize = 50;

/// The first lines do not say which format they have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// None of the formats reads at least half of them.
    #[error(
        "no format reads its first {DETECT_LINES} lines; say --log-format for an nginx log_format, or --format, one of {names}",
        names = LogFormat::names()
    )]
    None,
    /// Several read them equally well.
    #[error("its first lines are as well {}; say --format, one of {names}", .0.join(" as "), names = LogFormat::names())]
    Ambiguous(Vec<&'static str>),
}

/// How well a format reads lines: records, those of them with an address, lines passed over.
type Score = (usize, usize, usize);

/// The format that reads most of the lines.
pub(super) fn detect(lines: &[Vec<u8>]) -> Result<LogFormat, DetectError> {
    let lines: Vec<&[u8]> =
        lines.iter().map(Vec::as_slice).filter(|line| !line.is_empty()).take(DETECT_LINES).collect();
    if lines.is_empty() {
        // Of no lines any format makes nothing.
        return Ok(LogFormat::Nginx);
    }
    // Its lines are no records, so nothing else would speak for it.
    if lines.first().is_some_and(|first| header::read(first, LogFormat::Docker, &Header::Absent).is_some()) {
        return Ok(LogFormat::Docker);
    }
    let scores: Vec<(LogFormat, Score)> =
        LogFormat::ALL.iter().map(|format| (*format, score(*format, &lines))).collect();
    let enough =
        |(records, _, passed): &Score| *records > 0 && 2 * records + passed >= lines.len() || *passed == lines.len();
    let best = scores.iter().map(|(_, score)| *score).filter(enough).max().ok_or(DetectError::None)?;
    let mut found: Vec<LogFormat> =
        scores.iter().filter(|(_, score)| *score == best).map(|(format, _)| *format).collect();
    // A combined line is the same in both.
    if found.contains(&LogFormat::Nginx) {
        found.retain(|format| *format != LogFormat::Apache);
    }
    match found.as_slice() {
        [one] => Ok(*one),
        several => Err(DetectError::Ambiguous(several.iter().map(|format| format.as_str()).collect())),
    }
}

fn score(format: LogFormat, lines: &[&[u8]]) -> Score {
    let rules = ImportRules { shape: Shape::Known(format), patterns: [].into() };
    let mut importer = Importer::new(rules, "detect");
    let mut score = (0, 0, 0);
    for (line, number) in lines.iter().zip(1..) {
        match importer.line(number, line) {
            Imported::Record(record) => {
                score.0 += 1;
                score.1 += usize::from(record.client_ip.is_some());
            }
            Imported::PassedOver => score.2 += 1,
            Imported::Rejected(_) => {}
        }
    }
    score
}
