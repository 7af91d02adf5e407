//! `kind = "telemetry"`: small JSON objects that programs send.

use whopulls_schemas::config::TelemetryRoute;

use super::super::pattern::{Pattern, Template, Variables, value_of};
use super::super::telemetry::Tokens;
use super::{KeyError, package, path_pattern};

#[derive(Debug)]
pub(super) struct TelemetryRule {
    pattern: Pattern,
    package: Option<Template>,
    bytes_max: usize,
    tokens: Tokens,
}

/// What an object is sent for.
#[derive(Debug)]
pub(crate) struct TelemetryTarget<'a> {
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) variables: Variables<'a>,
    pub(crate) bytes_max: usize,
    pub(crate) tokens: &'a Tokens,
}

impl TelemetryRule {
    pub(super) fn compile(rule: &TelemetryRoute) -> Result<Self, KeyError> {
        let pattern = path_pattern(&rule.pattern)?;
        let package = package(rule.package.as_deref(), &pattern.names().collect::<Vec<_>>())?;
        Ok(Self { pattern, package, bytes_max: rule.bytes_max, tokens: Tokens::new(&rule.tokens_sha256) })
    }

    pub(super) fn find<'a>(&'a self, path: &'a str) -> Option<TelemetryTarget<'a>> {
        let variables = self.pattern.matches(path)?;
        let own = |name| value_of(&variables, name).map(String::from);
        let package = self.package.as_ref().map(|t| t.fill(&variables)).or_else(|| own("package"));
        let version = own("version");
        Some(TelemetryTarget { package, version, variables, bytes_max: self.bytes_max, tokens: &self.tokens })
    }
}
