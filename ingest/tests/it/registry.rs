//! Debian's `docker-registry` as an upstream, and a token server for it.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

const SERVICE: &str = "test-registry";
const ISSUER: &str = "test-issuer";

/// A registry process on a free port; killed by its id when dropped.
pub(crate) struct Registry {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Registry {
    /// A registry over `dir`, which wants tokens of `tokens` when given.
    pub(crate) fn start(dir: &Path, tokens: Option<&TokenServer>) -> Self {
        Self::start_program(Path::new("/usr/bin/docker-registry"), dir, tokens, "")
    }

    /// The same by another program, with further sections of its configuration.
    pub(crate) fn start_program(program: &Path, dir: &Path, tokens: Option<&TokenServer>, sections: &str) -> Self {
        let auth = tokens.map_or(String::new(), |tokens| {
            let (realm, bundle) = (tokens.realm(), tokens.certificate.display());
            format!("auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: '{bundle}'}}}}\n")
        });
        let config = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
             http: {{addr: '127.0.0.1:0', secret: not-one}}\n{auth}{sections}",
            dir.join("storage").display()
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the registry starts");
        let mut log = BufReader::new(process.stderr.take().expect("its log is ours")).lines();
        let address = log
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("listening on ")?.1.split('"').next()?.parse().ok())
            .expect("the registry says where it listens");
        // The log is read on, so that the registry never waits for it; it ends with the process.
        std::thread::spawn(move || log.for_each(drop));
        Self { process, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Puts a blob into a repository and gives its digest.
    pub(crate) async fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let begun = client.post(self.url(&format!("/v2/{name}/blobs/uploads/"))).send().await.expect("an answer");
        let location = begun.headers()["location"].to_str().expect("text").to_owned();
        let digest = digest_of(bytes);
        let separator = if location.contains('?') { '&' } else { '?' };
        let put = client.put(format!("{location}{separator}digest={digest}")).body(bytes.to_vec());
        assert_eq!(put.send().await.expect("an answer").status(), 201);
        digest
    }

    /// Puts a manifest under a tag and gives its digest.
    pub(crate) async fn push_manifest(&self, name: &str, tag: &str, media_type: &str, body: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let put = client.put(self.url(&format!("/v2/{name}/manifests/{tag}"))).header("content-type", media_type);
        assert_eq!(put.body(body.to_owned()).send().await.expect("an answer").status(), 201);
        digest_of(body.as_bytes())
    }

    /// An image of one layer under `tag`; gives the digests of manifest and layer.
    pub(crate) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> (String, String) {
        let layer_digest = self.push_blob(name, layer).await;
        let diff = digest_of(layer);
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]},
        });
        let config = config.to_string();
        let config_digest = self.push_blob(name, config.as_bytes()).await;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len()}],
        });
        (self.push_manifest(name, tag, MANIFEST, &manifest.to_string()).await, layer_digest)
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().expect("the registry is ours to end");
        self.process.wait().expect("the registry ends");
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Gives everybody a token for every repository but those whose name begins with `secret`.
pub(crate) struct TokenServer {
    address: SocketAddr,
    certificate: PathBuf,
    pub(crate) given: Arc<AtomicUsize>,
    pub(crate) scopes: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    pub(crate) async fn start(dir: &Path) -> Self {
        let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
        openssl(
            &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2", "-keyout"],
            &[&key, Path::new("-out"), &certificate],
            b"",
        );
        let der = openssl(&["x509", "-outform", "DER", "-in"], &[&certificate], b"");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (given, scopes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let state = (Arc::clone(&given), Arc::clone(&scopes));
        let x5c = STANDARD.encode(der);
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (state, key, x5c) = (state.clone(), key.clone(), x5c.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&request, &state.0, &state.1, &key, &x5c);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, certificate, given, scopes }
    }

    fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }
}

fn answer(
    request: &Request<Incoming>,
    given: &AtomicUsize,
    scopes: &Mutex<Vec<String>>,
    key: &Path,
    x5c: &str,
) -> Response<Full<Bytes>> {
    assert!(request.headers().get("authorization").is_none(), "a client's credentials went to the token server");
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let scope = value("scope").unwrap_or_default();
    assert_eq!(value("service").as_deref(), Some(SERVICE));
    given.fetch_add(1, Ordering::SeqCst);
    scopes.lock().expect("no test panicked here").push(scope.clone());
    let name = scope.split(':').nth(1).unwrap_or_default();
    if name.starts_with("secret") {
        let mut denied = Response::new(Full::default());
        *denied.status_mut() = StatusCode::UNAUTHORIZED;
        return denied;
    }
    let token = token(name, key, x5c);
    Response::new(Full::from(serde_json::json!({"token": token, "expires_in": 300}).to_string()))
}

#[expect(clippy::disallowed_methods, reason = "the registry compares the token with its own clock")]
fn token(name: &str, key: &Path, x5c: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let header = serde_json::json!({"typ": "JWT", "alg": "RS256", "x5c": [x5c]});
    let claims = serde_json::json!({
        "iss": ISSUER, "sub": "", "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
        "access": [{"type": "repository", "name": name, "actions": ["pull"]}],
    });
    let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = openssl(&["dgst", "-sha256", "-sign"], &[key], signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn openssl(arguments: &[&str], paths: &[&Path], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut process = Command::new("openssl")
        .args(arguments)
        .args(paths)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl starts");
    process.stdin.take().expect("its input is ours").write_all(input).expect("openssl reads");
    let output = process.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}
