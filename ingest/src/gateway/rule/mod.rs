//! Rules for everything but container images. They keep one order: the first that fits host and path answers.

mod file;
mod index;
mod other;
mod pixel;
mod telemetry;

pub(crate) use file::FileTarget;
pub(crate) use index::{IndexRule, IndexTarget};
pub(crate) use pixel::PixelTarget;
pub(crate) use telemetry::TelemetryTarget;

use std::sync::Arc;

use whopulls_schemas::config::{RouteConfig, RouteRule, UpstreamConfig};

use super::hosts::HostMap;
use super::index::IndexKind;
use super::pattern::{Pattern, PatternError, Template};
use super::routes::KeyError;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    id: String,
    host: Option<String>,
    /// Hosts that stand for every rule's.
    everywhere: Arc<HostMap<()>>,
    does: Does,
}

#[derive(Debug)]
enum Does {
    File(file::FileRule),
    Index(IndexRule),
    Pixel(pixel::PixelRule),
    Telemetry(telemetry::TelemetryRule),
    Other(other::OtherRule),
}

/// The rule that answers a request, and what it knows of it.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) route: &'a str,
    pub(crate) target: Target<'a>,
}

/// What a rule knows of a request.
#[derive(Debug)]
pub(crate) enum Target<'a> {
    /// Of a file rule, and of one for the rest of a host.
    File(FileTarget<'a>),
    Index(IndexTarget<'a>),
    Pixel(PixelTarget<'a>),
    Telemetry(TelemetryTarget<'a>),
}

impl Rule {
    /// `None` for a rule about container images, which is compiled elsewhere.
    pub(crate) fn compile(config: &RouteConfig, upstreams: &[UpstreamConfig]) -> Option<Result<Self, KeyError>> {
        let index = |rule, kind| IndexRule::compile(rule, kind, upstreams).map(Does::Index);
        let does = match &config.rule {
            RouteRule::Oci(_) => return None,
            RouteRule::File(rule) => file::FileRule::compile(rule).map(Does::File),
            RouteRule::Helm(rule) => index(rule, IndexKind::Helm),
            RouteRule::Pypi(rule) => index(rule, IndexKind::Pypi),
            RouteRule::Npm(rule) => index(rule, IndexKind::Npm),
            RouteRule::Pixel(rule) => pixel::PixelRule::compile(rule).map(Does::Pixel),
            RouteRule::Telemetry(rule) => telemetry::TelemetryRule::compile(rule).map(Does::Telemetry),
            RouteRule::Other(rule) => other::OtherRule::compile(rule).map(Does::Other),
        };
        Some(does.map(|does| Self {
            id: config.id.clone(),
            host: config.host.clone(),
            everywhere: Arc::default(),
            does,
        }))
    }

    /// The rule answers under these hosts too, whatever its own is.
    pub(crate) fn set_everywhere(&mut self, hosts: Arc<HostMap<()>>) {
        self.everywhere = hosts;
    }

    /// What the rule knows of a request; `None` when it is not for it.
    pub(crate) fn find<'a>(&'a self, host: Option<&str>, path: &'a str, query: Option<&str>) -> Option<Found<'a>> {
        if !is_for(self.host.as_deref(), &self.everywhere, host) {
            return None;
        }
        let target = match &self.does {
            Does::File(rule) => Target::File(rule.find(path, query)?),
            Does::Index(rule) => Target::Index(rule.find(path)?),
            Does::Pixel(rule) => Target::Pixel(rule.find(path)?),
            Does::Telemetry(rule) => Target::Telemetry(rule.find(path)?),
            Does::Other(rule) => Target::File(rule.find(path, query)?),
        };
        Some(Found { route: &self.id, target })
    }
}

/// Whether a rule for the host `own`, or for every host, is for the one that was asked for.
pub(crate) fn is_for(own: Option<&str>, everywhere: &HostMap<()>, asked: Option<&str>) -> bool {
    own.is_none_or(|own| asked.is_some_and(|asked| asked.eq_ignore_ascii_case(own) || everywhere.get(asked).is_some()))
}

/// A pattern over whole paths.
fn path_pattern(text: &str) -> Result<Pattern, KeyError> {
    if !text.starts_with('/') {
        return Err(("match", PatternError::Slash));
    }
    Pattern::compile(text).map_err(|error| ("match", error))
}

/// The template of the column `package`.
fn package(text: Option<&str>, names: &[&str]) -> Result<Option<Template>, KeyError> {
    text.map(|text| Template::over(text, names)).transpose().map_err(|error| ("package", error))
}
