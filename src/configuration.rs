//! Reading the configuration: the file, the environment, and what a flag says instead.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use whopulls_ingest::ConfigSource;
use whopulls_schemas::config::{Config, LakeUrl};

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "whopulls.toml";

/// Where a command finds its configuration.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration file; `whopulls.toml` where there is one
    #[arg(long, value_name = "FILE", env = "WHOPULLS_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder (spool, lake, keys), over what the file says
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) data: Option<PathBuf>,
}

impl ConfigArguments {
    /// The file that these arguments mean, if there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let default = || Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE));
        self.config.clone().or_else(|| if self.data.is_some() { None } else { default() })
    }

    /// Reads the configuration. A data folder given as a flag is enough without a file.
    pub(crate) fn read(&self) -> Result<Config> {
        let environment = environment();
        let mut config = match (self.file(), &self.data) {
            (Some(file), _) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(&file).with_context(|| format!("read the configuration {name}"))?;
                Config::parse(&name, &text, &environment)?
            }
            (None, Some(data)) => Config::of_data_folder(data, &environment)?,
            (None, None) => Config::parse("(no file)", "", &environment)?,
        };
        if let Some(data) = &self.data {
            config.data = Some(data.clone());
        }
        Ok(config)
    }

    /// How the configuration is read, now and again when it changes. `complete` adds what the role needs.
    pub(crate) fn source(&self, complete: fn(Config) -> Config) -> ConfigSource {
        // The file is the same one for good: the default one, when it is gone for a moment, is not read as an empty one.
        let arguments = Self { config: self.file(), data: self.data.clone() };
        ConfigSource::new(self.file(), move || arguments.read().map(complete))
    }

    /// Reads the configuration for a command that needs a data folder.
    pub(crate) fn read_with_data(&self) -> Result<(Config, PathBuf)> {
        let config = self.read()?;
        match config.data.clone() {
            Some(data) => Ok((config, data)),
            None => bail!("no data folder is named: give `--data FOLDER`, or set `data` in {DEFAULT_FILE}"),
        }
    }
}

/// Every variable that begins with `WHOPULLS_`.
fn environment() -> Vec<(String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with("WHOPULLS_")).collect()
}

/// Where the lake is, as the libraries want it.
pub(crate) fn lake_location(config: &Config) -> Result<String> {
    match config.lake_url() {
        Some(LakeUrl::Folder(folder)) => Ok(folder.display().to_string()),
        Some(LakeUrl::Store(url)) => Ok(url.to_string()),
        None => bail!("the lake has no place: give `--data FOLDER`, or set `data` or `lake.url` in {DEFAULT_FILE}"),
    }
}
