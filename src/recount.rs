//! `whopulls recount`: the counting rule of today over what was recorded.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Args;
use whopulls_enrich::io::clock;
use whopulls_enrich::lake::LiveFile;

use crate::configuration::ConfigArguments;
use crate::overrides::{bar, days_between, open_lake};
use crate::question::thousands;

/// Count what was recorded by the rule of today.
#[derive(Debug, Args)]
pub(crate) struct RecountArguments {
    /// The first UTC day, as 2026-11-24
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last UTC day, included
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    plan: bool,
}

/// One commit for each day that changes; stopped anywhere, the same command goes on.
pub(crate) async fn recount(arguments: &ConfigArguments, recount: &RecountArguments) -> Result<()> {
    let config = arguments.read()?;
    let mut lake = open_lake(&config).await?;
    let days = days_between(&mut lake, recount.from.as_deref(), recount.to.as_deref()).await?;
    let bar = bar("counting", &days)?;
    let (mut changes, mut rows, mut more) = (BTreeMap::new(), 0, 0);
    // A day begins with what the one before it ends with, so they go in their order.
    for (date, files) in &days {
        let counted = lake.recount(date).await.with_context(|| format!("count {date}"))?;
        if !recount.plan && !counted.changes.is_empty() {
            let mut on_file = |_: &LiveFile| {};
            lake.apply_recount(date, &counted, &mut on_file, clock::now()).await.with_context(|| {
                format!("rewrite {date}; the days before it are done, and the same command goes on from here")
            })?;
        }
        for (change, count) in &counted.changes {
            *changes.entry(*change).or_insert(0) += count;
        }
        rows += counted.rows;
        more += counted.downloads_more();
        bar.inc(files.iter().map(|file| file.byte_count).sum());
    }
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    for ((was, is), count) in &changes {
        let what = if was == is { "keeps its action, changes its pull, platform or tag" } else { "" };
        writeln!(out, "{was:>13} -> {is:<13} {:>12}  {what}", thousands(*count))?;
    }
    let done = if recount.plan { "would change" } else { "changed" };
    let sum: u64 = changes.values().sum();
    writeln!(
        out,
        "{done}: {} of {} events on {} days; downloads {more:+}",
        thousands(sum),
        thousands(rows),
        days.len()
    )?;
    Ok(())
}
