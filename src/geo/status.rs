//! `whopulls geo status`: which databases are in use, how old they are and where they came from.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use chrono::DateTime;
use indicatif::HumanBytes;
use whopulls_enrich::geo::{Database, DatabaseInfo};
use whopulls_enrich::io::clock;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::config::{Config, GeoSourceConfig};

use super::installed::{Installed, Standing, is_same_path, standing, unread};
use super::update::{in_place, info_in_place};
use crate::configuration::ConfigArguments;
use crate::log;

/// Says which data is in use: of the files that are named, or of those of the configuration.
pub(super) async fn status(arguments: &ConfigArguments, files: &[PathBuf]) -> Result<()> {
    if !files.is_empty() {
        let opened = Database::open(files).context("open the network database")?;
        writeln!(std::io::stdout(), "{}", opened.snapshot().version())?;
        return Ok(());
    }
    let config = arguments.read()?;
    let now = clock::now();
    let (mut infos, mut lines, mut failed) = (Vec::new(), Vec::new(), 0_usize);
    for file in &config.enrich.geo_databases {
        match info_in_place(file).await {
            Ok(info) => {
                lines.push(told(&file.display().to_string(), &info, now));
                infos.push(info);
            }
            Err(error) => {
                failed += 1;
                lines.push(format!("{}: cannot be used", file.display()));
                log::complain(&error);
            }
        }
        if let Some(source) = config.geo.sources.iter().find(|source| is_same_path(&source.file, file)) {
            lines.push(origin(source).await?);
        }
    }
    let default = DatabaseInfo::of_default().context("open the network database")?;
    lines.push(told("default, inside the program", &default, now));
    infos.push(default);
    lines.extend(unread_lines(&config).await?);
    let versions: Vec<&str> = infos.iter().map(|info| info.version.as_str()).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", versions.join("+"))?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    ensure!(failed == 0, "{failed} of {} databases cannot be used", config.enrich.geo_databases.len());
    Ok(())
}

async fn unread_lines(config: &Config) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in unread(config) {
        lines.push(format!("{}: nobody reads it, for `enrich.geo_databases` does not name it", file.display()));
        if let Some(source) = config.geo.sources.iter().find(|source| source.file == file) {
            lines.push(origin(source).await?);
        }
    }
    Ok(lines)
}

fn told(name: &str, info: &DatabaseInfo, now: UnixMicros) -> String {
    let (kind, size) = (&info.database_type, HumanBytes(info.byte_count));
    let days = days_since(info.build_epoch_s, now);
    let unit = if days == 1 { "day" } else { "days" };
    format!("{name}: {kind}, built {} ({days} {unit} ago), {size}", day(info.build_epoch_s))
}

async fn origin(source: &GeoSourceConfig) -> Result<String> {
    let (installed, digest) = in_place(&source.file).await?;
    Ok(format!("  {}", told_origin(source, installed.as_ref(), standing(installed.as_ref(), digest.as_deref()))))
}

fn told_origin(source: &GeoSourceConfig, installed: Option<&Installed>, standing: Standing) -> String {
    let Some(Installed { url, at, .. }) = installed else {
        return format!("source {}: never installed by `whopulls geo update`", source.url);
    };
    let since = match standing {
        Standing::Same => "the file is that one",
        Standing::Replaced => "the file has been replaced by another one since",
        Standing::Gone | Standing::NeverInstalled => "the file is not there any more",
    };
    let own = source.url.to_string();
    let from = if *url == own { String::new() } else { format!(" from {url}") };
    format!("source {own}: installed {at}{from}; {since}")
}

/// The UTC day of a build.
pub(super) fn day(epoch_s: u64) -> String {
    let moment = i64::try_from(epoch_s).ok().and_then(|epoch_s| DateTime::from_timestamp(epoch_s, 0));
    moment.map_or_else(|| "unknown".to_owned(), |moment| moment.format("%Y-%m-%d").to_string())
}

/// Whole days; 0 for one that is yet to come.
fn days_since(epoch_s: u64, now: UnixMicros) -> u64 {
    let now_s = u64::try_from(now.0 / 1_000_000).unwrap_or_default();
    now_s.saturating_sub(epoch_s) / 86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_whole_days() {
        let now = UnixMicros(86_400_000_000 * 10);
        let days = |epoch_s: u64| days_since(epoch_s, now);
        assert_eq!([days(0), days(86_400 * 9), days(86_400 * 9 + 1), days(86_400 * 11)], [10, 1, 0, 0]);
        assert_eq!(day(1_764_000_000), "2025-11-24");
        assert_eq!(day(u64::MAX), "unknown");
    }

    #[test]
    fn a_source_tells_whether_the_file_is_its_own() {
        let digest = "0".repeat(64);
        let text =
            format!("[[geo.source]]\nfile = 'a'\nurl = 'https://a.example.org/a?token=hunter2'\nsha256 = '{digest}'\n");
        let config = Config::parse("f", &text, &[]).expect("right");
        let source = config.geo.sources.first().expect("a source");
        let installed = |url: &str| Installed {
            url: url.to_owned(),
            download_sha256: digest.clone(),
            file_sha256: digest.clone(),
            at: "2026-11-24T06:25:00Z".to_owned(),
        };
        let told = |url: Option<&str>, standing| told_origin(source, url.map(installed).as_ref(), standing);
        let own = Some("https://a.example.org/a");
        assert_eq!(
            told(own, Standing::Same),
            "source https://a.example.org/a: installed 2026-11-24T06:25:00Z; the file is that one"
        );
        assert!(told(own, Standing::Replaced).ends_with("replaced by another one since"));
        assert!(told(own, Standing::Gone).ends_with("not there any more"));
        assert!(told(None, Standing::NeverInstalled).contains("never installed"));
        assert!(
            told(Some("https://old.example.org/a"), Standing::Same)
                .contains("installed 2026-11-24T06:25:00Z from https://old.example.org/a;")
        );
    }
}
