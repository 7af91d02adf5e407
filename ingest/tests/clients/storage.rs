//! The storage that a registry sends its clients to for layers: files over HTTPS, counted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::authority::Authority;

pub(crate) struct Storage {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Storage {
    /// Serves the files under `root`.
    pub(crate) async fn start(root: PathBuf, authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(AtomicU64::new(0));
        let (acceptor, counter) = (authority.acceptor(), Arc::clone(&sent));
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (acceptor, root, counter) = (acceptor.clone(), root.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let answer = answer(&root, &request, &counter);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    // A client that hangs up is no failure of the storage.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, sent }
    }

    /// By name, where the gateway has an address: a client meets another host.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The bytes of the bodies sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn answer(root: &Path, request: &Request<Incoming>, sent: &AtomicU64) -> Response<Full<Bytes>> {
    // A signed URL stops working when somebody's credentials come with it: so does this storage.
    let refused = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.headers().contains_key("authorization") {
        return refused(StatusCode::BAD_REQUEST);
    }
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
    let Ok(bytes) = std::fs::read(root.join(path)) else { return refused(StatusCode::NOT_FOUND) };
    // Documents of package indexes are known by their type.
    let media_type = match bytes.first() {
        Some(b'{') => "application/json",
        Some(b'<') => "text/html",
        _ => "application/octet-stream",
    };
    let (mut status, mut bytes) = (StatusCode::OK, Bytes::from(bytes));
    let mut response = Response::builder().header("content-type", media_type);
    let length = bytes.len();
    if let Some(range) = request.headers().get("range").and_then(|range| range.to_str().ok()) {
        let Some((first, last)) = range_of(range, length) else { return refused(StatusCode::RANGE_NOT_SATISFIABLE) };
        (status, bytes) = (StatusCode::PARTIAL_CONTENT, bytes.slice(first..=last));
        response = response.header("content-range", format!("bytes {first}-{last}/{length}"));
    }
    response = response.status(status).header("content-length", bytes.len());
    let body = if request.method() == Method::HEAD { Bytes::new() } else { bytes };
    sent.fetch_add(body.len() as u64, Ordering::SeqCst);
    response.body(Full::new(body)).expect("a good answer")
}

/// The first and last byte of `bytes=first-last`, `bytes=first-` or `bytes=-count`, within the length.
fn range_of(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count: usize = last.parse().ok()?;
        return Some((length.saturating_sub(count), length.checked_sub(1)?));
    }
    let first = first.parse().ok()?;
    let last = if last.is_empty() { length.checked_sub(1)? } else { last.parse().ok()? };
    (first <= last && first < length).then(|| (first, last.min(length - 1)))
}
