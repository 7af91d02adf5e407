//! From the configured rules to the one that answers a request.

use std::fmt;

use whopulls_schemas::config::{
    Config, FilePattern, FileRoute, OciRoute, RouteConfig, RouteRule, UpstreamConfig, UpstreamRef,
};

use super::expansion::Expansion;
use super::pattern::{Pattern, PatternError, Template, Variables, value_of};

/// A rule that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{id}` on line {line}: in `{key}`")]
pub struct RouteError {
    /// The rule's id.
    pub id: String,
    /// The line on which the rule begins.
    pub line: usize,
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong.
    pub source: PatternError,
}

/// Every rule that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RouteErrors(pub Vec<RouteError>);

impl fmt::Display for RouteErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}: {}", if at == 0 { "" } else { "\n" }, error.source)?;
        }
        Ok(())
    }
}

/// Compiles rules for the sake of their mistakes.
///
/// # Errors
/// All of them.
pub fn check_routes(config: &Config) -> Result<(), RouteErrors> {
    Routes::compile(&config.routes, &config.upstreams).map(|_| ()).map_err(RouteErrors)
}

/// All rules, in order.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    oci: Vec<Route<OciRule>>,
    files: Vec<Route<FileRule>>,
}

#[derive(Debug)]
pub(crate) struct Route<R> {
    pub(crate) id: String,
    host: Option<String>,
    pattern: Pattern,
    pub(crate) rule: R,
}

#[derive(Debug)]
pub(crate) struct OciRule {
    /// The upstream's base URL, without a slash at its end.
    pub(crate) upstream: String,
    /// The upstream's host, as the record names it.
    pub(crate) upstream_id: String,
    name: Option<Template>,
    package: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct FileRule {
    to: Expansion,
    package: Option<Template>,
    pub(crate) status: u16,
}

/// A repository that a rule knows.
#[derive(Debug)]
pub(crate) struct OciTarget<'a> {
    pub(crate) route: &'a str,
    pub(crate) rule: &'a OciRule,
    pub(crate) upstream_name: String,
    pub(crate) package: String,
    pub(crate) variables: Variables<'a>,
}

/// Where a file is.
#[derive(Debug)]
pub(crate) struct FileTarget<'a> {
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) variables: Variables<'a>,
}

impl Routes {
    /// Compiles all rules, or gives every mistake in them.
    pub(crate) fn compile(configs: &[RouteConfig], upstreams: &[UpstreamConfig]) -> Result<Self, Vec<RouteError>> {
        let mut routes = Self::default();
        let mut errors = Vec::new();
        for config in configs {
            let result = match &config.rule {
                RouteRule::Oci(rule) => {
                    compile_oci(rule, upstreams).map(|(p, r)| routes.oci.push(Route::new(config, p, r)))
                }
                RouteRule::File(rule) => compile_file(rule).map(|(p, r)| routes.files.push(Route::new(config, p, r))),
                RouteRule::Helm(_)
                | RouteRule::Pypi(_)
                | RouteRule::Npm(_)
                | RouteRule::Pixel(_)
                | RouteRule::Telemetry(_)
                | RouteRule::Other(_) => Ok(()),
            };
            if let Err((key, source)) = result {
                errors.push(RouteError { id: config.id.clone(), line: config.line, key, source });
            }
        }
        if errors.is_empty() { Ok(routes) } else { Err(errors) }
    }

    /// The first rule that knows the repository `name`.
    pub(crate) fn repository<'a>(&'a self, host: Option<&str>, name: &'a str) -> Option<OciTarget<'a>> {
        self.oci.iter().filter(|route| route.is_for(host)).find_map(|route| {
            let variables = route.pattern.matches(name)?;
            let filled =
                |template: &Option<Template>| template.as_ref().map_or_else(|| name.into(), |t| t.fill(&variables));
            Some(OciTarget {
                route: &route.id,
                rule: &route.rule,
                upstream_name: filled(&route.rule.name),
                package: filled(&route.rule.package),
                variables,
            })
        })
    }

    /// The first rule that knows the file `path`. The query goes with it.
    pub(crate) fn file<'a>(&'a self, host: Option<&str>, path: &'a str, query: Option<&str>) -> Option<FileTarget<'a>> {
        self.files.iter().filter(|route| route.is_for(host)).find_map(|route| {
            let variables = route.pattern.matches(path)?;
            let location = route.rule.location(&variables, query)?;
            let own = |name| value_of(&variables, name).map(String::from);
            let package = route.rule.package.as_ref().map(|t| t.fill(&variables)).or_else(|| own("package"));
            let version = own("version");
            Some(FileTarget { route: &route.id, status: route.rule.status, location, package, version, variables })
        })
    }

    /// Whether any rule is about container images: else `/v2/` is a path like others.
    pub(crate) fn has_registry(&self, host: Option<&str>) -> bool {
        self.oci.iter().any(|route| route.is_for(host))
    }
}

impl<R> Route<R> {
    fn new(config: &RouteConfig, pattern: Pattern, rule: R) -> Self {
        Self { id: config.id.clone(), host: config.host.clone(), pattern, rule }
    }

    fn is_for(&self, host: Option<&str>) -> bool {
        self.host.as_deref().is_none_or(|own| host.is_some_and(|asked| asked.eq_ignore_ascii_case(own)))
    }
}

impl FileRule {
    fn location(&self, variables: &Variables<'_>, query: Option<&str>) -> Option<String> {
        let mut location = self.to.fill(variables)?;
        if let Some(query) = query.filter(|q| !q.is_empty()) {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
        }
        Some(location)
    }
}

type KeyError = (&'static str, PatternError);

fn compile_oci(rule: &OciRoute, upstreams: &[UpstreamConfig]) -> Result<(Pattern, OciRule), KeyError> {
    let pattern = Pattern::compile(&rule.pattern).map_err(|e| ("match", e))?;
    let name = compile_template(rule.name.as_deref(), &pattern).map_err(|e| ("name", e))?;
    let package = compile_template(rule.package.as_deref(), &pattern).map_err(|e| ("package", e))?;
    let upstream = upstream_of(&rule.upstream, upstreams).ok_or(("upstream", PatternError::Upstream))?;
    let (upstream, upstream_id) = (upstream.url.as_str().trim_end_matches('/').to_owned(), upstream.id.clone());
    Ok((pattern, OciRule { upstream, upstream_id, name, package }))
}

fn upstream_of<'a>(reference: &UpstreamRef, upstreams: &'a [UpstreamConfig]) -> Option<&'a UpstreamConfig> {
    upstreams.iter().find(|upstream| match reference {
        UpstreamRef::Id(id) => upstream.id == *id,
        UpstreamRef::Url(url) => upstream.url == *url,
    })
}

fn compile_file(rule: &FileRoute) -> Result<(Pattern, FileRule), KeyError> {
    let FilePattern::Path(path) = &rule.pattern else {
        return Err(("regex", PatternError::Slash));
    };
    if !path.starts_with('/') {
        return Err(("match", PatternError::Slash));
    }
    let pattern = Pattern::compile(path).map_err(|e| ("match", e))?;
    let package = compile_template(rule.package.as_deref(), &pattern).map_err(|e| ("package", e))?;
    let names: Vec<&str> = pattern.names().collect();
    let to = Expansion::compile(&rule.to, &names).map_err(|e| ("to", e))?;
    Ok((pattern, FileRule { to, package, status: rule.status }))
}

fn compile_template(text: Option<&str>, pattern: &Pattern) -> Result<Option<Template>, PatternError> {
    text.map(|text| Template::compile(text, pattern)).transpose()
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::config::Config;

    use super::*;

    const RULES: &str = r#"
        [[route]]
        id = "files"
        kind = "file"
        match = "/releases/{version}/app-{os}-{arch}.tar.gz"
        to = "https://files.example.org/app/{version}/{os}{?arch}"
        package = "app"

        [[route]]
        id = "any"
        kind = "file"
        host = "get.example.org"
        match = "/{package}/{path...}"
        to = "https://cdn.example.org/{+path}"
        status = 307

        [[route]]
        id = "images"
        kind = "oci"
        match = "acme/{image}"
        upstream = "https://ghcr.io/"
        name = "acme-inc/{image}"
    "#;

    fn routes(text: &str) -> Result<Routes, Vec<RouteError>> {
        let config = Config::parse("test", text, &[]).expect("the configuration is good");
        Routes::compile(&config.routes, &config.upstreams)
    }

    #[track_caller]
    fn check_file(host: Option<&str>, path: &str, query: Option<&str>, expected: Option<(&str, &str, &str)>) {
        let routes = routes(RULES).expect("the rules are good");
        let found = routes.file(host, path, query);
        let found = found.as_ref().map(|t| (t.route, t.location.as_str(), t.package.as_deref().unwrap_or_default()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_is_found_by_host_and_path_and_its_query_goes_along() {
        let app = "https://files.example.org/app/1.2/linux?arch=x86_64";
        check_file(None, "/releases/1.2/app-linux-x86_64.tar.gz", None, Some(("files", app, "app")));
        let with_query = "https://files.example.org/app/1.2/linux?arch=x86_64&a=b";
        check_file(None, "/releases/1.2/app-linux-x86_64.tar.gz", Some("a=b"), Some(("files", with_query, "app")));
        let any = "https://cdn.example.org/1/a%20b?x";
        check_file(Some("GET.example.org"), "/tool/1/a%20b", Some("x"), Some(("any", any, "tool")));
        check_file(None, "/tool/1/a", None, None);
    }

    #[test]
    fn a_line_end_in_a_variable_stays_encoded() {
        let found = "https://cdn.example.org/a%0D%0ASet-Cookie:x";
        check_file(Some("get.example.org"), "/tool/a%0D%0ASet-Cookie:x", None, Some(("any", found, "tool")));
    }

    #[test]
    fn a_repository_has_its_upstream_name() {
        let routes = routes(RULES).expect("the rules are good");
        let target = routes.repository(None, "acme/app").expect("a rule knows it");
        assert_eq!(target.upstream_name, "acme-inc/app");
        assert_eq!((target.rule.upstream.as_str(), target.rule.upstream_id.as_str()), ("https://ghcr.io", "ghcr.io"));
        assert_eq!(target.package, "acme/app");
        assert!(routes.repository(None, "other/app").is_none());
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let bad = RULES.replace("{os}{?arch}", "{system}").replace("acme/{image}", "acme/{image");
        let errors = routes(&bad).expect_err("two rules are bad");
        let told: Vec<_> = errors.iter().map(|e| (e.id.as_str(), e.line, e.key)).collect();
        assert_eq!(told, [("files", 2, "to"), ("images", 17, "match")]);
    }
}
