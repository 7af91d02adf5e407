//! A real `docker-registry` with an image in it.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use reqwest::Client;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::process::Process;
use super::{block_on, free_port, wait_until};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry on loopback.
pub(crate) struct Registry {
    port: u16,
    _folder: TempDir,
    _process: Process,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let config = folder.path().join("config.yml");
        let root = folder.path().join("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            root.display()
        );
        std::fs::write(&config, text).expect("a configuration");
        let process = Process::start("docker-registry", Command::new("docker-registry").arg("serve").arg(&config));
        let registry = Self { port, _folder: folder, _process: process };
        let client = Client::new();
        wait_until("the registry answers", Duration::from_secs(30), || {
            let asked = block_on(client.get(format!("{}/v2/", registry.url())).send());
            asked.is_ok_and(|answer| answer.status().is_success())
        });
        registry
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Pushes a one-layer image.
    pub(crate) fn push(&self, repository: &str, tag: &str) {
        let client = Client::new();
        let config = self.push_blob(&client, repository, br#"{"os":"linux","architecture":"amd64"}"#);
        let layer = self.push_blob(&client, repository, b"a layer");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.0, "size": config.1},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.0, "size": layer.1}],
        });
        let url = format!("{}/v2/{repository}/manifests/{tag}", self.url());
        let put = client.put(url).header("content-type", MANIFEST).body(manifest.to_string()).send();
        let put = block_on(put).expect("an answer");
        assert!(put.status().is_success(), "push the manifest: {}", put.status());
    }

    fn push_blob(&self, client: &Client, repository: &str, bytes: &[u8]) -> (String, usize) {
        let mut digest = String::from("sha256:");
        for byte in Sha256::digest(bytes) {
            write!(digest, "{byte:02x}").expect("a text takes what is written");
        }
        let begun = block_on(client.post(format!("{}/v2/{repository}/blobs/uploads/", self.url())).send());
        let begun = begun.expect("an answer");
        let location = begun.headers().get("location").and_then(|value| value.to_str().ok()).expect("a location");
        let base = if location.starts_with("http") { location.to_owned() } else { format!("{}{location}", self.url()) };
        let url = format!("{base}&digest={digest}");
        let put = client.put(url).header("content-type", "application/octet-stream").body(bytes.to_vec()).send();
        assert!(block_on(put).expect("an answer").status().is_success(), "push a blob");
        (digest, bytes.len())
    }
}
