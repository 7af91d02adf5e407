//! The gateway's own tokens: for repositories that need none, on hosts where clients are asked for one. A token says until when it is good, and
//! which organization it was given to where that is known; the gateway's key signs it. Time is an argument.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::Claim;

/// How long a token is good, in seconds. It opens nothing that is not open to everybody.
pub(crate) const LIVES_S: i64 = 3600;
/// The longest token that is looked at: a claim has two texts of at most 2 KiB.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Tokens of upstreams look different.
const PREFIX: &str = "whopulls1.";

/// The gateway's key.
#[derive(Clone)]
pub(crate) struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a token of ours says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnToken {
    /// The second at which it ends.
    exp: i64,
    /// Who it was given to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<Claim>,
}

impl TokenKey {
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    fn mac(&self, text: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(text.as_bytes());
        Some(mac)
    }
}

/// Makes a token.
pub(crate) fn issue(key: &TokenKey, claim: Option<Claim>, now: UnixMicros) -> String {
    let token = OwnToken { exp: now.0.div_euclid(1_000_000).saturating_add(LIVES_S), claim };
    // Numbers and texts: serde_json has no way to fail on these.
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default());
    let text = format!("{PREFIX}{payload}");
    let signature = key.mac(&text).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Whether a bearer token says that it is ours, rightly or not.
pub(crate) fn is_ours(bearer: &[u8]) -> bool {
    bearer.trim_ascii_start().starts_with(PREFIX.as_bytes())
}

/// Reads a bearer token. `None` for one that is not ours, was changed, or has ended.
pub(crate) fn read(key: &TokenKey, bearer: &str, now: UnixMicros) -> Option<OwnToken> {
    if bearer.len() > TOKEN_BYTES_MAX || !bearer.starts_with(PREFIX) {
        return None;
    }
    let (text, signature) = bearer.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    key.mac(text)?.verify_slice(&signature).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    let token: OwnToken = serde_json::from_slice(&payload).ok()?;
    (now.0.div_euclid(1_000_000) < token.exp).then_some(token)
}

#[cfg(test)]
mod tests {
    use whopulls_schemas::raw::ClaimBy;

    use super::*;

    const KEY: TokenKey = TokenKey::new([7; 32]);
    const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

    fn claim() -> Claim {
        Claim { organization: "example.com".into(), name: "Example".into(), by: ClaimBy::User }
    }

    #[test]
    fn a_token_says_who_it_was_given_to_until_it_ends() {
        let later = |seconds: i64| UnixMicros(NOW.0 + seconds * 1_000_000);
        let token = issue(&KEY, Some(claim()), NOW);
        assert_eq!(read(&KEY, &token, later(LIVES_S - 1)).and_then(|token| token.claim), Some(claim()));
        assert_eq!(read(&KEY, &token, later(LIVES_S)), None);
        let nobodys = issue(&KEY, None, NOW);
        assert_eq!(read(&KEY, &nobodys, NOW).map(|token| token.claim), Some(None));
    }

    #[test]
    fn no_changed_or_foreign_token_is_read() {
        let token = issue(&KEY, Some(claim()), NOW);
        assert_eq!(read(&TokenKey::new([8; 32]), &token, NOW), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("text");
            assert_eq!(read(&KEY, &changed, NOW), None, "changed at {at}");
        }
        for foreign in ["", "whopulls1.", "whopulls1..", "eyJhbGciOiJub25lIn0.e30.", "x"] {
            assert_eq!(read(&KEY, foreign, NOW), None);
        }
        assert_eq!(format!("{KEY:?}"), "(secret)");
    }
}
