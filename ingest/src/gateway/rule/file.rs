//! `kind = "file"`: the client is sent to an outgoing URL, or the file passes through.

use whopulls_schemas::config::{FilePattern, FileRoute, UpstreamRef};
use whopulls_schemas::raw::Kind;

use super::super::expansion::Expansion;
use super::super::outgoing::{fixed_host, push_query};
use super::super::path_pattern::{PathPattern, RegexPattern};
use super::super::pattern::{PatternError, Template, Variables, value_of};
use super::{KeyError, package, path_pattern};

#[derive(Debug)]
pub(crate) struct FileRule {
    pattern: PathPattern,
    to: Expansion,
    package: Option<Template>,
    status: u16,
    /// The id of the upstream that the file is fetched from when it passes through.
    proxy: Option<String>,
}

/// Where a file is.
#[derive(Debug)]
pub(crate) struct FileTarget<'a> {
    pub(crate) kind: Kind,
    pub(crate) status: u16,
    pub(crate) location: String,
    /// The id of the upstream that the file is fetched from when it passes through the gateway.
    pub(crate) proxy: Option<&'a str>,
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) variables: Variables<'a>,
}

impl FileRule {
    pub(super) fn compile(rule: &FileRoute) -> Result<Self, KeyError> {
        let pattern = match &rule.pattern {
            FilePattern::Path(path) => PathPattern::Path(path_pattern(path)?),
            FilePattern::Regex(regex) => {
                PathPattern::Regex(RegexPattern::compile(regex).map_err(|error| ("regex", error))?)
            }
        };
        let names = pattern.names();
        let package = package(rule.package.as_deref(), &names)?;
        fixed_host(&rule.to).map_err(|error| ("to", error))?;
        let to = Expansion::compile(&rule.to, &names).map_err(|error| ("to", error))?;
        let proxy = match &rule.proxy {
            None => None,
            Some(UpstreamRef::Id(id)) => Some(id.clone()),
            Some(UpstreamRef::Url(_)) => return Err(("proxy", PatternError::Upstream)),
        };
        Ok(Self { to, package, status: rule.status, proxy, pattern })
    }

    pub(super) fn find<'a>(&'a self, path: &'a str, query: Option<&str>) -> Option<FileTarget<'a>> {
        let variables = self.pattern.matches(path)?;
        let location = self.location(&variables, query)?;
        let own = |name| value_of(&variables, name).map(String::from);
        let package = self.package.as_ref().map(|t| t.fill(&variables)).or_else(|| own("package"));
        let version = own("version");
        let (status, proxy) = (self.status, self.proxy.as_deref());
        Some(FileTarget { kind: Kind::File, status, location, proxy, package, version, variables })
    }

    fn location(&self, variables: &Variables<'_>, query: Option<&str>) -> Option<String> {
        let mut location = self.to.fill(variables)?;
        push_query(&mut location, query);
        Some(location)
    }
}
