//! Rules for container images: from a public repository name to where it is.

use whopulls_schemas::config::{Blobs, Manifests, Notice, OciRoute, TokenMode, UpstreamConfig, UpstreamRef};

use super::notice::matches_tag;
use super::pattern::{Pattern, PatternError, Template, Variables};
use super::routes::{KeyError, Route, Routes, compile_template};

/// A rule for container images.
#[derive(Debug)]
pub(crate) struct OciRule {
    upstream: String,
    name: Option<Template>,
    fallback: Option<(String, Option<Template>)>,
    package: Option<Template>,
    pub(crate) token: TokenMode,
    pub(crate) manifests: Manifests,
    pub(crate) blobs: Blobs,
    /// How long a tag is answered without asking the upstream, in seconds. Absent: as the cache's configuration says.
    pub(crate) ttl_s: Option<u64>,
    notices: Vec<Notice>,
}

/// A repository that a rule knows.
#[derive(Debug)]
pub(crate) struct OciTarget<'a> {
    pub(crate) route: &'a str,
    pub(crate) rule: &'a OciRule,
    pub(crate) source: Source,
    /// Asked when the first fails.
    pub(crate) fallback: Option<Source>,
    pub(crate) package: String,
    pub(crate) variables: Variables<'a>,
}

/// A repository of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The upstream's id.
    pub(crate) upstream: String,
    /// The upstream's name for it.
    pub(crate) name: String,
}

impl Routes {
    /// The first rule that knows the repository `name`.
    pub(crate) fn repository<'a>(&'a self, host: Option<&str>, name: &'a str) -> Option<OciTarget<'a>> {
        self.oci().iter().filter(|route| route.is_for(host)).find_map(|route| target(route, name))
    }

    /// Whether any rule is about container images: else `/v2/` is a path like others.
    pub(crate) fn has_registry(&self, host: Option<&str>) -> bool {
        self.oci().iter().any(|route| route.is_for(host))
    }

    /// The upstreams of this host to which clients log in.
    pub(crate) fn own_realm_upstreams(&self, host: Option<&str>) -> Vec<&str> {
        let rules = self.oci().iter().filter(|route| route.is_for(host)).map(|route| &route.rule);
        let mut ids: Vec<&str> =
            rules.filter(|rule| rule.token == TokenMode::OwnRealm).map(|rule| rule.upstream.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn target<'a>(route: &'a Route<OciRule>, name: &'a str) -> Option<OciTarget<'a>> {
    let rule = &route.rule;
    let variables = route.pattern.matches(name)?;
    let filled = |template: &Option<Template>| template.as_ref().map(|template| template.fill(&variables));
    let upstream_name = filled(&rule.name).unwrap_or_else(|| name.to_owned());
    let fallback = rule.fallback.as_ref().map(|(upstream, template)| Source {
        upstream: upstream.clone(),
        name: filled(template).unwrap_or_else(|| upstream_name.clone()),
    });
    Some(OciTarget {
        route: &route.id,
        rule,
        package: filled(&rule.package).unwrap_or_else(|| name.to_owned()),
        source: Source { upstream: rule.upstream.clone(), name: upstream_name },
        fallback,
        variables,
    })
}

impl OciTarget<'_> {
    /// The upstream's repositories, in the order in which they are asked.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.source).chain(&self.fallback)
    }

    /// What a person who pulls `tag` is told.
    pub(crate) fn notices(&self, tag: &str) -> impl Iterator<Item = &str> {
        let notices = self.rule.notices.iter();
        notices.filter(move |notice| matches_tag(&notice.tags, tag)).map(|notice| notice.text.as_str())
    }
}

pub(crate) fn compile_oci(rule: &OciRoute, upstreams: &[UpstreamConfig]) -> Result<(Pattern, OciRule), KeyError> {
    let pattern = Pattern::compile(&rule.pattern).map_err(|e| ("match", e))?;
    let name = compile_template(rule.name.as_deref(), &pattern).map_err(|e| ("name", e))?;
    let package = compile_template(rule.package.as_deref(), &pattern).map_err(|e| ("package", e))?;
    let upstream = upstream_of(&rule.upstream, upstreams).ok_or(("upstream", PatternError::Upstream))?;
    let fallback = match &rule.fallback {
        None => None,
        Some(fallback) => {
            let second = upstream_of(&fallback.upstream, upstreams).ok_or(("fallback", PatternError::Upstream))?;
            let name = compile_template(fallback.name.as_deref(), &pattern).map_err(|e| ("fallback_name", e))?;
            Some((second, name))
        }
    };
    let OciRoute { token, manifests, blobs, ttl_s, .. } = *rule;
    let notices = rule.notices.clone();
    Ok((pattern, OciRule { upstream, name, fallback, package, token, manifests, blobs, ttl_s, notices }))
}

fn upstream_of(reference: &UpstreamRef, upstreams: &[UpstreamConfig]) -> Option<String> {
    let found = upstreams.iter().find(|upstream| match reference {
        UpstreamRef::Id(id) => upstream.id == *id,
        UpstreamRef::Url(url) => upstream.url == *url,
    });
    found.map(|upstream| upstream.id.clone())
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::config::Config;

    use super::*;

    const RULES: &str = r#"
        [[route]]
        id = "images"
        kind = "oci"
        match = "acme/{image}"
        upstream = "https://ghcr.io/"
        name = "acme-inc/{image}"
        fallback = "https://mirror.example.org"
        fallback_name = "m/{image}"
        [[route.notices]]
        tags = ["1.*"]
        text = "use 2"
        [[route.notices]]
        text = "hello"

        [[route]]
        id = "private"
        kind = "oci"
        host = "private.example.org"
        match = "{name...}"
        upstream = "https://registry.example.org"
        token = "own_realm"
    "#;

    fn routes(text: &str) -> Routes {
        let config = Config::parse("test", text, &[]).expect("the configuration is good");
        Routes::compile(&config.routes, &config.upstreams).expect("the rules are good")
    }

    fn source(upstream: &str, name: &str) -> Source {
        Source { upstream: upstream.into(), name: name.into() }
    }

    #[test]
    fn a_repository_has_its_upstream_names_in_order() {
        let routes = routes(RULES);
        let target = routes.repository(None, "acme/app").expect("a rule knows it");
        let sources: Vec<_> = target.sources().cloned().collect();
        assert_eq!(sources, [source("ghcr.io", "acme-inc/app"), source("mirror.example.org", "m/app")]);
        assert_eq!(target.package, "acme/app");
        assert!(routes.repository(None, "other/app").is_none());
        let unnamed = RULES.replace("fallback_name = \"m/{image}\"", "");
        let unnamed = super::tests::routes(&unnamed);
        let target = unnamed.repository(None, "acme/app").expect("a rule knows it");
        assert_eq!(target.fallback, Some(source("mirror.example.org", "acme-inc/app")));
    }

    #[test]
    fn a_host_knows_the_upstreams_to_which_its_clients_log_in() {
        let routes = routes(RULES);
        let host = Some("private.example.org");
        let target = routes.repository(host, "team/app").expect("a rule knows it");
        assert_eq!((target.source, target.fallback), (source("registry.example.org", "team/app"), None));
        assert_eq!(routes.own_realm_upstreams(host), ["registry.example.org"]);
        assert_eq!(routes.own_realm_upstreams(Some("other.example.org")), [""; 0]);
    }

    #[test]
    fn a_tag_has_its_notices() {
        let routes = routes(RULES);
        let target = routes.repository(None, "acme/app").expect("a rule knows it");
        assert_eq!(target.notices("1.2").collect::<Vec<_>>(), ["use 2", "hello"]);
        assert_eq!(target.notices("2.1").collect::<Vec<_>>(), ["hello"]);
    }
}
