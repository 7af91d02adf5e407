//! `kind = "pixel"`: a counting picture.

use whopulls_schemas::config::PixelRoute;

use super::super::pattern::{Pattern, Template, Variables, value_of};
use super::{KeyError, package, path_pattern};

#[derive(Debug)]
pub(super) struct PixelRule {
    pattern: Pattern,
    package: Option<Template>,
}

/// What a picture is asked for.
#[derive(Debug)]
pub(crate) struct PixelTarget<'a> {
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) variables: Variables<'a>,
}

impl PixelRule {
    pub(super) fn compile(rule: &PixelRoute) -> Result<Self, KeyError> {
        let pattern = path_pattern(&rule.pattern)?;
        let package = package(rule.package.as_deref(), &pattern.names().collect::<Vec<_>>())?;
        Ok(Self { pattern, package })
    }

    pub(super) fn find<'a>(&'a self, path: &'a str) -> Option<PixelTarget<'a>> {
        let variables = self.pattern.matches(path)?;
        let own = |name| value_of(&variables, name).map(String::from);
        let package = self.package.as_ref().map(|t| t.fill(&variables)).or_else(|| own("package"));
        Some(PixelTarget { package, version: own("version"), variables })
    }
}
