//! From a location to the object store that holds it.

use std::collections::BTreeMap;
use std::path::Path as FsPath;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, parse_url_opts};
use url::Url;

use super::error::LakeError;
use crate::io::durable::DurableFolder;
use crate::io::environment::store_options;

/// An object store and the place of the table in it.
#[derive(Debug, Clone)]
pub struct OpenedStore {
    /// Where the table is; ends with a slash.
    pub url: Url,
    /// The whole store: a bucket, or the local file system.
    pub root: Arc<dyn ObjectStore>,
    /// The table's folder in it.
    pub prefix: Path,
}

/// Opens the object store of a folder or a URL. A local folder is written durably ([`DurableFolder`]). Credentials come from
/// the environment ([`store_options`]).
///
/// # Errors
/// When the location is not one, or the store's options are wrong.
pub fn open_store(location: &str, options: &BTreeMap<String, String>) -> Result<OpenedStore, LakeError> {
    let url = table_url(location)?;
    let store_error = |source| LakeError::Store { location: location.to_owned(), source };
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|source| store_error(source.into()))?;
    if scheme == ObjectStoreScheme::Local {
        return Ok(OpenedStore { url, root: Arc::new(DurableFolder::new()), prefix });
    }
    let (root, prefix) = parse_url_opts(&url, store_options(options)).map_err(store_error)?;
    Ok(OpenedStore { url, root: Arc::from(root), prefix })
}

/// The URL of a table: what has a scheme is one already, everything else is a folder.
///
/// # Errors
/// When it is neither.
pub fn table_url(location: &str) -> Result<Url, LakeError> {
    let wrong = |hint: &str| LakeError::Location { location: location.to_owned(), hint: hint.to_owned() };
    if location.contains("://") {
        let mut url = Url::parse(location).map_err(|error| wrong(&format!("not a URL ({error})")))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        return Ok(url);
    }
    let absolute = std::path::absolute(FsPath::new(location)).map_err(|error| wrong(&error.to_string()))?;
    Url::from_directory_path(absolute)
        .map_err(|()| wrong("not a folder; give a path or a URL such as s3://bucket/folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, expected: &str) {
        assert_eq!(table_url(location).expect("a location").as_str(), expected);
    }

    #[test]
    fn a_location_is_a_folder_or_a_url() {
        check("/data/lake/events", "file:///data/lake/events/");
        check("s3://bucket/events", "s3://bucket/events/");
        check("s3://bucket/events/", "s3://bucket/events/");
        check("memory:///events", "memory:///events/");
    }

    #[test]
    fn an_unknown_scheme_is_an_error_that_names_the_location() {
        let error = open_store("ftp://host/events", &BTreeMap::new()).expect_err("no store for ftp");
        assert!(error.to_string().contains("ftp://host/events"), "{error}");
    }
}
