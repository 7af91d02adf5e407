//! SHA-256 in the words of those who publish it.

use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The digest of bytes, as the configuration and `sha256sum` write it.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The digest of what went through a hasher.
pub(super) fn of_hasher(hasher: Sha256) -> String {
    HEXLOWER.encode(&hasher.finalize())
}

/// What `ipinfo.io` answers under `/checksums`.
#[derive(Deserialize)]
struct Published {
    checksums: Checksums,
}

#[derive(Deserialize)]
struct Checksums {
    sha256: String,
}

/// The digest that a published text tells: its first word, as `sha256sum` writes it, or the `sha256` of a JSON object `checksums`.
pub(super) fn told_by(text: &str) -> Option<String> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.split_whitespace().next()?;
    if is_digest(first) {
        return Some(first.to_ascii_lowercase());
    }
    let published: Published = serde_json::from_str(text).ok()?;
    is_digest(&published.checksums.sha256).then(|| published.checksums.sha256.to_ascii_lowercase())
}

fn is_digest(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(told_by(text).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn a_digest_is_the_first_word_or_stands_in_json() {
        check(DIGEST, Some(DIGEST));
        check(&format!("{DIGEST}  GeoLite2-ASN_20261120.tar.gz\n"), Some(DIGEST));
        check(&format!("\u{feff}{DIGEST} *asn.mmdb\r\nanother line\n"), Some(DIGEST));
        check(&DIGEST.to_uppercase(), Some(DIGEST));
        check(&format!("{{\"checksums\": {{\"md5\": \"1\", \"sha256\": \"{DIGEST}\"}}}}"), Some(DIGEST));
        check("", None);
        check("Invalid license key", None);
        check(&format!("asn.mmdb {DIGEST}"), None);
        check(DIGEST.trim_end_matches('5'), None);
        check(&format!("{DIGEST}0"), None);
        check("<!doctype html>", None);
        check("{\"checksums\": {\"sha256\": \"unknown\"}}", None);
    }

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(of_bytes(b""), DIGEST);
        assert_eq!(of_hasher(Sha256::new()), DIGEST);
    }
}
