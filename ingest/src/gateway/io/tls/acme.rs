//! Certificates by ACME: ordered, proven, kept, renewed.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeHandle, ChallengeType, HttpClient, Identifier,
    KeyAuthorization, LetsEncrypt, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::{AcmeChallenge, AcmeConfig};

use super::super::super::certificates::{Certificate, CertificateFault};
use super::super::super::renewal;
use super::super::authorities;
use super::acme_store::AcmeStore;
use super::certificates::{Certificates, now_s};
use crate::gateway::connection_metrics::ConnectionMetrics;

/// Where an authority asks for an http-01 challenge's answer.
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// One request to the authority.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A whole order: a few names, each looked at by the authority from several places.
const ORDER_TIMEOUT: Duration = Duration::from_mins(5);
/// Directories, orders and chains are some kB.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const POLLS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_mins(2));

/// ACME cannot be begun, or an order failed.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The folder cannot be used.
    #[error("use the folder {} of [tls.acme]", dir.display())]
    Store {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `tls.acme.ca_file` cannot be used.
    #[error("use the certificate {} to talk to the ACME authority", .0.display())]
    CaFile(PathBuf, #[source] io::Error),
    /// No client for the authority.
    #[error("make the client for the ACME authority")]
    Client(#[source] reqwest::Error),
    /// The authority refused, or did not answer.
    #[error("ask the ACME authority")]
    Authority(#[from] instant_acme::Error),
    /// The authority offers other kinds of challenge only.
    #[error("the ACME authority does not offer the challenge that `tls.acme.challenge` names")]
    NoChallenge,
    /// The authority did not see what it looked for.
    #[error("the ACME authority did not find the names to be ours: is this gateway what they lead to?")]
    Invalid,
    /// No key or certificate for a challenge.
    #[error("make the certificate that answers the challenge")]
    ChallengeCertificate(#[source] Box<dyn StdError + Send + Sync>),
    /// What the authority gave is no certificate for its key.
    #[error("use the certificate that the ACME authority gave")]
    Given(#[from] CertificateFault),
    /// The authority took too long.
    #[error("the order took longer than {} s", ORDER_TIMEOUT.as_secs())]
    Timeout,
    /// A renewal would be due at once.
    #[error("the certificate that the ACME authority gave is nearly over: is this machine's clock right?")]
    NearlyOver,
}

/// Answers to http-01 challenges; empty but for the seconds of an order.
#[derive(Debug, Default)]
pub(in crate::gateway::io) struct Challenges(ArcSwap<HashMap<String, String>>);

impl Challenges {
    /// The answer for a path, if it is that of a challenge.
    pub(in crate::gateway::io) fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        self.0.load().get(token).cloned()
    }
}

/// Sees to a certificate for the configured names.
#[derive(Debug)]
pub(super) struct Acme {
    config: AcmeConfig,
    store: AcmeStore,
    client: reqwest::Client,
    certificates: Arc<Certificates>,
    challenges: Arc<Challenges>,
    metrics: ConnectionMetrics,
    current: Option<Certificate>,
}

impl Acme {
    /// Takes up the certificate of an earlier run.
    pub(super) fn open(
        config: &AcmeConfig,
        dir: PathBuf,
        certificates: Arc<Certificates>,
        metrics: ConnectionMetrics,
    ) -> Result<Self, AcmeError> {
        let store = AcmeStore::open(dir.clone(), &directory(config));
        let store = store.map_err(|source| AcmeError::Store { dir, source })?;
        let client = client(config)?;
        let kept = store.certificate().map_err(|source| AcmeError::Store { dir: store.dir().to_owned(), source })?;
        let mut current = None;
        if let Some(pem) = kept {
            match Certificate::read(&pem, &pem, now_s(), certificates.provider()) {
                Ok(certificate) if certificate.covers(&config.domains) => {
                    certificates.set_acme(certificate.clone());
                    current = Some(certificate);
                }
                Ok(_) => tracing::info!("the kept ACME certificate is for other names: another one is ordered"),
                Err(error) => tracing::warn!(%error, "the kept ACME certificate is of no use: another one is ordered"),
            }
        }
        let challenges = Arc::default();
        Ok(Self { config: config.clone(), store, client, certificates, challenges, metrics, current })
    }

    /// For the plain listener.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// Orders when it is time to, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let validity = self.current.as_ref().map(|certificate| certificate.validity);
            let wait = renewal::wait(validity, failures, now_s());
            if !wait.is_zero() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                if failures == 0 {
                    // It is time for another look at the clock, not for an order.
                    continue;
                }
            }
            let ordered = tokio::select! {
                () = stop.cancelled() => return,
                ordered = self.order() => ordered,
            };
            match ordered {
                Ok(()) => {
                    failures = 0;
                    self.metrics.acme_orders.inc();
                    tracing::info!(domains = ?self.config.domains, "a certificate was given by the ACME authority");
                }
                Err(error) => {
                    failures += 1;
                    self.metrics.acme_failures.inc();
                    // Without any certificate nobody can come in by TLS: that is a service down.
                    let (error, serving) = (anyhow::Error::from(error), self.current.is_some());
                    let next_s = renewal::wait(None, failures, 0).as_secs();
                    if serving {
                        tracing::warn!(error = %format!("{error:#}"), next_s, "the ACME certificate was not renewed");
                    } else {
                        tracing::error!(error = %format!("{error:#}"), next_s, "there is no ACME certificate yet");
                    }
                }
            }
        }
    }

    async fn order(&mut self) -> Result<(), AcmeError> {
        let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.ordered()).await;
        self.challenges.0.store(Arc::default());
        self.certificates.set_challenges(HashMap::new());
        let (key, chain) = ordered.map_err(|_elapsed| AcmeError::Timeout)??;
        let certificate = Certificate::read(chain.as_bytes(), key.as_bytes(), now_s(), self.certificates.provider())?;
        let kept = self.store.keep_certificate(&key, &chain);
        if let Err(error) = kept {
            // It serves all the same; only a restart would order again.
            tracing::error!(%error, dir = %self.store.dir().display(), "the ACME certificate cannot be kept");
        }
        let validity = certificate.validity;
        self.certificates.set_acme(certificate.clone());
        self.current = Some(certificate);
        if renewal::wait(Some(validity), 0, now_s()).is_zero() { Err(AcmeError::NearlyOver) } else { Ok(()) }
    }

    /// The key and the chain, both PEM.
    async fn ordered(&self) -> Result<(String, String), AcmeError> {
        let account = self.account().await?;
        let names: Vec<Identifier> = self.config.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        self.prove(&mut order).await?;
        if order.poll_ready(&POLLS).await? != OrderStatus::Ready {
            return Err(AcmeError::Invalid);
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&POLLS).await?;
        Ok((key, chain))
    }

    /// Shows the authority, name by name, that the names lead here.
    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        let kind = match self.config.challenge {
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            AcmeChallenge::Http01 => ChallengeType::Http01,
        };
        let (mut answers, mut certificates) = (HashMap::new(), HashMap::new());
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization.challenge(kind.clone()).ok_or(AcmeError::NoChallenge)?;
            let proof = challenge.key_authorization();
            if self.config.challenge == AcmeChallenge::Http01 {
                answers.insert(challenge.token.clone(), proof.as_str().to_owned());
                self.challenges.0.store(Arc::new(answers.clone()));
            } else {
                let (name, certificate) = self.challenge_certificate(&challenge, &proof)?;
                certificates.insert(name, Arc::new(certificate));
                self.certificates.set_challenges(certificates.clone());
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }

    fn challenge_certificate(
        &self,
        challenge: &ChallengeHandle<'_>,
        proof: &KeyAuthorization,
    ) -> Result<(String, CertifiedKey), AcmeError> {
        let name = challenge.identifier().to_string().to_ascii_lowercase();
        let failed = |error: rcgen::Error| AcmeError::ChallengeCertificate(error.into());
        let mut params = CertificateParams::new(vec![name.clone()]).map_err(failed)?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        // Not `from_der`: its check of the pair stops at the extension, which is critical by RFC 8737.
        let signing = self.certificates.provider().key_provider.load_private_key(key);
        let signing = signing.map_err(|error| AcmeError::ChallengeCertificate(error.into()))?;
        Ok((name, CertifiedKey::new(vec![certificate.der().clone()], signing)))
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        let failed = |source| AcmeError::Store { dir: self.store.dir().to_owned(), source };
        let builder = Account::builder_with_http(Box::new(Authority(self.client.clone())));
        let kept = self.store.account().map_err(failed)?;
        if let Some(credentials) = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact = self.config.contact.as_ref().map(|mail| format!("mailto:{mail}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&wanted, directory(&self.config), None).await?;
        let bytes = serde_json::to_vec(&credentials).map_err(|error| failed(error.into()))?;
        self.store.keep_account(&bytes).map_err(failed)?;
        Ok(account)
    }
}

fn directory(config: &AcmeConfig) -> String {
    config.directory.as_ref().map_or_else(|| LetsEncrypt::Production.url().to_owned(), ToString::to_string)
}

fn client(config: &AcmeConfig) -> Result<reqwest::Client, AcmeError> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST_TIMEOUT)
        .connect_timeout(REQUEST_TIMEOUT);
    if let Some(path) = &config.ca_file {
        let roots = authorities::read(path).and_then(|pem| authorities::authorities(&pem));
        for root in roots.map_err(|error| AcmeError::CaFile(path.clone(), error))? {
            builder = builder.add_root_certificate(root);
        }
    }
    builder.build().map_err(AcmeError::Client)
}

/// The gateway's own client, as the ACME library asks for it.
struct Authority(reqwest::Client);

impl HttpClient for Authority {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let asked = ask(&client, request).await;
            asked.map(BytesResponse::from).map_err(instant_acme::Error::Other)
        })
    }
}

async fn ask(
    client: &reqwest::Client,
    request: http::Request<BodyWrapper<Bytes>>,
) -> Result<http::Response<Full<Bytes>>, Box<dyn StdError + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))?;
    let mut response = client.execute(request).await?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too long".into());
        }
        bytes.extend_from_slice(&piece);
    }
    let mut answer = http::Response::new(Full::new(bytes.freeze()));
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    Ok(answer)
}
