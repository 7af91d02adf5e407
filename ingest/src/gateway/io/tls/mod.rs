//! What stands between the socket and HTTP: the PROXY protocol, TLS, the certificates and where they come from.

mod accept;
mod acme;
mod acme_store;
mod certificates;
mod transport;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::{CertificateFiles, Config};

pub use acme::AcmeError;
pub use certificates::{CertificateError, CertificateErrors};

pub(super) use accept::{Accepted, Acceptor};
pub(super) use acme::Challenges;

use super::authorities;
use crate::gateway::connection_metrics::ConnectionMetrics;
use acme::Acme;
use certificates::Certificates;

/// TLS cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Files that cannot be used, all of them.
    #[error(transparent)]
    Certificates(#[from] CertificateErrors),
    /// The TLS library refuses.
    #[error("set up TLS")]
    Library(#[from] rustls::Error),
    /// The certificates by ACME cannot be seen to.
    #[error("begin with [tls.acme]")]
    Acme(#[from] AcmeError),
}

/// Reads the files of `[tls]` as the gateway would, and keeps nothing.
pub(super) fn check_certificates(config: &Config) -> Result<(), TlsError> {
    certificates::check(&config.tls.certificates)?;
    if let Some(path) = config.tls.acme.as_ref().and_then(|acme| acme.ca_file.as_ref()) {
        authorities::read(path).map_err(|error| AcmeError::CaFile(path.clone(), error))?;
    }
    Ok(())
}

/// The part of the gateway that sees to certificates while others use them.
#[derive(Debug)]
pub(super) struct Tls {
    certificates: Option<Arc<Certificates>>,
    acme: Option<Acme>,
}

impl Tls {
    /// Reads the certificates, when anything needs them.
    pub(super) fn open(config: &Config, metrics: &ConnectionMetrics) -> Result<Self, TlsError> {
        let listens = config.gateway.as_ref().is_some_and(|gateway| gateway.tls_listen.is_some());
        let acme = config.tls.acme.as_ref().zip(config.acme_dir());
        if !listens && acme.is_none() {
            return Ok(Self { certificates: None, acme: None });
        }
        let files = &config.tls.certificates;
        let certificates = Arc::new(Certificates::open(files, acme.is_some(), metrics.clone())?);
        let open = |(acme, dir)| Acme::open(acme, dir, Arc::clone(&certificates), metrics.clone());
        let acme = acme.map(open).transpose()?;
        Ok(Self { certificates: Some(certificates), acme })
    }

    pub(super) fn acceptor(&self) -> Acceptor {
        Acceptor::new(self.certificates.as_deref())
    }

    /// Answers to http-01 challenges, where such may come.
    pub(super) fn challenges(&self) -> Option<Arc<Challenges>> {
        self.acme.as_ref().map(Acme::challenges)
    }

    /// What a reload of the configuration calls.
    pub(super) fn reloader(&self) -> CertificateReloader {
        CertificateReloader(self.certificates.clone())
    }

    /// Watches the files and renews, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let watch = async {
            if let Some(certificates) = self.certificates {
                certificates.watch(stop.clone()).await;
            }
        };
        let renew = async {
            if let Some(acme) = self.acme {
                acme.run(stop.clone()).await;
            }
        };
        tokio::join!(watch, renew);
    }
}

/// Reads certificates again on demand; files that change are read again without it.
#[derive(Debug, Clone)]
pub struct CertificateReloader(Option<Arc<Certificates>>);

impl CertificateReloader {
    /// Takes over what `[[tls.certificates]]` names now and reads all of it again: all or nothing. It reads files, so it blocks. A gateway
    /// that began without TLS goes on without.
    ///
    /// # Errors
    /// One of them cannot be used; then the old ones stay.
    pub fn reload(&self, files: &[CertificateFiles]) -> Result<(), CertificateErrors> {
        self.0.as_ref().map_or(Ok(()), |certificates| certificates.reload(files))
    }
}
