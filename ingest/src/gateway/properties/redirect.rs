//! Rules, and where they send a client.

use http::Uri;
use url::Url;
use whopulls_schemas::config::{Config, FilePattern, FileRoute, RouteConfig, RouteRule};

use super::super::routes::{RouteErrors, Routes};
use super::super::rule::{Found, Target};
use super::lines;

/// The longest path that the gateway answers, and the longest query that fits into a head.
const URI_BYTES_MAX: usize = 4096;

/// Lines: a pattern (`~` before a regular expression), an outgoing template, and requests. A rule is refused, or whatever is asked for it
/// leads to the template's own scheme, host, port and user, in one line of printable text.
pub fn no_path_changes_the_host_of_a_redirect(bytes: &[u8]) {
    let Some(mut lines) = lines(bytes) else { return };
    let (Some(pattern), Some(to)) = (lines.next(), lines.next()) else { return };
    let pattern = match pattern.strip_prefix('~') {
        Some(regex) => FilePattern::Regex(regex.to_owned()),
        None => FilePattern::Path(pattern.to_owned()),
    };
    let rule = FileRoute { pattern, to: to.to_owned(), package: None, status: 302, proxy: None };
    let config = RouteConfig { id: "f".to_owned(), line: 1, host: None, rule: RouteRule::File(rule) };
    let Ok(routes) = Routes::compile(&[config], &[]) else { return };
    for uri in lines.take(16).filter_map(uri) {
        if let Some(Found { target: Target::File(file), .. }) = routes.find(None, uri.path(), uri.query()) {
            check_location(to, &file.location);
        }
    }
}

#[track_caller]
fn check_location(template: &str, location: &str) {
    assert!(location.bytes().all(|b| b > b' ' && b != 0x7f), "{location:?} cannot be sent");
    let Some(fixed) = fixed(template) else {
        assert!(!template.contains('{'), "a client chooses the host of {template:?}: {location:?}");
        return;
    };
    let led = Url::parse(location).unwrap_or_else(|error| panic!("{location:?} of {template:?} is no URL: {error}"));
    let whose = |url: &Url| (url.origin(), url.username().to_owned(), url.password().map(str::to_owned));
    assert_eq!(whose(&led), whose(&fixed), "{template:?} leads to {location:?}");
}

/// Scheme and host of a template, when they stand before its first variable and end there.
fn fixed(template: &str) -> Option<Url> {
    let literal = template.split('{').next()?;
    let (_scheme, behind) = literal.split_once("://")?;
    let after = template.get(literal.len()..)?;
    let ends = after.is_empty()
        || behind.contains(['/', '?', '#'])
        || ["{/", "{?", "{#"].iter().any(|ending| after.starts_with(ending));
    ends.then(|| Url::parse(literal).ok())?
}

fn uri(text: &str) -> Option<Uri> {
    text.get(..text.len().min(URI_BYTES_MAX))?.parse().ok().filter(|uri: &Uri| uri.path().starts_with('/'))
}

/// A configuration, a line `----`, and requests. Every text gives mistakes that can be shown or rules that answer.
pub fn any_rules_answer_any_request(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (text, requests) = text.split_once("\n----\n").unwrap_or((text, "/a/b/c"));
    let config = match Config::parse("whopulls.toml", text, &[]) {
        Ok(config) => config,
        Err(mistakes) => {
            assert!(!mistakes.to_string().is_empty(), "a refusal without a reason");
            return;
        }
    };
    let routes = match Routes::compile(&config.routes, &config.upstreams) {
        Ok(routes) => routes,
        Err(errors) => {
            assert!(!errors.is_empty() && !RouteErrors(errors).to_string().is_empty(), "a refusal without a reason");
            return;
        }
    };
    for uri in requests.split('\n').take(16).filter_map(uri) {
        let name = uri.path().trim_start_matches('/');
        if let Some(target) = routes.repository(uri.host(), name) {
            assert!(
                config.upstreams.iter().any(|upstream| upstream.id == target.source.upstream),
                "an upstream of no rule"
            );
        }
        if let Some(Found { route, target: Target::File(file) }) = routes.find(uri.host(), uri.path(), uri.query()) {
            let rule = config.routes.iter().find(|known| known.id == route).map(|known| &known.rule);
            match rule {
                Some(RouteRule::File(rule)) => check_location(&rule.to, &file.location),
                Some(RouteRule::Other(rule)) => check_location(&rule.to, &file.location),
                other => panic!("{route:?} is no redirect: {other:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_rules_that_are_nearly_right(
            pattern in prop::collection::vec("/|\\{[abc]\\}|\\{d\\.\\.\\.\\}|[a-z.%-]{1,4}|/\\{a\\}/\\{b\\}", 1..5),
            to in prop::collection::vec("/|\\{[+?&#./;]?[abcd](:2|\\*)?\\}|[a-z.%-]{1,4}|@|:|//|\\?a=", 0..5),
            origin in "https://example\\.org/?|http://example\\.org:8080/?|https://|//|",
            path in prop::collection::vec("/|[a-z.%-]{1,4}|%0[aAdD]|%2[fFeE]|@|:|//|\\\\|\\.\\.", 1..8),
            query in prop::option::of("[ -~]{0,9}"),
        ) {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let text = format!("/{}\n{origin}{}\n/{}{query}", pattern.concat(), to.concat(), path.concat());
            no_path_changes_the_host_of_a_redirect(text.as_bytes());
        }

        #[test]
        fn holds_for_every_change_of_the_example(at in any::<prop::sample::Index>(), new in "[ -~\\n]{0,6}", gone in 0..40_usize) {
            let example = include_str!("../../../../docs/whopulls.example.toml");
            let at = at.index(example.len());
            let (before, after) = (example.get(..at).unwrap_or_default(), example.get(at + gone..).unwrap_or_default());
            any_rules_answer_any_request(format!("{before}{new}{after}\n----\n/releases/1/app-linux-arm.tar.gz?x=1").as_bytes());
        }
    }

    #[test]
    #[should_panic(expected = "a client chooses the host")]
    fn sees_a_host_that_ends_in_a_variable() {
        check_location("https://example.org{+path}", "https://example.org.evil.test/");
    }

    #[test]
    #[should_panic(expected = "leads to")]
    fn sees_a_host_that_changed() {
        check_location("https://example.org/{+path}", "https://evil.test/");
    }
}
