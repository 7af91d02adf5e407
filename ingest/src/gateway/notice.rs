//! `Warning` headers: what a person who pulls is told.

use http::HeaderValue;

/// A cached answer that the upstream could not confirm.
pub(crate) const STALE: HeaderValue = HeaderValue::from_static("110 - \"Response is Stale\"");

/// `299 - "text"`, which containerd, podman and skopeo show.
pub(crate) fn warning(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("299 - \"{text}\"")).ok()
}

/// Whether one of `globs` is for `tag`; `*` stands for any text. No glob at all is for every tag.
pub(crate) fn matches_tag(globs: &[String], tag: &str) -> bool {
    globs.is_empty() || globs.iter().any(|glob| matches(glob, tag))
}

fn matches(glob: &str, tag: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else {
        return glob == tag;
    };
    let Some(mut left) = tag.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else {
            return false;
        };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (glob, tag, expected) in [
            ("1.*", "1.2", true),
            ("1.*", "1.", true),
            ("1.*", "11.2", false),
            ("*-rc*", "2.0-rc1", true),
            ("*-rc*", "2.0", false),
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("*", "", true),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(glob, tag), expected, "{glob} {tag}");
        }
        assert!(matches_tag(&[], "any"));
        assert!(!matches_tag(&["1.*".into(), "2.*".into()], "3.0"));
    }

    #[test]
    fn a_notice_is_a_miscellaneous_warning() {
        assert_eq!(warning("use 2.x"), Some(HeaderValue::from_static("299 - \"use 2.x\"")));
        assert_eq!(warning("a\nb"), None);
    }
}
