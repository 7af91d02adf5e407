//! What upstream registries say.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use whopulls_schemas::raw::{ENTRIES_MAX, TEXT_BYTES_MAX};

use super::super::upstream_answer::{Challenge, TokenAnswer, TokenService, children, public_link};

/// A line with a challenge, a line with a link, and the rest a body. What is read of them is a part of what was said, stays within its
/// bounds, and a next page is under the public name.
pub fn an_upstreams_answer_is_read_within_bounds(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let (challenge, link, body) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
    check_challenge(challenge.unwrap_or_default());
    if let Ok(link) = HeaderValue::from_bytes(link.unwrap_or_default()) {
        check_link(&link);
    }
    for media_type in
        ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"]
    {
        let children = children(media_type, body);
        assert!(children.len() <= ENTRIES_MAX, "{} children", children.len());
        let texts = children.iter().flat_map(|child| [Some(&child.digest), child.platform.as_ref()]).flatten();
        assert!(texts.map(String::len).all(|length| length <= TEXT_BYTES_MAX), "a text is too long");
    }
    if let Some((token, lives_s)) = serde_json::from_slice::<TokenAnswer>(body).ok().and_then(TokenAnswer::token) {
        assert!(!token.is_empty() && lives_s <= 3600, "a token for {lives_s} s");
    }
}

fn check_challenge(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, value);
    if let Some(Challenge::Bearer(TokenService { realm, service })) = Challenge::of(&headers) {
        let said = String::from_utf8_lossy(bytes);
        assert!(said.contains(&realm), "the realm {realm:?} is not in {said:?}");
        assert!(service.is_none_or(|service| said.contains(&service)), "the service is not in {said:?}");
    }
}

fn check_link(link: &HeaderValue) {
    let Ok(link) = link.to_str() else { return };
    for upstream_name in ["up/app", "up"] {
        let Some(public) = public_link(link, upstream_name, "acme/app") else { continue };
        assert!(public.starts_with("</v2/acme/app/"), "{link:?} becomes {public:?}");
        assert!(public.contains('>') && HeaderValue::try_from(public.as_str()).is_ok(), "{public:?} cannot be sent");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_answers_that_are_nearly_right(
            scheme in "Bearer |bearer\\t|Basic |Bearer|",
            parameters in prop::collection::vec("(realm|service|scope|error)=?(\"[ -~]{0,9}\"?|[a-z:/.]{0,9})", 0..5),
            link in "<?(https?://[a-z.]{0,9})?/?v2/up(/app)?/tags/list(\\?[ -~]{0,9})?>?(; rel=\"next\")?|[ -~]{0,20}",
            body in "\\{\"manifests\":\\[(\\{\"digest\":\"[a-z]{0,3}\",\"platform\":\\{\"os\":\"[a-z]{0,3}\",\"architecture\":\"[a-z]\"\\}\\},?){0,3}\\]\\}|\\{\"token\":\"[a-z]{0,2}\",\"expires_in\":[0-9]{1,20}\\}|[ -~]{0,9}",
        ) {
            let text = format!("{scheme}{}\n{link}\n{body}", parameters.join(","));
            an_upstreams_answer_is_read_within_bounds(text.as_bytes());
        }
    }
}
