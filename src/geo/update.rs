//! `whopulls geo update`: each database of `[[geo.source]]` made the one that its provider gives now.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use whopulls_enrich::geo::DatabaseInfo;
use whopulls_enrich::io::clock;
use whopulls_schemas::config::{GeoChecksum, GeoSourceConfig, SecretSource};

use super::download::Downloader;
use super::hop::Authorization;
use super::install::{Download, digest_in_place, folder_of, install, remembered};
use super::installed::{Installed, is_current, unread};
use super::status::day;
use crate::configuration::ConfigArguments;
use crate::{log, shutdown};

/// What became of a source.
struct Outcome {
    word: &'static str,
    /// The database in place.
    info: Option<DatabaseInfo>,
}

/// Updates every source, and fails when one of them did.
pub(super) async fn update(arguments: &ConfigArguments) -> Result<()> {
    let config = arguments.read()?;
    let sources = &config.geo.sources;
    if sources.is_empty() {
        bail!(
            "the configuration has no [[geo.source]]: give one for each database, with `file`, `url`, and `sha256_url` or `sha256` \
             (docs/geo.md has examples)"
        );
    }
    for file in unread(&config) {
        tracing::warn!(file = %file.display(), "`enrich.geo_databases` does not name this file: nobody reads it");
    }
    let downloader = Downloader::new().context("make an HTTP client")?;
    let stop = shutdown::on_signal()?;
    let (mut rows, mut failed) = (Vec::new(), 0_usize);
    for source in sources {
        let done = tokio::select! {
            done = update_one(&downloader, source) => done,
            () = stop.cancelled() => bail!("stopped at {}: the same command goes on", source.file.display()),
        };
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(error) => {
                failed += 1;
                log::complain(&error.context(format!("update {}", source.file.display())));
                Outcome { word: "failed", info: info_in_place(&source.file).await.ok() }
            }
        };
        rows.push(row(source, &outcome));
    }
    print(&rows)?;
    ensure!(failed == 0, "{failed} of {} sources failed: their files stay as they were", sources.len());
    Ok(())
}

async fn update_one(downloader: &Downloader, source: &GeoSourceConfig) -> Result<Outcome> {
    let authorization = authorization(source)?;
    let authorization = authorization.as_ref();
    let wanted = match &source.checksum {
        GeoChecksum::Sha256(digest) => digest.clone(),
        GeoChecksum::Url(url) => downloader.checksum(url, authorization).await?,
    };
    let (installed, in_place) = in_place(&source.file).await?;
    if is_current(&wanted, installed.as_ref(), in_place.as_deref()) {
        return Ok(Outcome { word: "current", info: Some(info_in_place(&source.file).await?) });
    }
    let folder = folder_of(&source.file)?;
    // Without a name, so that it is gone with the process.
    let bytes =
        tempfile::tempfile_in(&folder).with_context(|| format!("write into the folder {}", folder.display()))?;
    let bar = bar(&source.file)?;
    let fetched = downloader.download(&source.url, authorization, &bytes, &bar).await;
    bar.finish_and_clear();
    let sha256 = fetched?;
    ensure!(
        sha256 == wanted,
        "what {} gives has the SHA-256 {sha256}, and {wanted} was to be expected: {}",
        source.url,
        match &source.checksum {
            GeoChecksum::Sha256(_) => "where the provider has published a newer file, set `sha256` to its digest",
            GeoChecksum::Url(_) => "it may just have been replaced: try again, and ask the provider if it stays so",
        }
    );
    let (download, file) = (Download { bytes, sha256, url: source.url.clone() }, source.file.clone());
    let installing = tokio::task::spawn_blocking(move || install(download, &file, clock::now()));
    let info = installing.await.context("install the database")??;
    Ok(Outcome { word: "updated", info: Some(info) })
}

fn authorization(source: &GeoSourceConfig) -> Result<Option<Authorization>> {
    let Some(login) = &source.login else { return Ok(None) };
    let told = |password: &str| Some(Authorization::new(&source.url, &login.username, password));
    match &login.password {
        SecretSource::Given(secret) => Ok(told(secret.reveal())),
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("read the password file {}", path.display()))?;
            Ok(told(text.trim_end_matches(['\r', '\n'])))
        }
    }
}

/// What was installed last, and the digest of the file that is there now.
pub(super) async fn in_place(file: &Path) -> Result<(Option<Installed>, Option<String>)> {
    let file = file.to_owned();
    let read = move || anyhow::Ok((remembered(&file), digest_in_place(&file)?));
    tokio::task::spawn_blocking(read).await.context("read the database in place")?
}

pub(super) async fn info_in_place(file: &Path) -> Result<DatabaseInfo> {
    let file = file.to_owned();
    let read = tokio::task::spawn_blocking(move || DatabaseInfo::of_file(&file)).await;
    Ok(read.context("open the database in place")??)
}

fn bar(file: &Path) -> Result<ProgressBar> {
    let template = "{msg} [{bar:40}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).context("draw a progress bar")?;
    Ok(ProgressBar::no_length().with_style(style).with_message(file.display().to_string()))
}

fn row(source: &GeoSourceConfig, outcome: &Outcome) -> [String; 5] {
    let of_info = |tell: fn(&DatabaseInfo) -> String| outcome.info.as_ref().map_or_else(|| "-".to_owned(), tell);
    [
        source.file.display().to_string(),
        of_info(|info| info.database_type.clone()),
        of_info(|info| day(info.build_epoch_s)),
        of_info(|info| HumanBytes(info.byte_count).to_string()),
        outcome.word.to_owned(),
    ]
}

/// One line for each source: file, kind, build date and size of the database in place, and what became of it.
fn print(rows: &[[String; 5]]) -> Result<()> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let [file_width, kind_width, size_width] = [0, 1, 3].map(|column| width(column).unwrap_or_default());
    let mut out = std::io::stdout().lock();
    for [file, kind, built, size, word] in rows {
        writeln!(out, "{file:file_width$}  {kind:kind_width$}  {built:10}  {size:>size_width$}  {word}")?;
    }
    Ok(())
}
