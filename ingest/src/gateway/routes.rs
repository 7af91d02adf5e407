//! From the configured rules to the one that answers a request.

use std::fmt;
use std::sync::Arc;

use whopulls_schemas::config::{Config, RouteConfig, RouteRule, UpstreamConfig};

use super::hosts::HostMap;
use super::oci_route::{OciRule, compile_oci};
use super::pattern::{Pattern, PatternError, Template};
use super::rule::{Found, Rule, is_for};

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
    /// Everything but container images, in one order.
    rest: Vec<Rule>,
}

#[derive(Debug)]
pub(crate) struct Route<R> {
    pub(crate) id: String,
    host: Option<String>,
    /// Hosts that stand for every rule's.
    everywhere: Arc<HostMap<()>>,
    pub(crate) pattern: Pattern,
    pub(crate) rule: R,
}

impl Routes {
    /// Compiles all rules, or gives every mistake in them.
    pub(crate) fn compile(configs: &[RouteConfig], upstreams: &[UpstreamConfig]) -> Result<Self, Vec<RouteError>> {
        let mut routes = Self::default();
        let mut errors = Vec::new();
        for config in configs {
            let result = match (&config.rule, Rule::compile(config, upstreams)) {
                (RouteRule::Oci(rule), _) => {
                    compile_oci(rule, upstreams).map(|(p, r)| routes.oci.push(Route::new(config, p, r)))
                }
                (_, Some(rule)) => rule.map(|rule| routes.rest.push(rule)),
                (_, None) => Ok(()),
            };
            if let Err((key, source)) = result {
                errors.push(RouteError { id: config.id.clone(), line: config.line, key, source });
            }
        }
        if errors.is_empty() { Ok(routes) } else { Err(errors) }
    }

    /// The rules for container images.
    pub(crate) fn oci(&self) -> &[Route<OciRule>] {
        &self.oci
    }

    /// The same rules, every one of which answers under these hosts as well: they say who asks, not what is asked for.
    pub(crate) fn also_on(mut self, hosts: HostMap<()>) -> Self {
        let hosts = Arc::new(hosts);
        self.oci.iter_mut().for_each(|route| route.everywhere = Arc::clone(&hosts));
        self.rest.iter_mut().for_each(|rule| rule.set_everywhere(Arc::clone(&hosts)));
        self
    }

    /// The first rule, but for those about container images, that is for `path`. The query goes with it.
    pub(crate) fn find<'a>(&'a self, host: Option<&str>, path: &'a str, query: Option<&str>) -> Option<Found<'a>> {
        self.rest.iter().find_map(|rule| rule.find(host, path, query))
    }
}

impl<R> Route<R> {
    fn new(config: &RouteConfig, pattern: Pattern, rule: R) -> Self {
        Self { id: config.id.clone(), host: config.host.clone(), everywhere: Arc::default(), pattern, rule }
    }

    pub(crate) fn is_for(&self, host: Option<&str>) -> bool {
        is_for(self.host.as_deref(), &self.everywhere, host)
    }
}

/// The key at fault, and what is wrong.
pub(crate) type KeyError = (&'static str, PatternError);

pub(crate) fn compile_template(text: Option<&str>, pattern: &Pattern) -> Result<Option<Template>, PatternError> {
    text.map(|text| Template::compile(text, pattern)).transpose()
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::config::Config;

    use super::super::rule::Target;
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
        let found = routes.find(host, path, query);
        let found = found.as_ref().map(|found| {
            let Target::File(t) = &found.target else { panic!("not a file: {found:?}") };
            (found.route, t.location.as_str(), t.package.as_deref().unwrap_or_default())
        });
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
    fn a_host_that_says_who_asks_has_the_rules_of_every_host() {
        let standing = [("NoInfo.example.org", ())].into_iter().collect();
        let routes = routes(RULES).expect("the rules are good").also_on(standing);
        let found = |host, path| routes.find(Some(host), path, None).map(|found| found.route.to_owned());
        assert_eq!(found("noinfo.EXAMPLE.org", "/tool/1/a").as_deref(), Some("any"));
        assert_eq!(found("noinfo.example.org", "/releases/1/app-a-b.tar.gz").as_deref(), Some("files"));
        assert_eq!(found("other.example.org", "/tool/1/a"), None);
    }

    #[test]
    fn a_line_end_in_a_variable_stays_encoded() {
        let found = "https://cdn.example.org/a%0D%0ASet-Cookie:x";
        check_file(Some("get.example.org"), "/tool/a%0D%0ASet-Cookie:x", None, Some(("any", found, "tool")));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let bad = RULES.replace("{os}{?arch}", "{system}").replace("acme/{image}", "acme/{image");
        let errors = routes(&bad).expect_err("two rules are bad");
        let told: Vec<_> = errors.iter().map(|e| (e.id.as_str(), e.line, e.key)).collect();
        assert_eq!(told, [("files", 2, "to"), ("images", 17, "match")]);
    }
}
