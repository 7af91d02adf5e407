//! `whopulls.toml`, parsed once: every mistake is reported together, with its line and a hint; unknown keys are refused.
//!
//! Any scalar key may be overridden from the environment as `WHOPULLS_<SECTION>_<KEY>` (`WHOPULLS_GATEWAY_LISTEN`), and a
//! top-level one as `WHOPULLS_<KEY>` (`WHOPULLS_DATA`). Secrets stand in the environment or in a file, never in `whopulls.toml`.

mod environment;
mod mistake;
mod read;
mod route;
mod secret;
mod sections;

pub use mistake::{Mistake, Mistakes, Place};
pub use route::{FileRoute, OciRoute, RouteConfig, RouteRule};
pub use secret::{Secret, SecretSource};
pub use sections::{
    EnrichConfig, GatewayConfig, IpMode, KafkaConfig, LakeConfig, LakeUrl, ServeConfig, SpoolConfig, Trust, WhenFull,
};

use std::path::{Path, PathBuf};

use mistake::Flaws;
use read::Section;

/// The whole configuration. A section that is absent is `None` where a role cannot run without it, and its defaults elsewhere.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder: spool, lake and keys stand in it unless a section says otherwise.
    pub data: Option<PathBuf>,
    /// `[gateway]`.
    pub gateway: Option<GatewayConfig>,
    /// `[[route]]`, in order: the first that matches answers.
    pub routes: Vec<RouteConfig>,
    /// `[spool]`.
    pub spool: SpoolConfig,
    /// `[kafka]`; absent on a single machine, where the worker reads the spool.
    pub kafka: Option<KafkaConfig>,
    /// `[enrich]`.
    pub enrich: EnrichConfig,
    /// `[lake]`.
    pub lake: LakeConfig,
    /// `[serve]`.
    pub serve: ServeConfig,
}

impl Config {
    /// Reads the text of a configuration file. `name` is the file's name for messages; `environment` is every variable whose
    /// name begins with `WHOPULLS_`.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(name: &str, text: &str, environment: &[(String, String)]) -> Result<Self, Mistakes> {
        let mut flaws = Flaws::default();
        let config = read(text, environment, &mut flaws);
        match config {
            Some(config) if flaws.is_empty() => Ok(config),
            _ => Err(flaws.locate(name, text, environment)),
        }
    }

    /// The configuration of a machine that has nothing but a data folder.
    ///
    /// # Errors
    /// Mistakes in the environment's overrides.
    pub fn of_data_folder(data: &Path, environment: &[(String, String)]) -> Result<Self, Mistakes> {
        let mut config = Self::parse("(no file)", "", environment)?;
        config.data = Some(data.to_owned());
        Ok(config)
    }

    /// Where the spool stands: `spool.dir`, else `spool` in the data folder.
    pub fn spool_dir(&self) -> Option<PathBuf> {
        self.spool.dir.clone().or_else(|| self.data.as_ref().map(|data| data.join("spool")))
    }

    /// Where the lake stands: `lake.url`, else `lake` in the data folder.
    pub fn lake_url(&self) -> Option<LakeUrl> {
        self.lake.url.clone().or_else(|| self.data.as_ref().map(|data| LakeUrl::Folder(data.join("lake"))))
    }

    /// Where the key of `endpoint_id` stands: `enrich.endpoint_key_file`, else `endpoint.key` in the data folder.
    pub fn endpoint_key_file(&self) -> Option<PathBuf> {
        self.enrich.endpoint_key_file.clone().or_else(|| self.data.as_ref().map(|data| data.join("endpoint.key")))
    }
}

fn read(text: &str, environment: &[(String, String)], flaws: &mut Flaws) -> Option<Config> {
    let mut root = match toml_span::parse(text) {
        Ok(root) => root,
        Err(error) => {
            flaws.syntax(&error);
            return None;
        }
    };
    environment::overlay(&mut root, text, environment, flaws);
    let mut root = Section::of("", root, flaws)?;
    let data = root.optional("data", read::path);
    let gateway = root.table("gateway").and_then(sections::gateway);
    let mut routes = root.each_table("route", route::route);
    for route in &mut routes {
        route.line = mistake::line_of(text, route.line);
    }
    let spool = root.table_or_empty("spool").map(sections::spool);
    let kafka = root.table("kafka").and_then(sections::kafka);
    let enrich = root.table_or_empty("enrich").and_then(sections::enrich);
    let lake = root.table_or_empty("lake").map(sections::lake);
    let serve = root.table_or_empty("serve").and_then(sections::serve);
    root.finish();
    let config = Config { data, gateway, routes, spool: spool?, kafka, enrich: enrich?, lake: lake?, serve: serve? };
    flaws_between(&config, flaws);
    Some(config)
}

/// Mistakes that only two sections together show.
fn flaws_between(config: &Config, flaws: &mut Flaws) {
    let mut seen = std::collections::BTreeMap::new();
    for route in &config.routes {
        if let Some(first) = seen.insert(route.id.as_str(), route.line) {
            flaws.at_line(
                route.line,
                format!("the route id `{}` is used twice, first on line {first}", route.id),
                "give each route an id of its own; it is the column `route`",
            );
        }
    }
    if config.gateway.is_some() && config.spool_dir().is_none() {
        flaws.at_line(1, "[gateway] needs a place for its spool".to_owned(), "set `data = \"…\"` or `spool.dir`");
    }
}
