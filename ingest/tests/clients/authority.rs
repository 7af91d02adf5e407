//! A certificate authority that lives as long as a test, and a certificate of it for the loopback addresses.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The files that clients and servers are given.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// What clients trust.
    pub(crate) ca: PathBuf,
    /// A folder with `ca.crt` alone, for the clients that want a folder.
    pub(crate) ca_dir: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn make(dir: &Path) -> Self {
        let ca_dir = dir.join("trusted");
        std::fs::create_dir_all(&ca_dir).expect("a folder");
        let (ca, ca_key) = (ca_dir.join("ca.crt"), dir.join("ca.key"));
        let (key, request, certificate) = (dir.join("tls.key"), dir.join("tls.csr"), dir.join("tls.pem"));
        let names = dir.join("names");
        // An end entity that is not an authority, as rustls asks; the names that the clients call.
        let text =
            "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n";
        std::fs::write(&names, text).expect("the names are written");
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let constraints = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
        openssl(
            &format!("req -x509 {curve} -subj /CN=test-authority -days 2 {constraints}"),
            &[("-keyout", &ca_key), ("-out", &ca)],
        );
        openssl(&format!("req {curve} -subj /CN=test"), &[("-keyout", &key), ("-out", &request)]);
        openssl(
            "x509 -req -days 2 -set_serial 2",
            &[("-in", &request), ("-CA", &ca), ("-CAkey", &ca_key), ("-extfile", &names), ("-out", &certificate)],
        );
        Self { ca, ca_dir, certificate, key }
    }

    /// What a server of the test's own answers TLS with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(&self.certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("a key");
        // Named, since the workspace as a whole has more than one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider knows TLS").with_no_client_auth();
        let config = builder.with_single_cert(vec![certificate], key);
        TlsAcceptor::from(Arc::new(config.expect("certificate and key fit")))
    }
}

/// Runs openssl with words, and with options that have a path.
pub(crate) fn openssl(words: &str, paths: &[(&str, &Path)]) {
    let mut command = Command::new("openssl");
    command.args(words.split(' ')).stdin(Stdio::null());
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let output = command.output().expect("openssl runs");
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
}
