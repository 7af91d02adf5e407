//! `whopulls forget`: erase who asked, and prove it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use ipnet::IpNet;
use whopulls_enrich::endpoint::client_net_bits;
use whopulls_enrich::io::clock;
use whopulls_enrich::lake::change::RowChange;
use whopulls_enrich::lake::{FORGET_COLUMNS, FileState, FolderFile, Forgotten, Lake, LiveFile, Rules, Tally};
use whopulls_schemas::config::{IpMode, LakeUrl};

use crate::configuration::ConfigArguments;
use crate::overrides::{bar, days_between, open_lake, print};
use crate::question::thousands;

/// Times that the table is gone through: a worker may add a row of theirs meanwhile.
const ROUNDS_MAX: u32 = 3;

/// A file that no version names and that is older than this is not one that a worker is about to commit.
const ABANDONED_AFTER_US: i64 = 24 * 3600 * 1_000_000;

/// Erase who asked, from every file of the table.
///
/// The rows are kept and counted as before, without endpoint, network, place and organization, as for a client that asked not to be tracked.
/// The old files are removed at once, so earlier versions of the table cannot be read any more on the days concerned, and a query that
/// runs on one of them at this moment fails. Ends with status 1 unless nothing of them is left.
#[derive(Debug, Args)]
pub(crate) struct ForgetArguments {
    #[command(flatten)]
    whom: Whom,
    /// Remove the rows, so that they are not counted any more
    #[arg(long)]
    delete: bool,
    /// Do it; without this, only what would be erased is said
    #[arg(long)]
    yes: bool,
    /// No worker writes to this table now: also remove files of theirs that no version names, however young. Otherwise such a file goes when it
    /// is a day old, for a worker may be about to commit it
    #[arg(long)]
    workers_stopped: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// The `endpoint_id` of a client
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    endpoint: Option<i64>,
    /// A network, at the least a /24 or /48: no less is kept of an address
    #[arg(long, value_name = "CIDR")]
    network: Option<IpNet>,
    /// The `org_id` of an organization
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
}

impl Whom {
    fn read(&self, ip_mode: IpMode) -> Result<Forgotten> {
        match (self.endpoint, self.network, &self.organization) {
            (Some(id), _, _) => Ok(Forgotten::Endpoint(id)),
            (_, Some(net), _) => {
                let kept = if ip_mode == IpMode::Keep { net.max_prefix_len() } else { client_net_bits(&net) };
                ensure!(
                    net.prefix_len() <= kept,
                    "the table keeps /{kept} of an address, so it cannot tell {net} from its neighbours: give a /{kept} or larger"
                );
                Ok(Forgotten::Network(net.trunc()))
            }
            (_, _, Some(id)) => Ok(Forgotten::Organization(id.clone())),
            _ => bail!("give --endpoint, --network or --organization"),
        }
    }
}

/// `whopulls forget`.
pub(crate) async fn forget(arguments: &ConfigArguments, forget: &ForgetArguments) -> Result<()> {
    let config = arguments.read()?;
    let whom = forget.whom.read(config.enrich.ip_mode)?;
    let mut erasure = Erasure {
        lake: open_lake(&config).await?,
        whom,
        change: if forget.delete { RowChange::Delete } else { RowChange::Anonymize },
    };
    if !forget.yes {
        print(&erasure.plan().await?, "would be erased")?;
        bail!("nothing was erased; --yes does it");
    }
    print(&erasure.rewrite().await?, "erased")?;
    if let Forgotten::Organization(_) = erasure.whom {
        erasure.lake.forget_log().await.context("remove the log of earlier versions")?;
    }
    let mut kept_young = erasure.remove_files(forget.workers_stopped).await?;
    if let Some(LakeUrl::Folder(folder)) = config.lake_url() {
        kept_young += remove_half_written(&folder, forget.workers_stopped)?;
    }
    erasure.prove(kept_young).await
}

/// A writer that died may have left half a file beside the day's files, under a name that no listing of the table shows
/// (`part-….parquet#1`). What it holds cannot be read, so it goes whatever it is. Gives how many are too young for that.
fn remove_half_written(lake: &Path, workers_stopped: bool) -> Result<u64> {
    let mut kept_young = 0;
    for day in read_folder(lake)?.into_iter().filter(|entry| entry.is_dir()) {
        for file in read_folder(&day)? {
            let is_half = file.file_name().is_some_and(|name| name.to_string_lossy().contains(".parquet#"));
            // Gone meanwhile: its writer finished it.
            let Some(written) = file.metadata().ok().filter(|_| is_half) else { continue };
            let written_us = written.mtime().saturating_mul(1_000_000);
            if workers_stopped || clock::now().0.saturating_sub(written_us) > ABANDONED_AFTER_US {
                std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            } else {
                kept_young += 1;
            }
        }
    }
    Ok(kept_young)
}

fn read_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<std::io::Result<_>>().with_context(|| format!("list {}", folder.display()))
}

struct Erasure {
    lake: Lake,
    whom: Forgotten,
    change: RowChange,
}

impl Erasure {
    async fn plan(&mut self) -> Result<BTreeMap<String, Tally>> {
        let days = days_between(&mut self.lake, None, None).await?;
        let bar = bar("reading", &days)?;
        let mut tallies = BTreeMap::new();
        for (date, files) in days {
            let tally: &mut Tally = tallies.entry(date).or_default();
            for file in files {
                let mut decide = |batch: &_| self.whom.decide(batch, &self.change);
                let mut on_file = |file: &LiveFile| bar.inc(file.byte_count);
                let mut rules = Rules { columns: &FORGET_COLUMNS, decide: &mut decide, on_file: &mut on_file };
                tally.merge(&self.lake.examine(&file, &mut rules).await?);
            }
        }
        bar.finish_and_clear();
        Ok(tallies)
    }

    async fn rewrite(&mut self) -> Result<BTreeMap<String, Tally>> {
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        for _ in 0..ROUNDS_MAX {
            let days = days_between(&mut self.lake, None, None).await?;
            let bar = bar("erasing", &days)?;
            let mut found = false;
            for date in days.keys() {
                let mut decide = |batch: &_| self.whom.decide(batch, &self.change);
                let mut on_file = |file: &LiveFile| bar.inc(file.byte_count);
                let mut rules = Rules { columns: &FORGET_COLUMNS, decide: &mut decide, on_file: &mut on_file };
                let change = self.lake.rewrite_day(date, &mut rules, clock::now()).await;
                let change = change.with_context(|| format!("erase on {date}; the same command goes on from here"))?;
                found |= change.version.is_some();
                tallies.entry(date.clone()).or_default().merge(&change.tally);
            }
            bar.finish_and_clear();
            if !found {
                break;
            }
        }
        Ok(tallies)
    }

    async fn holds(&self, file: &FolderFile) -> Result<u64> {
        let mut decide = |batch: &_| self.whom.decide(batch, &self.change);
        let mut rules = Rules { columns: &FORGET_COLUMNS, decide: &mut decide, on_file: &mut |_| {} };
        self.lake
            .count(file, &mut rules)
            .await
            .with_context(|| format!("prove that {} holds nothing of them", file.path))
    }

    /// Removes files of theirs that the newest version does not need. Gives how many are too young to be removed.
    async fn remove_files(&mut self, workers_stopped: bool) -> Result<u64> {
        let mut kept_young = 0;
        for file in self.lake.folder().await? {
            let is_old = clock::now().0.saturating_sub(file.written_at.0) > ABANDONED_AFTER_US;
            let may_go = match file.state {
                FileState::Live => continue,
                FileState::Removed => true,
                FileState::Unnamed => workers_stopped || is_old,
            };
            if self.holds(&file).await? == 0 {
                continue;
            }
            if may_go {
                self.lake.delete(&file).await?;
            } else {
                kept_young += 1;
            }
        }
        Ok(kept_young)
    }

    /// Reads everything again.
    async fn prove(&mut self, kept_young: u64) -> Result<()> {
        let files = self.lake.folder().await?;
        let (mut in_table, mut in_folder) = (0, 0);
        for file in &files {
            let rows = self.holds(file).await?;
            in_folder += rows;
            in_table += if file.state == FileState::Live { rows } else { 0 };
        }
        let in_log = match &self.whom {
            Forgotten::Organization(id) => self.lake.log_entries_with(id).await?,
            Forgotten::Endpoint(_) | Forgotten::Network(_) => 0,
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "left in the table: {} events", thousands(in_table))?;
        writeln!(
            out,
            "left in {} Parquet files of the folder: {} events",
            thousands(files.len() as u64),
            thousands(in_folder)
        )?;
        if in_log > 0 {
            writeln!(out, "left in the log: {} entries", thousands(in_log))?;
        }
        ensure!(
            kept_young == 0,
            "{kept_young} files that no version names hold something of them, or are half written, and are younger than a day: a worker may be about to commit them. \
             Run this again in a day, or now with --workers-stopped while no worker runs"
        );
        ensure!((in_table, in_folder, in_log) == (0, 0, 0), "not everything is erased; run this again");
        Ok(())
    }
}
