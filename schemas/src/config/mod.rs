//! `whopulls.toml`, parsed once: every mistake is reported together, with its line and a hint; unknown keys are refused.
//!
//! Any scalar key may be overridden from the environment as `WHOPULLS_<SECTION>_<KEY>` (`WHOPULLS_GATEWAY_LISTEN`), and a
//! top-level one as `WHOPULLS_<KEY>` (`WHOPULLS_DATA`). Secrets stand in the environment or in a file, never in `whopulls.toml`.

mod environment;
mod gateway;
mod geo;
mod mistake;
mod overrides;
mod read;
mod route;
mod secret;
mod sections;
mod upstream;

pub use gateway::{
    AcmeChallenge, AcmeConfig, CacheConfig, CertificateFiles, GatewayConfig, OrganizationConfig, PrivacyConfig,
    TlsConfig, Trust,
};
pub use geo::{GeoChecksum, GeoConfig, GeoLogin, GeoSourceConfig, SourceUrl};
pub use mistake::{Mistake, Mistakes, Place};
pub use overrides::{NetworkMeaning, NetworkName, OverrideNetwork, OverrideOrganization, OverridesConfig};
pub use route::{
    Blobs, Fallback, FilePattern, FileRoute, IndexRoute, Manifests, Notice, OciRoute, OtherRoute, PixelRoute,
    RouteConfig, RouteRule, TelemetryRoute, TokenMode,
};
pub use secret::{Secret, SecretSource};
pub use sections::{
    EnrichConfig, IpMode, KafkaConfig, KeyRotation, LakeConfig, LakeUrl, ReverseDnsConfig, ServeConfig, SpoolConfig,
    WhenFull,
};
pub use upstream::{UpstreamConfig, UpstreamRef};

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
    /// `[tls]`.
    pub tls: TlsConfig,
    /// `[cache]`.
    pub cache: CacheConfig,
    /// `[privacy]`.
    pub privacy: PrivacyConfig,
    /// `[[organization]]`.
    pub organizations: Vec<OrganizationConfig>,
    /// `[[upstream]]`, and behind them one for each URL that a rule names. After reading, every rule names its upstream by id.
    pub upstreams: Vec<UpstreamConfig>,
    /// `[[route]]`, in order: the first that matches answers.
    pub routes: Vec<RouteConfig>,
    /// `[spool]`.
    pub spool: SpoolConfig,
    /// `[kafka]`; absent on a single machine, where the worker reads the spool.
    pub kafka: Option<KafkaConfig>,
    /// `[enrich]`.
    pub enrich: EnrichConfig,
    /// `[geo]`.
    pub geo: GeoConfig,
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

    /// Where the cache stands: `cache.dir`, else `cache` in the data folder; nowhere on disk without either.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.cache.dir.clone().or_else(|| self.data.as_ref().map(|data| data.join("cache")))
    }

    /// Where the key of the gateway's tokens stands: `gateway.key_file`, else `gateway.key` in the data folder.
    pub fn gateway_key_file(&self) -> Option<PathBuf> {
        let own = self.gateway.as_ref().and_then(|gateway| gateway.key_file.clone());
        own.or_else(|| self.data.as_ref().map(|data| data.join("gateway.key")))
    }

    /// Where ACME keeps account and certificates: `tls.acme.dir`, else `acme` in the data folder.
    pub fn acme_dir(&self) -> Option<PathBuf> {
        let own = self.tls.acme.as_ref().and_then(|acme| acme.dir.clone());
        own.or_else(|| self.data.as_ref().map(|data| data.join("acme")))
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
    let gateway = root.table("gateway").map(gateway::gateway);
    let tls = root.table_or_empty("tls").map(gateway::tls);
    let cache = root.table_or_empty("cache").map(gateway::cache);
    let privacy = root.table_or_empty("privacy").map(gateway::privacy);
    let organizations = root.each_table("organization", gateway::organization);
    let mut upstreams = root.each_table("upstream", upstream::upstream);
    let mut routes = root.each_table("route", route::route);
    for route in &mut routes {
        route.line = mistake::line_of(text, route.line);
    }
    let spool = root.table_or_empty("spool").map(sections::spool);
    let kafka = root.table("kafka").and_then(sections::kafka);
    let enrich = root.table_or_empty("enrich").and_then(sections::enrich);
    let mut geo = root.table_or_empty("geo").map(geo::geo).unwrap_or_default();
    for source in &mut geo.sources {
        source.line = mistake::line_of(text, source.line);
    }
    let lake = root.table_or_empty("lake").map(sections::lake);
    let serve = root.table_or_empty("serve").and_then(sections::serve);
    root.finish();
    upstream::resolve(&mut upstreams, &mut routes, flaws);
    let config = Config {
        data,
        gateway,
        tls: tls?,
        cache: cache?,
        privacy: privacy?,
        organizations,
        upstreams,
        routes,
        spool: spool?,
        kafka,
        enrich: enrich?,
        geo,
        lake: lake?,
        serve: serve?,
    };
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
    if config.gateway.is_some() && config.spool_dir().is_none() && flaws.is_empty() {
        flaws.at_line(1, "[gateway] needs a place for its spool".to_owned(), "set `data = \"…\"` or `spool.dir`");
    }
    geo::flaws_between(&config.geo, flaws);
    flaws_of_tls(config, flaws);
    flaws_of_names(config, flaws);
}

/// A host name or a user name that would mean two things.
fn flaws_of_names(config: &Config, flaws: &mut Flaws) {
    let mut hosts: std::collections::BTreeMap<&str, &str> =
        config.privacy.opt_out_hosts.iter().map(|host| (host.as_str(), "privacy.opt_out_hosts")).collect();
    let mut users = std::collections::BTreeMap::new();
    for organization in &config.organizations {
        let names = organization.hosts.iter().map(|host| (host, true));
        for (name, is_host) in names.chain(organization.users.iter().map(|user| (user, false))) {
            let (known, what) = if is_host { (&mut hosts, "host") } else { (&mut users, "user") };
            if let Some(first) = known.insert(name, &organization.id) {
                let message =
                    format!("the {what} `{name}` of the organization `{}` is `{first}`'s too", organization.id);
                flaws.at_line(1, message, "who asks must be certain: give each a name of its own");
            }
            if !is_host && name.contains(':') {
                let message = format!("the user `{name}` of the organization `{}` has a colon", organization.id);
                flaws.at_line(1, message, "HTTP Basic ends a user name there");
            }
        }
    }
}

fn flaws_of_tls(config: &Config, flaws: &mut Flaws) {
    let Some(gateway) = &config.gateway else { return };
    let none = config.tls.certificates.is_empty() && config.tls.acme.is_none();
    if gateway.tls_listen.is_some() && none {
        let hint = "give [[tls.certificates]] with `cert_file` and `key_file`, or [tls.acme]";
        flaws.at_line(1, "`gateway.tls_listen` has no certificate".to_owned(), hint);
    }
    if let Some(acme) = &config.tls.acme {
        if config.acme_dir().is_none() {
            flaws.at_line(
                1,
                "[tls.acme] needs a place for its certificates".to_owned(),
                "set `data = \"…\"` or `tls.acme.dir`",
            );
        }
        let answers = match acme.challenge {
            AcmeChallenge::Http01 => gateway.listen,
            AcmeChallenge::TlsAlpn01 => gateway.tls_listen,
        };
        if answers.is_none() {
            let message = "[tls.acme] has no listener for its challenge";
            flaws.at_line(1, message.to_owned(), "http-01 needs `gateway.listen`, tls-alpn-01 `gateway.tls_listen`");
        }
    }
}
