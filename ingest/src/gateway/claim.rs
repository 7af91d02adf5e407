//! Organizations that say themselves who they are: by a host name or a user name that only they have.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use whopulls_schemas::config::OrganizationConfig;
use whopulls_schemas::raw::{Claim, ClaimBy, bounded};

use super::hosts::HostMap;

/// Everybody who may say who they are.
#[derive(Debug, Default)]
pub(crate) struct Organizations {
    hosts: HostMap<Claim>,
    users: HashMap<String, User>,
}

#[derive(Debug)]
struct User {
    claim: Claim,
    /// SHA-256 of the password, in hexadecimal; any password is taken where there is none.
    password_sha256: Option<String>,
}

/// What a request says about who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimOutcome<'a> {
    /// Nothing that the configuration knows.
    Nobody,
    /// It is this organization's.
    Known(&'a Claim),
    /// It gave a user name that an organization has, and not its password.
    WrongPassword,
}

impl Organizations {
    pub(crate) fn of(configs: &[OrganizationConfig]) -> Self {
        let claim = |config: &OrganizationConfig, by| Claim {
            organization: bounded(&config.id),
            name: bounded(config.name.as_ref().unwrap_or(&config.id)),
            by,
        };
        let hosts = configs.iter().flat_map(|c| c.hosts.iter().map(move |host| (host, claim(c, ClaimBy::Host))));
        let users = configs.iter().flat_map(|c| {
            let user = move || User { claim: claim(c, ClaimBy::User), password_sha256: c.password_sha256.clone() };
            c.users.iter().map(move |name| (name.clone(), user()))
        });
        Self { hosts: hosts.collect(), users: users.collect() }
    }

    /// Who sends a request. The user name says more than the host name, which anybody can ask for; a user name that no organization has says
    /// nothing.
    pub(crate) fn claim(&self, host: Option<&str>, authorization: Option<&HeaderValue>) -> ClaimOutcome<'_> {
        if !self.users.is_empty()
            && let Some((name, password)) = authorization.and_then(|value| basic(value.as_bytes()))
            && let Some(user) = self.users.get(&name)
        {
            return if user.admits(&password) { ClaimOutcome::Known(&user.claim) } else { ClaimOutcome::WrongPassword };
        }
        host.and_then(|host| self.hosts.get(host)).map_or(ClaimOutcome::Nobody, ClaimOutcome::Known)
    }
}

impl User {
    /// The time it takes says nothing about the password.
    fn admits(&self, password: &[u8]) -> bool {
        let Some(wanted) = &self.password_sha256 else { return true };
        let given = HEXLOWER.encode(&Sha256::digest(password));
        bool::from(given.as_bytes().ct_eq(wanted.as_bytes()))
    }
}

/// User name and password of RFC 7617. The first colon parts them; a name that is not UTF-8 is nobody's.
fn basic(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = value.split_at_checked("basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded.get(..colon)?.to_vec()).ok()?;
    Some((name, decoded.get(colon + 1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `open sesame`.
    const SESAME: &str = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";

    fn organizations() -> Organizations {
        let organization = |id: &str, name: Option<&str>, hosts: &[&str], users: &[&str], password: Option<&str>| {
            let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            let (id, name, password_sha256) = (id.to_owned(), name.map(Into::into), password.map(Into::into));
            OrganizationConfig { id, name, hosts: owned(hosts), users: owned(users), password_sha256 }
        };
        Organizations::of(&[
            organization("example.com", Some("Example"), &["Example-Com.get.example.org"], &["example-com"], None),
            organization("example.net", None, &["net.get.example.org"], &["example-net", "net:ci"], Some(SESAME)),
        ])
    }

    fn header(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    /// `expected` is id, name and how; `WRONG` where the password is not the organization's.
    #[track_caller]
    fn check(host: Option<&str>, authorization: Option<&str>, expected: Option<(&str, &str, ClaimBy)>) {
        let organizations = organizations();
        let value = authorization.map(|text| HeaderValue::from_str(text).expect("a header value"));
        match (organizations.claim(host, value.as_ref()), expected) {
            (ClaimOutcome::Nobody, None) => {}
            (ClaimOutcome::Known(claim), Some(expected)) => {
                assert_eq!((claim.organization.as_str(), claim.name.as_str(), claim.by), expected);
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[track_caller]
    fn check_refused(host: Option<&str>, credentials: &str) {
        let value = HeaderValue::try_from(header(credentials)).expect("a header value");
        assert_eq!(organizations().claim(host, Some(&value)), ClaimOutcome::WrongPassword);
    }

    const COM_HOST: Option<&str> = Some("example-com.get.example.org");
    const COM: &str = "example.com";

    #[test]
    fn a_host_name_says_who_asks() {
        check(COM_HOST, None, Some((COM, "Example", ClaimBy::Host)));
        check(Some("EXAMPLE-com.GET.example.org"), None, Some((COM, "Example", ClaimBy::Host)));
        check(Some("net.get.example.org"), None, Some(("example.net", "example.net", ClaimBy::Host)));
        check(Some("get.example.org"), None, None);
        check(None, None, None);
    }

    #[test]
    fn a_user_name_says_who_asks_and_outweighs_the_host() {
        check(None, Some(&header("example-com:whatever")), Some((COM, "Example", ClaimBy::User)));
        check(None, Some(&header("example-com:")), Some((COM, "Example", ClaimBy::User)));
        let net = Some(("example.net", "example.net", ClaimBy::User));
        check(COM_HOST, Some(&header("example-net:open sesame")), net);
        check(None, Some(&header("example-net:open sesame").replace("Basic", "bASIC")), net);
    }

    #[test]
    fn a_wrong_password_is_refused_even_at_a_host_of_ones_own() {
        check_refused(None, "example-net:open");
        check_refused(None, "example-net:");
        check_refused(COM_HOST, "example-net:open sesame ");
    }

    #[test]
    fn an_unknown_or_unreadable_user_is_nobody() {
        for authorization in [
            &header("stranger:open sesame"),
            &header("Example-Com:x"),
            &header("net:ci:open sesame"),
            &header("example-com"),
            "Basic",
            "Basic ",
            "Basic !!!",
            "Bearer ZXhhbXBsZS1jb206eA==",
            "",
        ] {
            check(None, Some(authorization), None);
            check(COM_HOST, Some(authorization), Some((COM, "Example", ClaimBy::Host)));
        }
    }
}
