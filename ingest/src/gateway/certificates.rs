//! Certificates: whether one can be used, and which one answers for a host name. Pure: bytes and the time are arguments.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::renewal::Validity;

/// Why a certificate with its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// Not PEM, or cut off.
    #[error("the certificate is not PEM")]
    CertificatePem(#[source] pem::Error),
    /// PEM, but no certificate in it.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// No private key in PEM, or one of an unknown kind.
    #[error("there is no private key in PEM in it")]
    KeyPem(#[source] pem::Error),
    /// Not to be read as X.509.
    #[error("the certificate is not X.509")]
    X509,
    /// Its time is over.
    #[error("the certificate ended {} days ago: get a new one", .days)]
    Expired {
        /// Since then.
        days: i64,
    },
    /// The key does not belong to it, or is of a kind that cannot sign.
    #[error("the private key does not fit the certificate")]
    Key(#[source] rustls::Error),
}

/// A certificate that can be used.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// The host names, in lower case; one may begin with `*.`.
    pub(crate) names: Vec<String>,
    pub(crate) validity: Validity,
}

const DAY_S: i64 = 86_400;

impl Certificate {
    /// Reads a certificate with its chain, and its key.
    pub(crate) fn read(
        chain_pem: &[u8],
        key_pem: &[u8],
        now_s: i64,
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateFault> {
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
        let chain = chain.map_err(CertificateFault::CertificatePem)?;
        let first = chain.first().ok_or(CertificateFault::NoCertificate)?;
        let (names, validity) = names_and_validity(first)?;
        if validity.not_after_s <= now_s {
            return Err(CertificateFault::Expired { days: (now_s - validity.not_after_s) / DAY_S });
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(CertificateFault::KeyPem)?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(CertificateFault::Key)?;
        Ok(Self { key: Arc::new(key), names, validity })
    }

    /// Whether it speaks for all of these names.
    pub(crate) fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}

fn names_and_validity(der: &CertificateDer<'_>) -> Result<(Vec<String>, Validity), CertificateFault> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateFault::X509)?;
    let alternatives = certificate.subject_alternative_name().map_err(|_| CertificateFault::X509)?;
    let names = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None });
    let validity = Validity {
        not_before_s: certificate.validity().not_before.timestamp(),
        not_after_s: certificate.validity().not_after.timestamp(),
    };
    Ok((names.collect(), validity))
}

/// Which certificate answers for which host name.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Choice {
    /// Of two certificates for one name the earlier counts; the first of all serves clients that name no host, or an unknown one.
    pub(crate) fn of<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Self {
        let mut choice = Self::default();
        for certificate in certificates {
            for name in &certificate.names {
                choice.by_name.entry(name.clone()).or_insert_with(|| Arc::clone(&certificate.key));
            }
            choice.first.get_or_insert_with(|| Arc::clone(&certificate.key));
        }
        choice
    }

    /// The certificate for the name that a client gave. A wildcard stands for one label.
    pub(crate) fn of_name(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wild = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(&name).or_else(wild)
        });
        found.or(self.first.as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, date_time_ymd};

    use super::*;

    /// In 2030.
    const NOW_S: i64 = 1_900_000_000;

    fn provider() -> CryptoProvider {
        rustls::crypto::ring::default_provider()
    }

    fn pem(names: &[&str], end_year: i32) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(end_year, 1, 1);
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    fn good(names: &[&str]) -> Certificate {
        let (chain, key) = pem(names, 2040);
        Certificate::read(chain.as_bytes(), key.as_bytes(), NOW_S, &provider()).expect("the certificate is good")
    }

    #[track_caller]
    fn check_refused(chain: &str, key: &str, expected: &str) {
        let read = Certificate::read(chain.as_bytes(), key.as_bytes(), NOW_S, &provider());
        assert_eq!(read.expect_err("it is bad").to_string(), expected);
    }

    #[test]
    fn a_good_one_says_its_names_and_its_end() {
        let certificate = good(&["Get.example.org", "*.example.net"]);
        assert_eq!(certificate.names, ["get.example.org", "*.example.net"]);
        assert_eq!(certificate.validity.not_after_s, 2_208_988_800);
        assert!(certificate.covers(&["GET.example.org".to_owned()]));
        assert!(!certificate.covers(&["get.example.org".to_owned(), "other.example.org".to_owned()]));
    }

    #[test]
    fn a_bad_one_is_refused_with_the_reason() {
        let (chain, key) = pem(&["a.example.org"], 2040);
        let (_, other_key) = pem(&["a.example.org"], 2040);
        let (old, old_key) = pem(&["a.example.org"], 2030);
        check_refused(&chain, &other_key, "the private key does not fit the certificate");
        check_refused(&old, &old_key, "the certificate ended 75 days ago: get a new one");
        check_refused("", &key, "there is no certificate in it");
        check_refused(&chain, "", "there is no private key in PEM in it");
        check_refused(&key, &key, "there is no certificate in it");
        check_refused("-----BEGIN CERTIFICATE-----\nAAAA\n", &key, "the certificate is not PEM");
        check_refused(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "the certificate is not X.509",
        );
    }

    #[track_caller]
    fn check(choice: &Choice, name: Option<&str>, expected: &Certificate) {
        let chosen = choice.of_name(name).expect("there is one");
        assert!(Arc::ptr_eq(&chosen, &expected.key), "{name:?}");
    }

    #[test]
    fn the_name_chooses_and_the_first_is_the_default() {
        let (first, second) = (good(&["a.example.org"]), good(&["b.example.org", "*.example.net", "a.example.org"]));
        let choice = Choice::of([&first, &second]);
        check(&choice, Some("a.example.org"), &first);
        check(&choice, Some("B.example.org"), &second);
        check(&choice, Some("any.example.net"), &second);
        check(&choice, Some("two.labels.example.net"), &first);
        check(&choice, Some("example.net"), &first);
        check(&choice, Some("unknown"), &first);
        check(&choice, None, &first);
        assert!(Choice::default().of_name(Some("a")).is_none());
    }
}
