//! Somebody's access log goes the same way as requests do: record, worker, table. The log is its own spool.
//!
//! A line has a stable identity, the content of its file and its number, and the table knows how far each file was taken. So an
//! import that was cut off goes on, and one that was complete adds nothing.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressStyle};
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use whopulls_enrich::io::clock;
use whopulls_enrich::lake::{Added, DockerTable, Lake};
use whopulls_enrich::worker::source::DeadLetter;
use whopulls_enrich::worker::{WorkerMetrics, WorkerSummary};
use whopulls_ingest::import::{
    ImportError, ImportFile, ImportProgress, ImportReport, ImportRules, ImportedIds, LogFormat, NotTaken, RejectedLine,
    Shape, expand, read_log, read_report,
};
use whopulls_schemas::config::Config;

use crate::configuration::{ConfigArguments, lake_location};
use crate::dead_letters::DeadLetters;
use crate::import_source::ImportSource;
use crate::log;
use crate::question::thousands;
use crate::role::Worker;
use crate::shutdown;
use crate::spool_source::PARTITION;

/// Reasons that are printed; every refused line is in the dead letters.
const NAMED_MAX: usize = 20;

/// Refused lines that are held before they are written: at most 64 MiB of 64 KiB lines, and four times that of our own records.
const LETTERS_AT_ONCE: usize = 1000;

/// What standard input is called.
const STANDARD_INPUT: &str = "-";

/// Bring in somebody's access log.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The shape of the lines; without it, it is seen from the first lines of each file
    #[arg(long, value_name = "FORMAT", value_parser = formats())]
    format: Option<String>,
    /// The shape of the lines as nginx's configuration says it, as `$remote_addr [$time_local] "$request" $status`, `escape=json …`, or
    /// the whole directive
    #[arg(long, value_name = "LOG_FORMAT")]
    log_format: Option<String>,
    /// What of a path is the package, and what the version, as `/downloads/{package}` or `/{package}/{version}/{file}`; may be
    /// given more than once, the first that fits decides
    #[arg(long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// The logs, plain or packed by gzip or zstd: names, patterns in quotes, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(std::iter::once("auto").chain(LogFormat::ALL.iter().map(|format| format.as_str())))
}

/// `whopulls import`.
pub(crate) async fn import(arguments: &ConfigArguments, import: &ImportArguments) -> Result<()> {
    let (config, data) = arguments.read_with_data()?;
    let shape = Shape::parse(import.format.as_deref(), import.log_format.as_deref()).context("read the format")?;
    let rules = ImportRules::new(shape, &import.paths).map_err(|(path, error)| anyhow!("--path {path}: {error}"))?;
    let files = expand(&import.files).context("find the logs")?;
    let imports = data.join("imports");
    fs::create_dir_all(&imports).with_context(|| format!("make the folder {}", imports.display()))?;
    let mut ids = ImportedIds::at(imports.join("scarf-ids"));
    let stop = shutdown::on_signal()?;
    let started = Instant::now();
    let (mut total, mut failed) = (Total::default(), 0);
    for path in &files {
        let imported = import_one(&config, &data, path, rules.clone(), ids, stop.clone()).await;
        match imported.with_context(|| format!("import {}", path.display())) {
            Ok((done, known)) => {
                ids = known;
                done.print(path)?;
                ensure!(!stop.is_cancelled(), "stopped; the same command goes on where it was");
                // Now that the events are in the table, and not before.
                ids.keep().context("keep the identities of the events imported")?;
                total.add(&done);
            }
            // One that cannot be read holds the others up no more than it must.
            Err(error) if files.len() > 1 => {
                log::complain(&error);
                failed += 1;
                // What it took is in no table.
                ids = ImportedIds::at(imports.join("scarf-ids"));
            }
            Err(error) => return Err(error),
        }
    }
    if files.len() > 1 {
        total.print(files.len() - failed, started.elapsed())?;
    }
    ensure!(failed == 0, "{failed} of {} files were not imported; the others were", files.len());
    Ok(())
}

struct Done {
    report: ImportReport,
    letters: PathBuf,
    into: Destination,
    elapsed: Duration,
}

/// Where the lines went.
enum Destination {
    Events(WorkerSummary),
    /// A report's rows are sums: they stand beside the events.
    DockerPulls(Added),
}

/// Docker's report into its own table.
async fn import_report(config: &Config, data: &Path, file: ImportFile) -> Result<Done> {
    let started = Instant::now();
    let node = file.node().to_owned();
    let letters = DeadLetters::of(data, &node);
    let letters_path = letters.path().to_owned();
    let mut refused = Refused::new(node.clone(), letters);
    let reading = tokio::task::spawn_blocking(move || {
        let read = read_report(file, |line| refused.take(&line))?;
        refused.finish()?;
        anyhow::Ok(read)
    });
    let (report, rows) = reading.await.context("read the report")??;
    let (location, options) = (lake_location(config)?, &config.lake.options);
    let opening = || format!("open the lake {location}");
    // Questions are asked of the lake, which has events, be there none.
    Lake::open_or_create(&location, options).await.with_context(opening)?;
    let mut table = DockerTable::open_or_create(&location, options).await.with_context(opening)?;
    let added = table.add(&node, &rows, clock::now()).await.context("add the rows of the report")?;
    Ok(Done { report, letters: letters_path, into: Destination::DockerPulls(added), elapsed: started.elapsed() })
}

async fn import_one(
    config: &Config,
    data: &Path,
    path: &Path,
    rules: ImportRules,
    ids: ImportedIds,
    stop: CancellationToken,
) -> Result<(Done, ImportedIds)> {
    let started = Instant::now();
    let file = open(path, &data.join("imports"), rules).await?;
    if matches!(file.shape(), Shape::Known(LogFormat::Docker)) {
        return Ok((import_report(config, data, file).await?, ids));
    }
    let topic = file.node().to_owned();
    let bar = ProgressBar::new(file.size()).with_style(style()?);
    let worker = Worker::open(config, Duration::from_secs(5)).await?;
    let (mut source, records) = ImportSource::new(topic.clone());
    let (progress, letters) = (bar.clone(), DeadLetters::of(data, &topic));
    let letters_path = letters.path().to_owned();
    let mut refused = Refused::new(topic, letters);
    let reading = tokio::task::spawn_blocking(move || {
        let mut ids = ids;
        let pass = |batch| records.blocking_send(batch).map_err(|_| NotTaken::Closed);
        let on_progress = |at: ImportProgress| progress.set_position(at.bytes);
        let report = read_log(file, &mut ids, pass, |line| refused.take(&line), on_progress)?;
        refused.finish()?;
        anyhow::Ok((report, ids))
    });
    let metrics = WorkerMetrics::register(&mut Registry::default());
    let summary = worker.run(&mut source, &metrics, stop).await;
    // The reader of the log sees that nobody listens any more.
    drop(source);
    let read = reading.await.context("read the log")?;
    bar.finish_and_clear();
    let summary = summary?;
    let (report, ids) = match read {
        Err(error) if matches!(error.downcast_ref(), Some(ImportError::Take { source: NotTaken::Closed, .. })) => {
            return Err(anyhow!("stopped; the same command goes on where it was"));
        }
        read => read?,
    };
    let into = Destination::Events(summary);
    Ok((Done { report, letters: letters_path, into, elapsed: started.elapsed() }, ids))
}

/// Opens a log and says which format it was seen to have. It is read to its end for its identity, which may take long.
async fn open(path: &Path, folder: &Path, rules: ImportRules) -> Result<ImportFile> {
    let (path, folder) = (path.to_owned(), folder.to_owned());
    let is_auto = matches!(rules.shape(), Shape::Auto);
    let opening = tokio::task::spawn_blocking(move || {
        let file = if path.as_os_str() == STANDARD_INPUT {
            ImportFile::open_stream(&path, std::io::stdin().lock(), &folder, rules)?
        } else {
            ImportFile::open(&path, rules)?
        };
        if is_auto {
            writeln!(std::io::stdout(), "{}: read as {}", path.display(), file.shape())?;
        }
        anyhow::Ok(file)
    });
    opening.await.context("open the log")?
}

/// Refused lines on their way to the dead letters: a file of another format has as many as it has lines.
struct Refused {
    topic: String,
    letters: DeadLetters,
    waiting: Vec<DeadLetter>,
    outcome: std::io::Result<()>,
}

impl Refused {
    /// What an earlier import of the same file left is written anew.
    fn new(topic: String, letters: DeadLetters) -> Self {
        let outcome = letters.remove();
        Self { topic, letters, waiting: Vec::new(), outcome }
    }

    fn take(&mut self, line: &RejectedLine) {
        self.waiting.push(letter(&self.topic, line));
        if self.waiting.len() >= LETTERS_AT_ONCE {
            self.keep();
        }
    }

    fn keep(&mut self) {
        let letters = std::mem::take(&mut self.waiting);
        if self.outcome.is_ok() {
            self.outcome = self.letters.keep(&letters);
        }
    }

    fn finish(mut self) -> Result<()> {
        self.keep();
        let path = self.letters.path().display().to_string();
        self.outcome.with_context(|| format!("write the dead letters {path}"))
    }
}

fn style() -> Result<ProgressStyle> {
    let template = "[{bar:40}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    ProgressStyle::with_template(template).context("draw a progress bar")
}

pub(crate) fn letter(topic: &str, line: &RejectedLine) -> DeadLetter {
    DeadLetter {
        topic: topic.to_owned(),
        partition: PARTITION,
        offset: i64::try_from(line.line).unwrap_or(i64::MAX),
        reason: line.rejected.to_string(),
        payload: line.bytes.clone().into(),
    }
}

impl Done {
    /// Numbers of lines and reasons only: a line holds an address.
    fn print(&self, file: &Path) -> Result<()> {
        let Self { report, letters, into, elapsed } = self;
        let mut out = std::io::stdout().lock();
        let (name, there) = (file.display(), report.accepted.saturating_sub(into.added()));
        let known = there + report.duplicates;
        if into.added() == 0 && known > 0 {
            writeln!(out, "{name}: all {} lines are in the table already; nothing was added", thousands(known))?;
        } else {
            write!(out, "{name}: {} lines, {into}", thousands(report.lines))?;
            if there > 0 {
                write!(out, ", {} were in the table already", thousands(there))?;
            }
            if let Destination::Events(summary) = into {
                write!(out, " of {} organizations", thousands(summary.organizations.len() as u64))?;
            }
            writeln!(out, ", {}", rate(report.lines, *elapsed))?;
        }
        if report.duplicates > 0 {
            let repeats = thousands(report.duplicates);
            let what = match into {
                Destination::Events(_) => "events were imported before, by their own identity",
                Destination::DockerPulls(_) => "lines repeat another one of the report",
            };
            writeln!(out, "{repeats} {what}")?;
        }
        if report.passed_over > 0 {
            writeln!(out, "{} lines are about no request and were passed over", thousands(report.passed_over))?;
        }
        if report.rejected > 0 {
            let (count, kept) = (thousands(report.rejected), letters.display());
            let (lines, are) = if report.rejected == 1 { ("line", "is") } else { ("lines", "are") };
            writeln!(out, "{count} {lines} {are} not of the format, kept in {kept}:")?;
        }
        let reasons = report.rejections.by_frequency();
        for (reason, refusal) in reasons.iter().take(NAMED_MAX) {
            writeln!(out, "  {}: {reason}", refusal.lines())?;
        }
        let more = reasons.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            writeln!(out, "  and {more} more reasons")?;
        }
        Ok(())
    }
}

impl Destination {
    /// Events or rows that were not there before.
    fn added(&self) -> u64 {
        match self {
            Self::Events(summary) => summary.events,
            Self::DockerPulls(added) => added.new + added.corrected,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(summary) => write!(f, "{} events added", thousands(summary.events)),
            Self::DockerPulls(added) => {
                write!(
                    f,
                    "{} rows of Docker's sums added, {} corrected",
                    thousands(added.new),
                    thousands(added.corrected)
                )
            }
        }
    }
}

/// What several files gave.
#[derive(Default)]
struct Total {
    lines: u64,
    events: u64,
    rejected: u64,
}

impl Total {
    fn add(&mut self, done: &Done) {
        self.lines += done.report.lines;
        self.events += done.into.added();
        self.rejected += done.report.rejected;
    }

    fn print(&self, files: usize, elapsed: Duration) -> Result<()> {
        let [lines, events, rejected] = [self.lines, self.events, self.rejected].map(thousands);
        let rate = rate(self.lines, elapsed);
        writeln!(
            std::io::stdout(),
            "{files} files: {lines} lines, {events} events added, {rejected} lines refused, {rate}"
        )?;
        Ok(())
    }
}

/// `in 2.5 s (40,000 lines/s)`.
fn rate(lines: u64, elapsed: Duration) -> String {
    let millis = elapsed.as_millis().max(1);
    let per_second = u64::try_from(u128::from(lines) * 1000 / millis).unwrap_or(u64::MAX);
    format!("in {:.1} s ({} lines/s)", elapsed.as_secs_f64(), thousands(per_second))
}
