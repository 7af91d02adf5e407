//! The pages that are the gateway's own: health for balancers, and what it keeps about people.

use whopulls_schemas::config::{FilePattern, RouteConfig, RouteRule};

use super::accept::weight;

/// A page of the gateway's own. Asking for one leaves no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnPage {
    /// `/healthz`: the process answers.
    Health,
    /// `/readyz`: it takes new work.
    Ready,
    /// `/privacy`.
    Privacy,
}

impl OwnPage {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            "/privacy" => Some(Self::Privacy),
            _ => None,
        }
    }
}

/// Which of the paths are the operator's own.
#[derive(Debug, Default)]
pub(crate) struct OwnPages {
    /// Page and host (every one where there is none) of rules that name the very path.
    taken: Vec<(OwnPage, Option<String>)>,
}

impl OwnPages {
    /// A rule takes a path from the gateway by naming it without any variable. A rule that is for everything, or for any one word, was not
    /// written with these paths in mind: a balancer would find its health gone.
    pub(crate) fn beside(routes: &[RouteConfig]) -> Self {
        let named = |route: &RouteConfig| {
            let path = match &route.rule {
                RouteRule::File(file) => match &file.pattern {
                    FilePattern::Path(path) => path,
                    FilePattern::Regex(_) => return None,
                },
                RouteRule::Pixel(pixel) => &pixel.pattern,
                RouteRule::Telemetry(telemetry) => &telemetry.pattern,
                RouteRule::Oci(_)
                | RouteRule::Helm(_)
                | RouteRule::Pypi(_)
                | RouteRule::Npm(_)
                | RouteRule::Other(_) => return None,
            };
            Some((OwnPage::at(path)?, route.host.clone()))
        };
        Self { taken: routes.iter().filter_map(named).collect() }
    }

    /// The page at `path`, unless a rule of that host has it.
    pub(crate) fn find(&self, host: Option<&str>, path: &str) -> Option<OwnPage> {
        let page = OwnPage::at(path)?;
        let is_for = |own: &Option<String>| {
            own.as_ref().is_none_or(|own| host.is_some_and(|asked| asked.eq_ignore_ascii_case(own)))
        };
        (!self.taken.iter().any(|(taken, host)| *taken == page && is_for(host))).then_some(page)
    }
}

/// Whether plain text is wanted rather than HTML: only when `Accept` says so, since a browser and `curl` both take anything.
pub(crate) fn wants_text(accept: &str) -> bool {
    // The most specific range that names the type counts.
    let of = |named: &str| [named, "text/*", "*/*"].iter().find_map(|range| weight(accept, range)).unwrap_or(0);
    of("text/plain") > of("text/html")
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::config::Config;

    use super::*;

    #[track_caller]
    fn check(rules: &str, host: Option<&str>, path: &str, expected: Option<OwnPage>) {
        let config = Config::parse("test", rules, &[]).expect("the configuration is good");
        assert_eq!(OwnPages::beside(&config.routes).find(host, path), expected);
    }

    #[test]
    fn the_pages_are_there_without_a_rule() {
        check("", None, "/healthz", Some(OwnPage::Health));
        check("", Some("get.example.org"), "/readyz", Some(OwnPage::Ready));
        check("", None, "/privacy", Some(OwnPage::Privacy));
        check("", None, "/privacy/", None);
        check("", None, "/metrics", None);
    }

    #[test]
    fn a_rule_takes_the_path_that_it_names_on_its_host() {
        let rule =
            |head: &str| format!("[[route]]\nid = \"a\"\nkind = \"file\"\n{head}\nto = \"https://example.org/x\"\n");
        let named = rule("match = \"/privacy\"");
        check(&named, None, "/privacy", None);
        check(&named, None, "/healthz", Some(OwnPage::Health));
        let of_a_host = rule("match = \"/privacy\"\nhost = \"www.example.org\"");
        check(&of_a_host, Some("WWW.example.org"), "/privacy", None);
        check(&of_a_host, Some("get.example.org"), "/privacy", Some(OwnPage::Privacy));
    }

    #[test]
    fn a_rule_for_everything_does_not_take_them() {
        let rule =
            "[[route]]\nid = \"a\"\nkind = \"file\"\nmatch = \"/{path...}\"\nto = \"https://example.org/{+path}\"";
        check(rule, None, "/readyz", Some(OwnPage::Ready));
    }

    #[track_caller]
    fn check_accept(accept: &str, text: bool) {
        assert_eq!(wants_text(accept), text, "{accept}");
    }

    #[test]
    fn text_is_for_who_prefers_it() {
        check_accept("text/plain", true);
        check_accept("text/html;q=0.2, text/plain;q=0.9", true);
        check_accept("TEXT/PLAIN, */*;q=0.1", true);
        check_accept("text/html, text/plain", false);
        check_accept("*/*", false);
        check_accept("text/*", false);
        check_accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false);
        check_accept("text/plain;q=0", false);
        check_accept("text/plain;q=zz, text/html;q=0", false);
        check_accept("", false);
    }
}
