//! Paths of the registry API.

use super::super::oci_path::OciPath;

/// Name and the part behind it make the path again, and neither can lead an upstream request elsewhere.
pub fn a_registry_path_is_read_whole_or_not_at_all(bytes: &[u8]) {
    let Ok(path) = str::from_utf8(bytes) else { return };
    let Some(read) = OciPath::parse(path) else {
        assert!(path != "/v2" && !path.starts_with("/v2/"), "{path:?} is the registry's");
        return;
    };
    let Some(name) = read.name() else { return };
    assert_eq!(format!("/v2/{name}/{}", read.behind_name()), path);
    assert!(name.len() <= 255, "the name {name:?} is too long");
    let of_a_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/._-".contains(&b);
    assert!(name.bytes().all(of_a_name), "the name {name:?} has other characters");
    assert!(name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "the name {name:?} climbs");
    if let Some(reference) = read.reference() {
        assert!(reference.len() <= 256 && !reference.starts_with('.'), "the reference {reference:?}");
        let of_a_reference = |b: u8| b.is_ascii_alphanumeric() || b"._+=:-".contains(&b);
        assert!(reference.bytes().all(of_a_reference), "the reference {reference:?} has other characters");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_paths_of_near_misses(
            parts in prop::collection::vec("|v2|manifests|blobs|tags|list|referrers|_catalog|[a-z0-9._-]{1,9}|sha256:[a-f0-9]{64}|[a-z.+]{1,5}:[a-f0-9]{0,9}|[ -~]{0,5}|\\PC{0,3}", 0..9),
            below in any::<bool>(),
        ) {
            let path = format!("{}/{}", if below { "/v2" } else { "" }, parts.join("/"));
            a_registry_path_is_read_whole_or_not_at_all(path.as_bytes());
        }
    }
}
