//! Certificates of authorities that are trusted besides the system's.

use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Reads the file, and gives its bytes once there is a certificate in them and nothing else.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let pem = std::fs::read(path)?;
    authorities(&pem)?;
    Ok(pem)
}

/// All certificates of a PEM file.
pub(super) fn authorities(pem: &[u8]) -> io::Result<Vec<reqwest::Certificate>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| wrong(format!("it is not PEM: {error}")))?;
        X509Certificate::from_der(&der).map_err(|error| wrong(format!("a certificate in it is not X.509: {error}")))?;
        found.push(reqwest::Certificate::from_der(&der).map_err(io::Error::other)?);
    }
    if found.is_empty() {
        return Err(wrong("there is no certificate in PEM in it".to_owned()));
    }
    Ok(found)
}
