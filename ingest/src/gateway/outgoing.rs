//! The outgoing URLs of rules: where a client may be sent is written in the rule, not in the request.

use url::Url;

use super::pattern::PatternError;

/// The host of a URL template, when scheme and host stand there as text: no value of a variable can then change them.
pub(crate) fn fixed_host(template: &str) -> Result<&str, PatternError> {
    let rest = template.strip_prefix("https://").or_else(|| template.strip_prefix("http://"));
    let rest = rest.ok_or(PatternError::Host)?;
    let end = rest.find(['/', '?', '#', '{', '\\']).unwrap_or(rest.len());
    let (host, after) = rest.split_at_checked(end).ok_or(PatternError::Host)?;
    // Expressions that begin with the end of the host, or with nothing.
    let ends = after.is_empty()
        || after.starts_with(['/', '?', '#'])
        || ["{/", "{?", "{#"].iter().any(|e| after.starts_with(e));
    let good =
        Url::parse(&format!("https://{host}/")).is_ok_and(|url| url.username().is_empty() && url.password().is_none());
    if ends && good && !host.contains('@') { Ok(host) } else { Err(PatternError::Host) }
}

/// A query for the end of a URL.
pub(crate) fn push_query(url: &mut String, query: Option<&str>) {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return };
    let (before, fragment) = match url.split_once('#') {
        Some((before, fragment)) => (before.to_owned(), Some(fragment.to_owned())),
        None => (std::mem::take(url), None),
    };
    let mark = if before.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    *url = format!("{before}{mark}{query}{fragment}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_text() {
        for good in [
            "https://files.example.org/{+path}",
            "http://files.example.org:8080/a/{b}",
            "https://files.example.org",
            "https://files.example.org{/path}",
            "https://files.example.org?{q}",
            "https://[2001:db8::1]/{x}",
        ] {
            assert!(fixed_host(good).is_ok(), "{good}");
        }
        for bad in [
            "https://{host}/x",
            "https://files.{zone}/x",
            "https://files.example.org{+path}",
            "https://files.example.org{.zone}/x",
            "https://files.example.org:{port}/x",
            "https://user@files.example.org/x",
            "https://files.example.org\\{x}",
            "//files.example.org/x",
            "{+url}",
            "ftp://files.example.org/x",
            "https:///x",
            "",
        ] {
            assert_eq!(fixed_host(bad), Err(PatternError::Host), "{bad}");
        }
    }

    #[test]
    fn a_query_goes_behind_the_one_that_is_there_and_before_the_fragment() {
        for (url, expected) in [("h/a", "h/a?q=1"), ("h/a?b", "h/a?b&q=1"), ("h/a#f", "h/a?q=1#f")] {
            let mut found = url.to_owned();
            push_query(&mut found, Some("q=1"));
            assert_eq!(found, expected);
            push_query(&mut found, Some(""));
            assert_eq!(found, expected);
        }
    }
}
