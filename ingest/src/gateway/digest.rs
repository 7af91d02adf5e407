//! Digests: `sha256:…` and `sha512:…` can be checked, others cannot.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256, Sha512};

/// Whether `body` has this digest; `None` for an algorithm that is not known.
pub(crate) fn verify(digest: &str, body: &[u8]) -> Option<bool> {
    match digest.split_once(':')? {
        ("sha256", hex) => Some(HEXLOWER.encode(&Sha256::digest(body)) == hex),
        ("sha512", hex) => Some(HEXLOWER.encode(&Sha512::digest(body)) == hex),
        _ => None,
    }
}

/// The digest that registries give where nobody asks for another one.
pub(crate) fn sha256(body: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_digest_and_no_other() {
        let digest = sha256(b"x");
        assert_eq!(digest, "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
        assert_eq!(verify(&digest, b"x"), Some(true));
        assert_eq!(verify(&digest, b"y"), Some(false));
        let long = format!("sha512:{}", HEXLOWER.encode(&Sha512::digest(b"x")));
        assert_eq!((verify(&long, b"x"), verify(&long, b"")), (Some(true), Some(false)));
        assert_eq!(verify("blake3:ab", b"x"), None);
        assert_eq!(verify("sha256", b"x"), None);
    }
}
