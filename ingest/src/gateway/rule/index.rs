//! `kind = "helm"`, `"pypi"`, `"npm"`: a package index below a prefix.

use whopulls_schemas::config::{IndexRoute, UpstreamConfig, UpstreamRef};

use super::super::index::IndexKind;
use super::super::pattern::PatternError;
use super::KeyError;

#[derive(Debug, Clone)]
pub(crate) struct IndexRule {
    pub(crate) kind: IndexKind,
    /// Without a slash at its end.
    pub(crate) prefix: String,
    /// The upstream's id.
    pub(crate) upstream: String,
    /// How long a document is answered without asking. Absent: as the cache says.
    pub(crate) ttl_s: Option<u64>,
}

/// What is asked of an index.
#[derive(Debug)]
pub(crate) struct IndexTarget<'a> {
    pub(crate) rule: &'a IndexRule,
    /// The path behind the prefix, with its slash.
    pub(crate) path: &'a str,
}

impl IndexRule {
    pub(super) fn compile(rule: &IndexRoute, kind: IndexKind, upstreams: &[UpstreamConfig]) -> Result<Self, KeyError> {
        let known = upstreams.iter().find(|upstream| match &rule.upstream {
            UpstreamRef::Id(id) => upstream.id == *id,
            UpstreamRef::Url(url) => upstream.url == *url,
        });
        let upstream = known.ok_or(("upstream", PatternError::Upstream))?.id.clone();
        Ok(Self { kind, prefix: rule.prefix.clone(), upstream, ttl_s: rule.ttl_s })
    }

    pub(super) fn find<'a>(&'a self, path: &'a str) -> Option<IndexTarget<'a>> {
        let path = path.strip_prefix(self.prefix.as_str())?;
        (path.is_empty() || path.starts_with('/')).then_some(IndexTarget { rule: self, path })
    }
}
