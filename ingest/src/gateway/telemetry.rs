//! What a program may send: a small JSON object, with a token where one is asked for. Pure.

use data_encoding::HEXLOWER_PERMISSIVE;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use http::header::{self, HeaderMap};
use serde_json::Value;

/// Keys of the object and of all objects in it.
const KEYS_MAX: usize = 64;
/// Objects and lists within each other, the whole one counted.
const DEPTH_MAX: usize = 5;
/// A text or a key, in bytes.
const TEXT_BYTES_MAX: usize = 2048;

/// Why an object is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a bearer token is wanted: send `Authorization: Bearer <token>` with one of this rule's tokens")]
    Token,
    #[error("the body is not JSON by its `Content-Type`: send `application/json`, not encoded")]
    Type,
    #[error("the body is larger than the rule allows")]
    TooLarge,
    #[error("the body did not come in time, or broke off")]
    Broken,
    #[error("the body is not JSON")]
    Json,
    #[error("the body is not a JSON object")]
    Object,
    #[error("the object has more than {KEYS_MAX} keys")]
    Keys,
    #[error("the object is nested more than {DEPTH_MAX} deep")]
    Deep,
    #[error("a text in the object is longer than {TEXT_BYTES_MAX} bytes")]
    Long,
}

impl Refusal {
    pub(crate) fn status(self) -> http::StatusCode {
        match self {
            Self::Token => http::StatusCode::UNAUTHORIZED,
            Self::Type => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => http::StatusCode::REQUEST_TIMEOUT,
            Self::Json | Self::Object | Self::Keys | Self::Deep | Self::Long => http::StatusCode::BAD_REQUEST,
        }
    }

    /// A problem document (RFC 9457).
    pub(crate) fn body(self) -> Vec<u8> {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        serde_json::json!({ "title": title, "status": status.as_u16(), "detail": self.to_string() }).to_string().into()
    }
}

/// The tokens that a rule takes, hashed.
#[derive(Debug, Clone)]
pub(crate) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// From hexadecimal SHA-256; the configuration is checked.
    pub(crate) fn new(hexadecimal: &[String]) -> Self {
        Self(hexadecimal.iter().filter_map(|text| hash_of(text)).collect())
    }

    /// No token is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the request has a token that is taken. The time it takes does not tell how near a wrong one was.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given: [u8; 32] = Sha256::digest(token.map_or("", |(_, token)| token.trim())).into();
        let same = self.0.iter().fold(Choice::from(0), |any, known| any | known.ct_eq(&given));
        self.0.is_empty() || (token.is_some() && bool::from(same))
    }
}

fn hash_of(hexadecimal: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(hexadecimal.as_bytes()).ok()?.try_into().ok()
}

/// Whether the body says that it is JSON, as it is.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let suffixed = media_type.starts_with("application/") && media_type.ends_with("+json");
    !encoded && (media_type == "application/json" || suffixed)
}

/// Reads an object.
pub(crate) fn object(body: &[u8]) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|_not_json| Refusal::Json)?;
    if !value.is_object() {
        return Err(Refusal::Object);
    }
    let mut keys = 0;
    check(&value, 1, &mut keys)?;
    Ok(value)
}

/// Recursion is bounded by the depth.
fn check(value: &Value, depth: usize, keys: &mut usize) -> Result<(), Refusal> {
    let text = |text: &str| if text.len() > TEXT_BYTES_MAX { Err(Refusal::Long) } else { Ok(()) };
    let nested = matches!(value, Value::Array(_) | Value::Object(_));
    if nested && depth > DEPTH_MAX {
        return Err(Refusal::Deep);
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(value) => text(value),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1, keys)),
        Value::Object(entries) => {
            *keys += entries.len();
            if *keys > KEYS_MAX {
                return Err(Refusal::Keys);
            }
            entries.iter().try_for_each(|(key, value)| {
                text(key)?;
                check(value, depth + 1, keys)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_object(body: &str, expected: Result<(), Refusal>) {
        assert_eq!(object(body.as_bytes()).map(|_| ()), expected, "{body:.60}");
    }

    #[test]
    fn an_object_has_its_bounds() {
        check_object(r#"{"event":"start","version":"1.2","ok":true,"n":[1,2.5,null]}"#, Ok(()));
        check_object("{}", Ok(()));
        for (body, refusal) in
            [("", Refusal::Json), ("{", Refusal::Json), ("[]", Refusal::Object), ("1", Refusal::Object)]
        {
            check_object(body, Err(refusal));
        }
        let keys = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(","));
        check_object(&keys(64), Ok(()));
        check_object(&keys(65), Err(Refusal::Keys));
        check_object(&format!("{{\"a\":[{},{}]}}", keys(32), keys(32)), Err(Refusal::Keys));
        check_object(r#"{"a":[[[[1]]]]}"#, Ok(()));
        check_object(r#"{"a":[[[[[1]]]]]}"#, Err(Refusal::Deep));
        check_object(&format!("{{\"a\":{}", "[".repeat(50_000)), Err(Refusal::Json));
        check_object(&format!("{{\"a\":\"{}\"}}", "x".repeat(2048)), Ok(()));
        check_object(&format!("{{\"a\":\"{}\"}}", "x".repeat(2049)), Err(Refusal::Long));
        check_object(&format!("{{\"{}\":1}}", "x".repeat(2049)), Err(Refusal::Long));
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        // `printf s3cret | sha256sum`
        let known = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";
        let tokens = Tokens::new(&["00".repeat(32), known.to_owned()]);
        let allow = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("a value"))]);
            tokens.allow(&headers)
        };
        assert!(allow("Bearer s3cret") && allow("bearer s3cret"));
        assert!(!allow("Bearer s3cre") && !allow("Basic s3cret") && !allow("s3cret") && !allow("Bearer "));
        assert!(!tokens.allow(&HeaderMap::new()));
        assert!(Tokens::new(&[]).allow(&HeaderMap::new()));
    }

    #[test]
    fn json_is_said_by_type_and_not_encoded() {
        let said = |fields: &[(header::HeaderName, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value)));
            is_json(&fields.collect())
        };
        assert!(said(&[(header::CONTENT_TYPE, "application/json; charset=utf-8")]));
        assert!(said(&[
            (header::CONTENT_TYPE, "application/cloudevents+json"),
            (header::CONTENT_ENCODING, "identity")
        ]));
        assert!(!said(&[(header::CONTENT_TYPE, "text/plain")]));
        assert!(!said(&[(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")]));
        assert!(!said(&[]));
    }
}
