//! Somebody's access log goes the same way as requests do: spool, worker, table.
//!
//! A line has a stable identity, the content of its file and its number, and the table knows how far each file was taken. So an
//! import that was cut off goes on, and one that was complete adds nothing.

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
use whopulls_enrich::worker::source::DeadLetter;
use whopulls_enrich::worker::{WorkerMetrics, WorkerSummary};
use whopulls_ingest::import::{
    ImportFile, ImportReport, ImportRules, ImportedIds, LogFormat, RejectedLine, Shape, expand, import_file,
};
use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_schemas::config::Config;

use crate::configuration::ConfigArguments;
use crate::dead_letters::DeadLetters;
use crate::log;
use crate::question::thousands;
use crate::role::Worker;
use crate::shutdown;
use crate::spool_source::{PARTITION, SpoolSource};

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
    summary: WorkerSummary,
    elapsed: Duration,
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
    let topic = file.node().to_owned();
    let folder = data.join("imports").join(&topic);
    let bar = ProgressBar::new(file.size()).with_style(style("reading", "{bytes}/{total_bytes}, {bytes_per_sec}")?);
    let spool = empty_spool(&folder)?;
    let into = spool.clone();
    let progress = bar.clone();
    let letters = DeadLetters::of(data, &topic);
    let mut refused = Refused::new(topic.clone(), DeadLetters::of(data, &topic));
    let reading = tokio::task::spawn_blocking(move || {
        let mut ids = ids;
        let on_progress = |at: whopulls_ingest::import::ImportProgress| progress.set_position(at.bytes);
        let report = import_file(file, &into, &mut ids, |line| refused.take(&line), on_progress)?;
        refused.finish()?;
        anyhow::Ok((report, ids))
    });
    let (report, ids) = reading.await.context("read the log")??;
    bar.finish_and_clear();

    let metrics = WorkerMetrics::register(&mut Registry::default());
    let bar =
        ProgressBar::new(report.accepted).with_style(style("writing", "{human_pos}/{human_len} lines, {per_sec}")?);
    let letters_path = letters.path().to_owned();
    let mut source = SpoolSource::of_import(spool.reader("worker")?, topic, letters);
    let worker = Worker::open(config, Duration::from_secs(5)).await?;
    let stop_at = report.last_line.map_or(0, |line| i64::try_from(line).unwrap_or(i64::MAX).saturating_add(1));
    let work = worker.run(&mut source, &metrics, Some(stop_at), stop);
    let summary = show(&bar, &metrics, work).await?;
    bar.finish_and_clear();
    drop((source, spool));
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok((Done { report, letters: letters_path, summary, elapsed: started.elapsed() }, ids))
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

/// A spool with nothing in it: what an import that was killed left there is read from the log again.
fn empty_spool(folder: &Path) -> Result<Spool> {
    // The whole log is in it before the worker begins, so nothing of it may be dropped or refused: the disk is the bound.
    let options =
        || SpoolOptions { max_bytes: 1 << 50, max_age: Duration::from_hours(24 * 365), ..SpoolOptions::new(folder) };
    let open = || Spool::open(options()).context("open the import's spool");
    let (spool, recovery) = open()?;
    if recovery.segments <= 1 {
        return Ok(spool);
    }
    drop(spool);
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(open()?.0)
}

/// Moves the bar by what is committed, while the work goes on.
async fn show<T>(bar: &ProgressBar, metrics: &WorkerMetrics, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => bar.set_position(metrics.events.get()),
        }
    }
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

fn style(what: &str, counts: &str) -> Result<ProgressStyle> {
    ProgressStyle::with_template(&format!("{what} [{{bar:40}}] {counts}, {{eta}} left")).context("draw a progress bar")
}

fn letter(topic: &str, line: &RejectedLine) -> DeadLetter {
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
        let Self { report, letters, summary, elapsed } = self;
        let mut out = std::io::stdout().lock();
        let there = report.accepted.saturating_sub(summary.events);
        let name = file.display();
        if summary.events == 0 && report.accepted > 0 {
            writeln!(out, "{name}: all {} lines are in the table already; nothing was added", thousands(there))?;
        } else {
            write!(out, "{name}: {} lines, {} events added", thousands(report.lines), thousands(summary.events))?;
            if there > 0 {
                write!(out, ", {} were in the table already", thousands(there))?;
            }
            write!(out, " of {} organizations", thousands(summary.organizations.len() as u64))?;
            writeln!(out, ", {}", rate(report.lines, *elapsed))?;
        }
        if report.duplicates > 0 {
            writeln!(out, "{} events were imported before, by their own identity", thousands(report.duplicates))?;
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
        self.events += done.summary.events;
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
