//! An upstream of the test's own: files by path over HTTP, with tags, ranges and the requests that it saw.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::process::Command;
use whopulls_schemas::raw::RawAccess;

use crate::support::{PATIENCE, is_here, program};

/// What stands at a path, in the forms that it has.
#[derive(Clone)]
struct Thing {
    media_type: &'static str,
    body: Bytes,
}

#[derive(Default)]
struct State {
    /// By path; the first form is the default, another is taken when `Accept` begins with its type.
    things: BTreeMap<String, Vec<Thing>>,
    /// Method, path, and status of each request.
    asked: Vec<(String, String, u16)>,
    /// Every request is answered with it.
    broken: Option<StatusCode>,
    /// `Authorization` that is asked for.
    credentials: Option<&'static str>,
}

/// It.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let upstream = Self { address, state };
        let serving = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let serving = serving.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = serving.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        upstream
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Puts a thing at a path, in the place of what has its type there.
    pub(crate) fn put(&self, path: &str, media_type: &'static str, body: impl Into<Bytes>) {
        self.with(|state| {
            let forms = state.things.entry(path.to_owned()).or_default();
            forms.retain(|thing| thing.media_type != media_type);
            forms.push(Thing { media_type, body: body.into() });
        });
    }

    pub(crate) fn remove(&self, path: &str) {
        self.with(|state| state.things.remove(path));
    }

    /// From now on every request is answered with `status`; or as it should be.
    pub(crate) fn break_with(&self, status: Option<StatusCode>) {
        self.with(|state| state.broken = status);
    }

    pub(crate) fn ask_for(&self, authorization: &'static str) {
        self.with(|state| state.credentials = Some(authorization));
    }

    /// The requests since the last call, as `GET /path 200`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.with(|state| std::mem::take(&mut state.asked));
        asked.into_iter().map(|(method, path, status)| format!("{method} {path} {status}")).collect()
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no test panicked here"))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.with(|state| {
            let response = state.answer(request);
            let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            state.asked.push((request.method().to_string(), path.to_owned(), response.status().as_u16()));
            response
        })
    }
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let empty = |status: StatusCode| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        };
        if let Some(status) = self.broken {
            return empty(status);
        }
        let headers = request.headers();
        let text =
            |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if self.credentials.is_some_and(|wanted| text(header::AUTHORIZATION) != wanted) {
            let mut response = empty(StatusCode::UNAUTHORIZED);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"x\""));
            return response;
        }
        let Some(forms) = self.things.get(request.uri().path()) else { return empty(StatusCode::NOT_FOUND) };
        let wanted = forms.iter().find(|thing| text(header::ACCEPT).starts_with(thing.media_type));
        let thing = wanted.or(forms.first()).expect("a path has a form");
        let tag =
            format!("\"{:x}\"", u64::from_be_bytes(Sha256::digest(&thing.body)[..8].try_into().expect("8 bytes")));
        if text(header::IF_NONE_MATCH) == tag {
            return empty(StatusCode::NOT_MODIFIED);
        }
        let (body, range) = ranged(headers, &thing.body);
        let whole = thing.body.len();
        let mut response =
            Response::new(Full::new(if request.method() == Method::HEAD { Bytes::new() } else { body.clone() }));
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, thing.media_type.parse().expect("a type"));
        fields.insert(header::CONTENT_LENGTH, body.len().into());
        fields.insert(header::ETAG, tag.parse().expect("a tag"));
        fields.insert(header::SET_COOKIE, header::HeaderValue::from_static("tracking=1"));
        if let Some((start, end)) = range {
            let said = format!("bytes {start}-{end}/{whole}");
            fields.insert(header::CONTENT_RANGE, said.parse().expect("a range"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

/// `bytes=a-b`
fn ranged(headers: &HeaderMap, body: &Bytes) -> (Bytes, Option<(usize, usize)>) {
    let range =
        headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((start, end)) = range.and_then(|(start, end)| Some((start.parse().ok()?, end.parse::<usize>().ok())))
    else {
        return (body.clone(), None);
    };
    let end = end.unwrap_or(usize::MAX).min(body.len() - 1);
    (body.slice(start..=end), Some((start, end)))
}

/// A record as `GET /path 302 redirected package version`.
pub(crate) fn brief(record: &RawAccess) -> String {
    let outcome = record.outcome.map_or("-", whopulls_schemas::raw::Outcome::as_str);
    let (package, version) = (record.package.as_deref().unwrap_or("-"), record.version.as_deref().unwrap_or("-"));
    format!("{} {} {} {outcome} {package} {version}", record.method, record.path, record.status)
}

/// Records as [`brief`], in the alphabet's order: clients ask for several things at once.
pub(crate) fn sorted(records: &[RawAccess]) -> Vec<String> {
    let mut all: Vec<String> = records.iter().map(brief).collect();
    all.sort();
    all
}

/// The Python that `scripts/python` prepares has pip and uv; its absence is loud as with [`is_here`].
#[expect(clippy::disallowed_methods, reason = "the cache's place is in the environment")]
pub(crate) fn python_program(name: &str) -> Option<PathBuf> {
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let path = cache.expect("a home").join("whopulls/python-3/bin").join(name);
    is_here(&path).then_some(path)
}

/// A program of the system; its absence is loud as with [`is_here`].
pub(crate) fn system_program(name: &str) -> Option<PathBuf> {
    let path = program(name);
    is_here(&path).then_some(path)
}

/// A command that knows nothing of who runs the test, and its output. It must end well, in time.
pub(crate) async fn run(command: &mut Command) -> String {
    command.stdin(Stdio::null()).kill_on_drop(true);
    for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let ended = tokio::time::timeout(PATIENCE * 4, command.output()).await.expect("in time").expect("it starts");
    let (out, error) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{command:?}\n{out}\n{error}");
    out.into_owned()
}
