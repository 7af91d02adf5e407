//! A tiny registry of the demo's own: a few images, made from nothing, served as an upstream would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Everything that the registry serves, by digest, and the tags.
#[derive(Debug, Default)]
pub(super) struct Content {
    by_digest: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// From `repository:tag` to the digest of its manifest.
    tags: BTreeMap<String, String>,
}

/// What a client fetches when it pulls a tag.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) manifest: String,
    pub(super) blobs: Vec<String>,
}

impl Content {
    /// Adds an image and tags it.
    pub(super) fn add(&mut self, repository: &str, tag: &str) -> Image {
        let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.keep(CONFIG, config.to_string().into_bytes());
        let layer = self.keep(LAYER, format!("{repository}:{tag}").into_bytes());
        let blobs = [&config, &layer].map(|descriptor| text(&descriptor["digest"])).to_vec();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let manifest = text(&self.keep(MANIFEST, manifest.to_string().into_bytes())["digest"]);
        self.tags.insert(format!("{repository}:{tag}"), manifest.clone());
        Image { manifest, blobs }
    }

    fn keep(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Value {
        let mut digest = String::from("sha256:");
        for byte in Sha256::digest(&bytes) {
            digest.extend([byte >> 4, byte & 15].map(|nibble| char::from_digit(nibble.into(), 16).unwrap_or('0')));
        }
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.by_digest.insert(digest, (media_type, bytes));
        descriptor
    }

    fn find(&self, repository: &str, reference: &str) -> Option<(&str, &(&'static str, Vec<u8>))> {
        let digest = self.tags.get(&format!("{repository}:{reference}")).map_or(reference, String::as_str);
        self.by_digest.get_key_value(digest).map(|(digest, found)| (digest.as_str(), found))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Serves the content on a free loopback port until `stop`.
pub(super) async fn serve(content: Content, stop: CancellationToken) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listen for the demo's registry")?;
    let address = listener.local_addr().context("ask for the registry's port")?;
    let app = Router::new()
        .route("/v2/", get(|| async { StatusCode::OK }))
        .route("/v2/{*path}", get(answer))
        .with_state(Arc::new(content));
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the demo's registry ended");
        }
    });
    Ok(address)
}

async fn answer(State(content): State<Arc<Content>>, Path(path): Path<String>) -> Response {
    let split = path.rsplit_once("/manifests/").or_else(|| path.rsplit_once("/blobs/"));
    let found = split.and_then(|(repository, reference)| content.find(repository, reference));
    let Some((digest, (media_type, bytes))) = found else {
        let body = json!({"errors": [{"code": "NAME_UNKNOWN", "message": "no such image in the demo"}]});
        return (StatusCode::NOT_FOUND, body.to_string()).into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(digest) = HeaderValue::from_str(digest) {
        headers.insert("docker-content-digest", digest);
    }
    (headers, bytes.clone()).into_response()
}
