//! The certificates of `[tls]`: read from files, read again when they change, chosen in each handshake.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::CertificateFiles;

use super::super::super::certificates::{Certificate, CertificateFault, Choice};
use super::TlsError;
use crate::file_watch::FileWatch;
use crate::gateway::connection_metrics::ConnectionMetrics;
use crate::io::clock;

/// The protocol of tls-alpn-01 (RFC 8737).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";
/// How often the files are looked at. A changed one is read when it has stood still from one look to the next: key and certificate are two
/// files, and whoever replaces them does it one after the other.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A chain of certificates is some kB; this is a bound against a wrong path.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate's files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("use the certificate {} with the key {}", .cert_file.display(), .key_file.display())]
pub struct CertificateError {
    cert_file: PathBuf,
    key_file: PathBuf,
    source: FilesFault,
}

#[derive(Debug, thiserror::Error)]
enum FilesFault {
    #[error("read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
}

/// All of `[[tls.certificates]]` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} of the certificates cannot be used:{}", .0.len(), lines(.0))]
pub struct CertificateErrors(pub Vec<CertificateError>);

fn lines(errors: &[CertificateError]) -> String {
    errors.iter().fold(String::new(), |text, error| text + &format!("\n  {error}: {}", chain(&error.source)))
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// What tells that a file was replaced or written to.
type Print = Option<(u64, u64, u64, i64, i64)>;

/// The two files of a certificate as they were seen.
type Prints = (Print, Print);

/// All certificates. Connections under way keep theirs; new ones are chosen from what is there at their beginning.
#[derive(Debug)]
pub(super) struct Certificates {
    resolver: Arc<Resolver>,
    state: Mutex<State>,
    provider: Arc<CryptoProvider>,
    metrics: ConnectionMetrics,
    server: Arc<ServerConfig>,
}

#[derive(Debug)]
struct State {
    files: Vec<Watched>,
    acme: Option<Certificate>,
}

#[derive(Debug)]
struct Watched {
    files: CertificateFiles,
    certificate: Certificate,
    watch: FileWatch<Prints>,
}

/// Chooses in the handshake. It takes no lock.
#[derive(Debug, Default)]
struct Resolver {
    choice: ArcSwap<Choice>,
    /// Answers to tls-alpn-01 challenges by host name; empty but for the seconds of an order.
    challenges: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ACME_TLS) && protocols.next().is_none() {
            return self.challenges.load().get(&name?.to_ascii_lowercase()).cloned();
        }
        self.choice.load().of_name(name)
    }
}

impl Certificates {
    /// Reads the files. With `challenges` the handshake also speaks tls-alpn-01.
    pub(super) fn open(
        files: &[CertificateFiles],
        challenges: bool,
        metrics: ConnectionMetrics,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let read = read_all(files, &provider)?;
        let resolver = Arc::new(Resolver::default());
        let server = server_config(&provider, Arc::clone(&resolver), challenges)?;
        let state = Mutex::new(State { files: read, acme: None });
        let certificates = Self { resolver, state, provider, metrics, server: Arc::new(server) };
        certificates.publish(&certificates.locked());
        Ok(certificates)
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    pub(super) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    /// Takes over what the configuration names now, and reads all of it again; all or nothing.
    pub(super) fn reload(&self, files: &[CertificateFiles]) -> Result<(), CertificateErrors> {
        let read = read_all(files, &self.provider);
        let mut state = self.locked();
        match read {
            Ok(read) => {
                state.files = read;
                self.publish(&state);
                Ok(())
            }
            Err(errors) => {
                self.metrics.reload_failures.inc();
                Err(errors)
            }
        }
    }

    /// Looks at the files again and again, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let this = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%error, "the certificates' files are not looked at any more");
                return;
            }
        }
    }

    /// One look: what changed and has settled is read, and replaces the old one if it is good.
    fn look(&self) {
        let mut state = self.locked();
        let mut changed = false;
        for watched in &mut state.files {
            if !watched.watch.handle_look(prints(&watched.files)) {
                continue;
            }
            match read(&watched.files, &self.provider) {
                Ok(certificate) => {
                    tracing::info!(file = %watched.files.cert_file.display(), "a certificate was replaced");
                    watched.certificate = certificate;
                    changed = true;
                }
                Err(error) => {
                    self.metrics.reload_failures.inc();
                    let error = lines(&[error]);
                    tracing::error!(%error, "a changed certificate is refused; the old one stays");
                }
            }
        }
        if changed {
            self.publish(&state);
        }
    }

    /// The certificate that an authority gave.
    pub(super) fn set_acme(&self, certificate: Certificate) {
        let mut state = self.locked();
        state.acme = Some(certificate);
        self.publish(&state);
    }

    /// What is shown to an authority that asks for this name.
    pub(super) fn set_challenges(&self, challenges: HashMap<String, Arc<CertifiedKey>>) {
        self.resolver.challenges.store(Arc::new(challenges));
    }

    fn publish(&self, state: &State) {
        let of_files = state.files.iter().map(|watched| &watched.certificate);
        self.resolver.choice.store(Arc::new(Choice::of(of_files.chain(&state.acme))));
        for watched in &state.files {
            let file = watched.files.cert_file.display().to_string();
            self.metrics.set_not_after(file, watched.certificate.validity.not_after_s);
        }
        if let Some(acme) = &state.acme {
            self.metrics.set_not_after("acme".to_owned(), acme.validity.not_after_s);
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing is left half done when a thread panics here: each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    resolver: Arc<Resolver>,
    challenges: bool,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    // Tickets hold a session at the client: nothing is kept here for each of many clients.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if challenges {
        config.alpn_protocols.push(ACME_TLS.to_vec());
    }
    Ok(config)
}

fn read_all(files: &[CertificateFiles], provider: &CryptoProvider) -> Result<Vec<Watched>, CertificateErrors> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for files in files {
        let watch = FileWatch::of(prints(files));
        match read(files, provider) {
            Ok(certificate) => good.push(Watched { files: files.clone(), certificate, watch }),
            Err(error) => bad.push(error),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(CertificateErrors(bad)) }
}

/// Whether all of them can be used.
pub(super) fn check(files: &[CertificateFiles]) -> Result<(), CertificateErrors> {
    read_all(files, &rustls::crypto::ring::default_provider()).map(drop)
}

fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Certificate, CertificateError> {
    let read = || {
        let (chain, key) = (read_bounded(&files.cert_file)?, read_bounded(&files.key_file)?);
        Ok(Certificate::read(&chain, &key, now_s(), provider)?)
    };
    let CertificateFiles { cert_file, key_file } = files;
    read().map_err(|source| CertificateError { cert_file: cert_file.clone(), key_file: key_file.clone(), source })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, FilesFault> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| FilesFault::Read(path.to_owned(), error))?;
    Ok(bytes)
}

fn prints(files: &CertificateFiles) -> Prints {
    let print = |path: &Path| {
        let facts = fs::metadata(path).ok()?;
        Some((facts.dev(), facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()))
    };
    (print(&files.cert_file), print(&files.key_file))
}

pub(super) fn now_s() -> i64 {
    clock::now().0 / 1_000_000
}
