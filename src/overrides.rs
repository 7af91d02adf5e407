//! `whopulls overrides`: what the operator knows better than the databases, for what comes and for what was recorded.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use whopulls_enrich::io::clock;
use whopulls_enrich::lake::{Counts, Holder, Lake, LiveFile, Rules, Tally, Transition};
use whopulls_enrich::overrides::{Overrides, READ_COLUMNS, Reenricher, Scope};
use whopulls_schemas::config::Config;

use crate::configuration::{ConfigArguments, lake_location};
use crate::question::{day_range, thousands};
use crate::role::{open_database, open_overrides};

/// Organizations whose changes are printed; the rest is summed.
const TRANSITIONS_SHOWN_MAX: usize = 50;

/// Overrides: networks, organizations, opt-outs.
#[derive(Debug, Subcommand)]
pub(crate) enum OverridesCommand {
    /// Say whether the file is right, or every mistake in it
    Check {
        /// The file; `enrich.overrides_file` of the configuration where none is named
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Say what `apply` would change of the past, and change nothing
    Plan(PastArguments),
    /// Bring the past in line: one commit for each day that changes; stopped anywhere, the same command goes on
    Apply(PastArguments),
}

/// Which part of the past.
#[derive(Debug, Args)]
pub(crate) struct PastArguments {
    /// The first UTC day, as 2026-11-24
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last UTC day, included
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Compute every event anew from the current databases too, not only those that an override speaks of
    #[arg(long)]
    all: bool,
}

/// Runs a command on the overrides.
pub(crate) async fn run(arguments: &ConfigArguments, command: &OverridesCommand) -> Result<()> {
    match command {
        OverridesCommand::Check { file: Some(file) } => check(file),
        OverridesCommand::Check { file: None } => match arguments.read()?.enrich.overrides_file {
            Some(file) => check(&file),
            None => bail!("no overrides are named: give a FILE, or set `enrich.overrides_file` in the configuration"),
        },
        OverridesCommand::Plan(past) => Past::open(arguments, past).await?.plan().await,
        OverridesCommand::Apply(past) => Past::open(arguments, past).await?.apply().await,
    }
}

fn check(file: &Path) -> Result<()> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("read the overrides {name}"))?;
    let overrides = Overrides::parse(&name, &text)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name}: right. Version {}", overrides.version().unwrap_or_default())?;
    for net in overrides.finer_than_the_table() {
        writeln!(
            out,
            "  {net} is smaller than what the table keeps of an address (/24, /48): it holds for what comes, not for the past"
        )?;
    }
    Ok(())
}

/// The past that a command is about, and the judge of it.
struct Past {
    lake: Lake,
    judge: Reenricher,
    days: BTreeMap<String, Vec<LiveFile>>,
}

impl Past {
    async fn open(arguments: &ConfigArguments, past: &PastArguments) -> Result<Self> {
        let config = arguments.read()?;
        let scope = if past.all { Scope::All } else { Scope::Overridden };
        let database = open_database(&config).await?;
        let overrides = open_overrides(&config)?.current();
        if overrides.version().is_none() && !past.all {
            bail!(
                "no overrides are named: set `enrich.overrides_file` in the configuration; an empty file takes back what an earlier one said. \
                 After an update of the network database, give --all"
            );
        }
        let mut lake = open_lake(&config).await?;
        let days = days_between(&mut lake, past.from.as_deref(), past.to.as_deref()).await?;
        Ok(Self { lake, judge: Reenricher::new(database.snapshot(), overrides, scope), days })
    }

    async fn plan(self) -> Result<()> {
        let Self { lake, mut judge, days } = self;
        let bar = bar("reading", &days)?;
        let mut tallies = BTreeMap::new();
        for (date, files) in &days {
            let tally: &mut Tally = tallies.entry(date.clone()).or_default();
            for file in files {
                let mut decide = |batch: &_| judge.decide(batch);
                let mut on_file = |file: &LiveFile| bar.inc(file.byte_count);
                let mut rules = Rules { columns: &READ_COLUMNS, decide: &mut decide, on_file: &mut on_file };
                tally.merge(&lake.examine(file, &mut rules).await?);
            }
        }
        bar.finish_and_clear();
        print(&tallies, "would change")
    }

    async fn apply(self) -> Result<()> {
        let Self { mut lake, mut judge, days } = self;
        let bar = bar("rewriting", &days)?;
        let mut tallies = BTreeMap::new();
        for date in days.keys() {
            let mut decide = |batch: &_| judge.decide(batch);
            let mut on_file = |file: &LiveFile| bar.inc(file.byte_count);
            let mut rules = Rules { columns: &READ_COLUMNS, decide: &mut decide, on_file: &mut on_file };
            let change = lake.rewrite_day(date, &mut rules, clock::now()).await.with_context(|| {
                format!("rewrite {date}; the days before it are done, and the same command goes on from here")
            })?;
            tallies.insert(date.clone(), change.tally);
        }
        bar.finish_and_clear();
        print(&tallies, "changed")
    }
}

/// The lake, which must be there: a command on the past does not make one.
pub(crate) async fn open_lake(config: &Config) -> Result<Lake> {
    let location = lake_location(config)?;
    Lake::open(&location, &config.lake.options).await.with_context(|| format!("open the lake {location}"))
}

/// The days of the table in a range, both ends included.
pub(crate) async fn days_between(
    lake: &mut Lake,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<BTreeMap<String, Vec<LiveFile>>> {
    let range = day_range(from, to)?;
    let mut days = lake.live_days().await?;
    days.retain(|date, _| range.contains(date));
    Ok(days)
}

/// A bar over the bytes of the days' files; nothing where nobody watches.
pub(crate) fn bar(what: &str, days: &BTreeMap<String, Vec<LiveFile>>) -> Result<ProgressBar> {
    let bytes = days.values().flatten().map(|file| file.byte_count).sum();
    let template = format!("{what} [{{bar:40}}] {{bytes}}/{{total_bytes}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).context("draw a progress bar")?;
    Ok(ProgressBar::new(bytes).with_style(style))
}

/// From whom to whom, then by day, then the sum.
pub(crate) fn print(days: &BTreeMap<String, Tally>, changed: &str) -> Result<()> {
    let mut all = Tally::default();
    for tally in days.values() {
        all.merge(tally);
    }
    let mut out = std::io::stdout().lock();
    write_transitions(&mut out, &all)?;
    for (date, tally) in days.iter().filter(|(_, tally)| !tally.transitions.is_empty()) {
        writeln!(out, "{date}: {}", counted(&tally.total()))?;
    }
    let changed_days = days.values().filter(|tally| !tally.transitions.is_empty()).count();
    writeln!(
        out,
        "{changed}: {}, on {changed_days} of {} days; {} events read",
        counted(&all.total()),
        days.len(),
        thousands(all.rows_read)
    )?;
    Ok(())
}

/// A table, most downloads first.
fn write_transitions(out: &mut impl std::io::Write, all: &Tally) -> Result<()> {
    let mut transitions: Vec<(&Transition, &Counts)> = all.transitions.iter().collect();
    transitions.sort_by_key(|(_, counts)| std::cmp::Reverse((counts.downloads, counts.events)));
    let shown = transitions.iter().take(TRANSITIONS_SHOWN_MAX);
    let rows: Vec<[String; 4]> = [["was", "is then", "events", "downloads"].map(str::to_owned)]
        .into_iter()
        .chain(shown.map(|(transition, counts)| {
            let (from, to) = (holder(&transition.from), holder(&transition.to));
            [from, to, thousands(counts.events), thousands(counts.downloads)]
        }))
        .collect();
    if rows.len() == 1 {
        return Ok(());
    }
    let width =
        |column: fn(&[String; 4]) -> &String| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
    let (from_width, to_width) = (width(|row| &row[0]), width(|row| &row[1]));
    for [from, to, events, downloads] in &rows {
        writeln!(out, "{from:<from_width$}  {to:<to_width$}  {events:>12}  {downloads:>12}")?;
    }
    if transitions.len() > TRANSITIONS_SHOWN_MAX {
        writeln!(out, "and {} more", thousands((transitions.len() - TRANSITIONS_SHOWN_MAX) as u64))?;
    }
    writeln!(out)?;
    Ok(())
}

fn counted(counts: &Counts) -> String {
    format!("{} events, {} downloads", thousands(counts.events), thousands(counts.downloads))
}

fn holder(holder: &Holder) -> String {
    match (&holder.org_id, &holder.network_kind) {
        (Some(id), _) => id.clone(),
        (None, Some(kind)) => format!("({kind})"),
        (None, None) => "(nobody)".to_owned(),
    }
}
