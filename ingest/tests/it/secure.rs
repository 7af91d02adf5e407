//! A gateway with TLS, certificates for it, and clients that trust them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use whopulls_ingest::GatewayRole;
use whopulls_ingest::gateway::CertificateReloader;
use whopulls_ingest::metrics::Metrics;
use whopulls_ingest::spool::{Reader, Spool};
use whopulls_schemas::config::{CertificateFiles, Config};
use whopulls_schemas::raw::{RawAccess, stamp};

use crate::support::PATIENCE;

/// One rule of files, for tests that are about connections.
pub(crate) const FILES: &str = r#"
[[route]]
id = "files"
kind = "file"
match = "/f/{package}"
to = "https://files.example.org/{package}"
"#;

pub(crate) struct Secure {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) metrics: Metrics,
    pub(crate) certificates: CertificateReloader,
    spool: Spool,
    reader: Reader,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Secure {
    /// `gateway` are the keys of its section, `rest` further sections.
    pub(crate) async fn start(dir: &Path, gateway: &str, rest: &str) -> Self {
        Self::try_start(dir, gateway, rest).await.expect("the gateway opens")
    }

    pub(crate) async fn try_start(dir: &Path, gateway: &str, rest: &str) -> anyhow::Result<Self> {
        let text = format!("data = \"{}\"\n[gateway]\n{gateway}\n{rest}\n", dir.join("data").display());
        let config = Config::parse("test", &text, &[]).expect("the configuration is good");
        let role = GatewayRole::open(&config).await?;
        let (address, tls, spool) = (role.local_addr(), role.tls_addr(), role.spool().clone());
        let (metrics, certificates) = (role.metrics().clone(), role.certificates());
        let reader = spool.reader("test").expect("the reader opens");
        let stop = CancellationToken::new();
        let task = tokio::spawn(role.run(stop.clone()));
        Ok(Self { address, tls, metrics, certificates, spool, reader, stop, task })
    }

    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.tls.expect("it listens with TLS")
    }

    pub(crate) fn records(&mut self) -> Vec<RawAccess> {
        let records = self.reader.read(usize::MAX, usize::MAX).expect("nothing is damaged");
        let node = self.spool.node();
        let decode = |seq, payload: &[u8]| RawAccess::decode(&stamp(node, seq, payload)).expect("the record is good");
        records.iter().map(|r| decode(r.seq, &r.payload)).collect()
    }

    /// How many connections the gateway ended for this reason.
    pub(crate) fn ended(&self, reason: &'static str) -> u64 {
        let labels = whopulls_ingest::gateway::connection_metrics::EndLabels { reason };
        self.metrics.connection.ended.get_or_create(&labels).get()
    }

    pub(crate) async fn stop(self) {
        let Self { stop, task, spool, reader, .. } = self;
        // The gateway's own hold on the spool is the last: with its end the folder is free for another one.
        drop((reader, spool));
        stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, task).await.expect("the gateway stops in time");
        ended.expect("the gateway does not panic").expect("the gateway stops well");
    }
}

/// A self-signed certificate with its key.
pub(crate) struct Pem {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pem {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::ending_in(names, 2999)
    }

    pub(crate) fn ending_in(names: &[&str], year: i32) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("good names");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        Self { chain: params.self_signed(&key).expect("a certificate").pem(), key: key.serialize_pem() }
    }

    /// Replaces the files as renewing tools do: each by a rename.
    pub(crate) fn write(&self, files: &CertificateFiles) {
        for (path, text) in [(&files.cert_file, &self.chain), (&files.key_file, &self.key)] {
            let next = path.with_extension("next");
            fs::write(&next, text).expect("it is written");
            fs::rename(&next, path).expect("it is renamed");
        }
    }
}

pub(crate) fn files(dir: &Path, name: &str) -> CertificateFiles {
    CertificateFiles { cert_file: dir.join(format!("{name}.crt")), key_file: dir.join(format!("{name}.key")) }
}

pub(crate) fn section(files: &CertificateFiles) -> String {
    let (cert_file, key_file) = (files.cert_file.display(), files.key_file.display());
    format!("[[tls.certificates]]\ncert_file = \"{cert_file}\"\nkey_file = \"{key_file}\"\n")
}

/// Files of a certificate for these names, and their section.
pub(crate) fn written(dir: &Path, name: &str, names: &[&str]) -> (PathBuf, String) {
    let files = files(dir, name);
    Pem::new(names).write(&files);
    (files.cert_file.clone(), section(&files))
}

/// Shakes hands, trusting what is in `roots`.
pub(crate) async fn handshake(
    stream: TcpStream,
    name: &str,
    roots: &[u8],
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots) {
        store.add(root.expect("it is PEM")).expect("it is a certificate");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("the versions are good").with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Whether a client that trusts only `roots` is served under `name`.
pub(crate) async fn is_served(address: SocketAddr, name: &str, roots: &[u8]) -> bool {
    let stream = TcpStream::connect(address).await.expect("it listens");
    handshake(stream, name, roots, &[b"http/1.1"]).await.is_ok()
}

/// Sends bytes and reads until the other side ends, or stops with an error.
pub(crate) async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let talked = tokio::time::timeout(PATIENCE, async {
        io.write_all(bytes).await.expect("it is sent");
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = io.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..read]);
        }
        answer
    });
    String::from_utf8_lossy(&talked.await.expect("the connection ends in time")).into_owned()
}

pub(crate) async fn exchange_plain(address: SocketAddr, bytes: &[u8]) -> String {
    exchange(TcpStream::connect(address).await.expect("it listens"), bytes).await
}

#[track_caller]
pub(crate) fn check_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}
