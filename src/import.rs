//! Somebody's access log goes the same way as requests do: spool, worker, table.
//!
//! A line has a stable identity, the content of its file and its number, and the table knows how far each file was taken. So an
//! import that was cut off goes on, and one that was complete adds nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use whopulls_enrich::worker::source::DeadLetter;
use whopulls_enrich::worker::{WorkerMetrics, WorkerSummary};
use whopulls_ingest::import::{ImportFile, ImportReport, ImportRules, LogFormat, RejectedLine, import_file};
use whopulls_ingest::spool::{Spool, SpoolOptions};
use whopulls_schemas::config::Config;

use crate::configuration::ConfigArguments;
use crate::dead_letters::DeadLetters;
use crate::question::thousands;
use crate::role::Worker;
use crate::shutdown;
use crate::spool_source::{PARTITION, SpoolSource};

/// Refused lines that are printed; all of them are in the dead letters.
const NAMED_MAX: usize = 20;

/// Refused lines that are held before they are written: at most 64 MiB of 64 KiB lines.
const LETTERS_AT_ONCE: usize = 1000;

/// Bring in somebody's access log.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The shape of the lines
    #[arg(long, value_enum)]
    format: Format,
    /// What of a path is the package, and what the version, as `/downloads/{package}` or `/{package}/{version}/{file}`; may be
    /// given more than once, the first that fits decides
    #[arg(long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// The logs
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// nginx's `combined`
    Nginx,
    /// Apache's `common` or `combined`
    Apache,
}

/// `whopulls import`.
pub(crate) async fn import(arguments: &ConfigArguments, import: &ImportArguments) -> Result<()> {
    let (config, data) = arguments.read_with_data()?;
    let format = match import.format {
        Format::Nginx => LogFormat::Nginx,
        Format::Apache => LogFormat::Apache,
    };
    let rules =
        ImportRules::new(format, &import.paths).map_err(|(pattern, error)| anyhow!("--path {pattern}: {error}"))?;
    let stop = shutdown::on_signal()?;
    for file in &import.files {
        let imported = import_one(&config, &data, file, rules.clone(), stop.clone()).await;
        let done = imported.with_context(|| format!("import {}", file.display()))?;
        done.print(file)?;
        ensure!(!stop.is_cancelled(), "stopped; the same command goes on where it was");
    }
    Ok(())
}

struct Done {
    report: ImportReport,
    rejected: Vec<RejectedLine>,
    letters: PathBuf,
    summary: WorkerSummary,
}

async fn import_one(
    config: &Config,
    data: &Path,
    path: &Path,
    rules: ImportRules,
    stop: CancellationToken,
) -> Result<Done> {
    let file = ImportFile::open(path, rules)?;
    let topic = file.node().to_owned();
    let folder = data.join("imports").join(&topic);
    let bar = ProgressBar::new(file.size()).with_style(style("reading", "{bytes}/{total_bytes}, {bytes_per_sec}")?);
    let spool = empty_spool(&folder)?;
    let into = spool.clone();
    let progress = bar.clone();
    let letters = DeadLetters::of(data, &topic);
    let mut refused = Refused::new(topic.clone(), DeadLetters::of(data, &topic));
    let reading = tokio::task::spawn_blocking(move || {
        let on_progress = |at: whopulls_ingest::import::ImportProgress| progress.set_position(at.bytes);
        let report = import_file(file, &into, |line| refused.take(line), on_progress)?;
        anyhow::Ok((report, refused.finish()?))
    });
    let (report, rejected) = reading.await.context("read the log")??;
    bar.finish_and_clear();

    let metrics = WorkerMetrics::register(&mut Registry::default());
    let bar =
        ProgressBar::new(report.accepted).with_style(style("writing", "{human_pos}/{human_len} lines, {per_sec}")?);
    let letters_path = letters.path().to_owned();
    let mut source = SpoolSource::of_import(spool.reader("worker")?, topic, letters);
    let worker = Worker::open(config, std::time::Duration::from_secs(5)).await?;
    let stop_at = report.last_line.map_or(0, |line| i64::try_from(line).unwrap_or(i64::MAX).saturating_add(1));
    let work = worker.run(&mut source, &metrics, Some(stop_at), stop);
    let summary = show(&bar, &metrics, work).await?;
    bar.finish_and_clear();
    drop((source, spool));
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(Done { report, rejected, letters: letters_path, summary })
}

/// A spool with nothing in it: what an import that was killed left there is read from the log again.
fn empty_spool(folder: &Path) -> Result<Spool> {
    let open = || Spool::open(SpoolOptions::new(folder)).context("open the import's spool");
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
    named: Vec<RejectedLine>,
    outcome: std::io::Result<()>,
}

impl Refused {
    /// What an earlier import of the same file left is written anew.
    fn new(topic: String, letters: DeadLetters) -> Self {
        let outcome = letters.remove();
        Self { topic, letters, waiting: Vec::new(), named: Vec::new(), outcome }
    }

    fn take(&mut self, line: RejectedLine) {
        self.waiting.push(letter(&self.topic, &line));
        if self.named.len() < NAMED_MAX {
            self.named.push(line);
        }
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

    /// The first of them, to be named.
    fn finish(mut self) -> Result<Vec<RejectedLine>> {
        self.keep();
        let path = self.letters.path().display().to_string();
        self.outcome.with_context(|| format!("write the dead letters {path}"))?;
        Ok(self.named)
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
    fn print(&self, file: &Path) -> Result<()> {
        let Self { report, rejected, letters, summary } = self;
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
            writeln!(out)?;
        }
        if !rejected.is_empty() {
            let (count, kept) = (thousands(report.rejected), letters.display());
            let (lines, are) = if report.rejected == 1 { ("line", "is") } else { ("lines", "are") };
            writeln!(out, "{count} {lines} {are} not of the format, kept in {kept}:")?;
        }
        for RejectedLine { line, rejected, .. } in rejected {
            writeln!(out, "  line {line}: {rejected}")?;
        }
        let more = report.rejected - rejected.len() as u64;
        if more > 0 {
            writeln!(out, "  and {} more", thousands(more))?;
        }
        Ok(())
    }
}
