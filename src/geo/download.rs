//! Fetching a database and its checksum over HTTP, within bounds.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::time::Duration;

use indicatif::ProgressBar;
use reqwest::header::{AUTHORIZATION, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use url::Url;
use whopulls_schemas::config::SourceUrl;

use super::digest;
use super::hop::{Authorization, HopError, advice, is_passing, next_hop};

/// The largest download, and the largest database: as much as a worker reads.
pub(super) const BYTES_MAX: u64 = 1 << 30;

/// The most of a published checksum; it has less than 200 bytes.
const CHECKSUM_BYTES_MAX: usize = 64 << 10;

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a server may stand still in the middle of an answer.
const STALL_MAX: Duration = Duration::from_mins(1);

/// How long one try may take: [`BYTES_MAX`] at 600 kB a second.
const TRY_MAX: Duration = Duration::from_mins(30);

/// What is waited before the second try and the third: with three tries a source is given up after an hour and a half.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

const REDIRECTS_MAX: usize = 5;

/// Why something was not fetched.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("get {url}")]
    Http {
        url: SourceUrl,
        #[source]
        source: reqwest::Error,
    },
    #[error("get {url}: it answers {status}: {}", advice(*status))]
    Status { url: SourceUrl, status: StatusCode },
    #[error("get {url}: it {why}")]
    Hop { url: SourceUrl, why: HopError },
    #[error("get {url}: it redirects more than {REDIRECTS_MAX} times")]
    Redirects { url: SourceUrl },
    #[error("get {url}: it gives more than {bytes_max} bytes, which is the most")]
    TooLarge { url: SourceUrl, bytes_max: u64 },
    #[error("get {url}: it is not complete after {} minutes", TRY_MAX.as_secs() / 60)]
    TooSlow { url: SourceUrl },
    #[error("read the checksum at {url}: neither the first word nor `checksums.sha256` is a SHA-256")]
    NoChecksum { url: SourceUrl },
    #[error("write what {url} gives")]
    Write {
        url: SourceUrl,
        #[source]
        source: io::Error,
    },
}

impl FetchError {
    /// Whether another try may go better.
    fn is_passing(&self) -> bool {
        match self {
            Self::Http { .. } => true,
            Self::Status { status, .. } => is_passing(*status),
            Self::Hop { .. }
            | Self::Redirects { .. }
            | Self::TooLarge { .. }
            | Self::TooSlow { .. }
            | Self::NoChecksum { .. }
            | Self::Write { .. } => false,
        }
    }
}

/// Who fetches. Proxies of the environment (`HTTPS_PROXY`) are used, as other programs do.
#[derive(Debug)]
pub(super) struct Downloader {
    client: Client,
}

impl Downloader {
    pub(super) fn new() -> reqwest::Result<Self> {
        // The checksum is of the bytes as they are sent, so nothing may be decompressed on the way. Redirects are ours to follow.
        let builder = Client::builder().user_agent(concat!("whopulls/", env!("CARGO_PKG_VERSION")));
        let builder = builder.no_gzip().no_brotli().no_zstd().no_deflate().redirect(Policy::none());
        Ok(Self { client: builder.connect_timeout(CONNECT_MAX).read_timeout(STALL_MAX).build()? })
    }

    /// The checksum that is published at `url`.
    pub(super) async fn checksum(
        &self,
        url: &SourceUrl,
        authorization: Option<&Authorization>,
    ) -> Result<String, FetchError> {
        with_retries(url, async || {
            let mut response = self.ask(url, authorization).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| http(url, error))? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > CHECKSUM_BYTES_MAX {
                    return Err(FetchError::TooLarge { url: url.clone(), bytes_max: CHECKSUM_BYTES_MAX as u64 });
                }
            }
            digest::told_by(&String::from_utf8_lossy(&bytes)).ok_or_else(|| FetchError::NoChecksum { url: url.clone() })
        })
        .await
    }

    /// Writes what is at `url` to an empty file, and gives its SHA-256.
    pub(super) async fn download(
        &self,
        url: &SourceUrl,
        authorization: Option<&Authorization>,
        into: &File,
        bar: &ProgressBar,
    ) -> Result<String, FetchError> {
        with_retries(url, async || {
            let failed = |source| FetchError::Write { url: url.clone(), source };
            let mut out = into;
            // A try before this one may have left half of it.
            out.set_len(0).and_then(|()| out.rewind()).map_err(failed)?;
            bar.reset();
            let mut response = self.ask(url, authorization).await?;
            if let Some(length) = response.content_length() {
                bar.set_length(length);
            }
            let too_large = || FetchError::TooLarge { url: url.clone(), bytes_max: BYTES_MAX };
            if response.content_length().is_some_and(|length| length > BYTES_MAX) {
                return Err(too_large());
            }
            let (mut hasher, mut byte_count) = (Sha256::new(), 0_u64);
            while let Some(chunk) = response.chunk().await.map_err(|error| http(url, error))? {
                byte_count = byte_count.saturating_add(chunk.len() as u64);
                if byte_count > BYTES_MAX {
                    return Err(too_large());
                }
                hasher.update(&chunk);
                out.write_all(&chunk).map_err(failed)?;
                bar.set_position(byte_count);
            }
            Ok(digest::of_hasher(hasher))
        })
        .await
    }

    /// Asks `url` and what it leads to. The authorization goes to its own host only.
    async fn ask(&self, url: &SourceUrl, authorization: Option<&Authorization>) -> Result<Response, FetchError> {
        let mut at: Url = url.reveal().clone();
        for _ in 0..=REDIRECTS_MAX {
            let told = authorization.and_then(|authorization| authorization.value_for(&at));
            let request = self.client.get(at.clone());
            let request = told.into_iter().fold(request, |request, value| request.header(AUTHORIZATION, value));
            let here = SourceUrl::new(at.clone());
            let response = request.send().await.map_err(|error| http(&here, error))?;
            match response.status() {
                StatusCode::OK => return Ok(response),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                    at = next_hop(&at, location).map_err(|why| FetchError::Hop { url: here, why })?;
                }
                status => return Err(FetchError::Status { url: here, status }),
            }
        }
        Err(FetchError::Redirects { url: url.clone() })
    }
}

/// What the client says of a failure names the URL with its query, which may hold a token or a signature.
fn http(url: &SourceUrl, error: reqwest::Error) -> FetchError {
    FetchError::Http { url: url.clone(), source: error.without_url() }
}

/// Tries three times, each from the beginning: a redirect's target is often good for a moment only.
async fn with_retries<T>(
    url: &SourceUrl,
    mut attempt: impl AsyncFnMut() -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let mut bounded = async || match tokio::time::timeout(TRY_MAX, attempt()).await {
        Ok(done) => done,
        Err(_elapsed) => Err(FetchError::TooSlow { url: url.clone() }),
    };
    for pause in PAUSES {
        match bounded().await {
            Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
            done => return done,
        }
    }
    bounded().await
}
