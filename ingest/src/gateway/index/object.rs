//! JSON objects. What is derived for a structure reads arrays too, by position, and no index writes one so.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::RewriteError;

/// A value that stands there as an object. What it borrows lies in the text that it is read from.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("an object is missing"));
        }
        serde_json::from_str(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

/// Reads a document.
pub(super) fn read<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<(&'a str, T), RewriteError> {
    let text = std::str::from_utf8(document).map_err(|_| RewriteError::Utf8)?;
    let Object(value) = serde_json::from_str(text).map_err(|error| RewriteError::Json(error.to_string()))?;
    Ok((text, value))
}
