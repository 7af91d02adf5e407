//! What the gateway keeps, and what it gave out and gets back: files of the cache, signed URLs, tokens of its own, scopes, claims.

use bytes::Bytes;
use url::Url;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Claim, ClaimBy};

use super::super::own_token::{LIVES_S, TokenKey, issue, read};
use super::super::realm::repositories;
use super::super::signature::good_until;
use super::super::stored::Stored;
use super::super::telemetry;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);
/// The longest time for which a redirect is remembered.
const REDIRECT_LIVES_S_MAX: i64 = 3600;

/// A file of the cache with any head and body, its checksum in order: it is refused or reads back as what was read.
pub fn a_file_of_the_cache_is_refused_or_reads_back(bytes: &[u8]) {
    assert_eq!(
        Stored::decode("k", &Bytes::copy_from_slice(bytes)).map(|stored| again(&stored)),
        None,
        "a foreign file"
    );
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let mut checked = u32::from(u16::from_le_bytes(*length)).to_le_bytes().to_vec();
    checked.extend_from_slice(rest);
    let mut file = b"WPC1".to_vec();
    file.extend_from_slice(&crc32c::crc32c(&checked).to_le_bytes());
    file.extend_from_slice(&checked);
    if let Some(stored) = Stored::decode("k", &Bytes::from(file)) {
        assert_eq!(again(&stored), Some(stored), "it does not read back");
    }
}

fn again(stored: &Stored) -> Option<Stored> {
    Stored::decode("k", &Bytes::from(stored.encode("k")))
}

/// A URL of a storage is not handed out for longer than an hour, whatever it says of its signature.
pub fn a_signed_url_is_not_handed_out_for_long(bytes: &[u8]) {
    let Some(url) = str::from_utf8(bytes).ok().and_then(|text| Url::parse(text).ok()) else { return };
    let until = good_until(&url, NOW);
    assert!(until.0 <= NOW.0 + REDIRECT_LIVES_S_MAX * 1_000_000, "{url} until {until:?}");
}

/// A bearer token that the gateway did not make is not read, and one that it made says what was put into it; of scopes a bounded number of
/// names is read.
pub fn a_token_is_read_as_it_was_made_or_not_at_all(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let key = TokenKey::new([7; 32]);
    assert_eq!(read(&key, text, NOW), None, "a token that nobody made");
    let short = text.get(..text.floor_char_boundary(200)).unwrap_or_default();
    let claim = Claim { organization: short.to_owned(), name: short.to_owned(), by: ClaimBy::User };
    let token = issue(&key, Some(claim.clone()), NOW);
    assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?} cannot be sent");
    assert_eq!(read(&key, &token, NOW).and_then(|token| token.claim), Some(claim));
    assert_eq!(read(&key, &token, UnixMicros(NOW.0 + LIVES_S * 1_000_000)), None, "a token that has ended");
    assert_eq!(read(&TokenKey::new([8; 32]), &token, NOW), None, "a token of another gateway");
    let names = repositories(Some(text));
    assert!(names.len() <= 16, "{} names", names.len());
}

/// What a program sends is refused with a reason, or is an object within the bounds of a record.
pub fn an_object_that_is_taken_fits_into_a_record(bytes: &[u8]) {
    match telemetry::object(bytes) {
        Ok(object) => assert!(object.is_object(), "{object} is no object"),
        Err(refusal) => assert!(!refusal.body().is_empty() && refusal.status().is_client_error(), "{refusal:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_files_of_any_head(
            key in "k|x", headers in "\\[\\]|\\[\\[\"a\",\"b\"\\]\\]|[ -~]{0,5}", stored in any::<i64>(), body in prop::collection::vec(any::<u8>(), 0..9),
            longer in 0..3_usize,
        ) {
            let head = format!("{{\"key\":\"{key}\",\"headers\":{headers},\"stored\":{stored}}}");
            let mut file = u16::try_from(head.len() + longer).unwrap_or(0).to_le_bytes().to_vec();
            file.extend(head.bytes().chain(body));
            a_file_of_the_cache_is_refused_or_reads_back(&file);
        }

        #[test]
        fn holds_for_signatures_that_end_whenever(
            key in "Expires|X-Amz-Date|se|X-Goog-Date", end in "-?[0-9]{1,19}|[0-9]{8}T[0-9]{6}Z|[ -~]{0,9}", lives in "[0-9]{1,10}",
        ) {
            a_signed_url_is_not_handed_out_for_long(format!("https://s.example.org/b?{key}={end}&X-Amz-Expires={lives}").as_bytes());
        }

        #[test]
        fn holds_for_tokens_and_scopes(text in "whopulls1\\.[a-zA-Z0-9_-]{0,20}\\.[a-zA-Z0-9_-]{0,20}|(scope=repository:[a-z/%\"0-9]{0,9}:pull[ &]?){0,20}|\\PC{0,9}") {
            a_token_is_read_as_it_was_made_or_not_at_all(text.as_bytes());
        }

        #[test]
        fn holds_for_objects(text in "\\{(\"[a-z]{0,3}\":(1|\"\\PC{0,3}\"|\\[\\[1\\]\\]|\\{\\}),?){0,5}\\}|[ -~]{0,9}") {
            an_object_that_is_taken_fits_into_a_record(text.as_bytes());
        }
    }

    #[test]
    fn a_signature_that_ends_before_time_began_is_only_late() {
        a_signed_url_is_not_handed_out_for_long(b"https://s.example.org/b?Expires=-9223372036854775808");
    }
}
