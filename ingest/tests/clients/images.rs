//! What is pulled: an image for one platform, and one for two, with layers that real runtimes unpack.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::registry::{INDEX, MANIFEST, Registry, digest_of};

/// Every layer holds a file of this many bytes that do not compress: two of them show who carried them.
const FILE_BYTES: usize = 1 << 20;

/// The platform of the clients here, then one that none of them runs on.
const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// An image for one platform, as it lies in the registry.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) digest: String,
    pub(crate) config: String,
    pub(crate) layers: Vec<String>,
    /// Of the layers as they are unpacked: what a runtime that keeps no archives still knows.
    pub(crate) diff_ids: Vec<String>,
    manifest_bytes: usize,
}

/// The images of one repository.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    /// The tag `single`.
    pub(crate) single: Image,
    /// The tag `multi`.
    pub(crate) index: String,
    pub(crate) platforms: Vec<Image>,
    names: BTreeMap<String, String>,
}

impl Images {
    /// Pushes both.
    pub(crate) async fn push(registry: &Registry, repository: &str) -> Self {
        let mut names = BTreeMap::new();
        let single = push_image(registry, repository, "single", "amd64", 1).await;
        name(&mut names, &single, "");
        let mut platforms = Vec::new();
        for (salt, architecture) in (2..).zip(PLATFORMS) {
            let image = push_image(registry, repository, architecture, architecture, salt).await;
            name(&mut names, &image, &format!(" {architecture}"));
            platforms.push(image);
        }
        let children: Vec<Value> = platforms
            .iter()
            .zip(PLATFORMS)
            .map(|(image, architecture)| {
                json!({"mediaType": MANIFEST, "digest": image.digest, "size": image.manifest_bytes,
                   "platform": {"os": "linux", "architecture": architecture}})
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
        let index = registry.push_manifest(repository, "multi", INDEX, &index).await;
        names.insert(index.clone(), "index".to_owned());
        Self { single, index, platforms, names }
    }

    /// What a digest is called in the tables; itself when it is none of ours.
    pub(crate) fn name_of<'a>(&'a self, digest: &'a str) -> &'a str {
        self.names.get(digest).map_or(digest, String::as_str)
    }

    /// Gives a further digest a name.
    pub(crate) fn add_name(&mut self, digest: &str, name: &str) {
        self.names.insert(digest.to_owned(), name.to_owned());
    }
}

fn name(names: &mut BTreeMap<String, String>, image: &Image, suffix: &str) {
    names.insert(image.digest.clone(), format!("image{suffix}"));
    names.insert(image.config.clone(), format!("config{suffix}"));
    for (number, layer) in (1..).zip(&image.layers) {
        names.insert(layer.clone(), format!("layer {number}{suffix}"));
    }
}

/// One plain layer and one compressed one.
async fn push_image(registry: &Registry, repository: &str, tag: &str, architecture: &str, salt: u64) -> Image {
    let plain = tar(&[(&format!("data/one-{salt}"), &noise(2 * salt))]);
    let other = tar(&[(&format!("data/two-{salt}"), &noise(2 * salt + 1))]);
    let packed = gzip(&other);
    let diff_ids = vec![digest_of(&plain), digest_of(&other)];
    let layers = vec![registry.push_blob(repository, &plain).await, registry.push_blob(repository, &packed).await];
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "one"}, {"created_by": "two"}],
    });
    let config_text = config.to_string();
    let config = registry.push_blob(repository, config_text.as_bytes()).await;
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_text.len()},
        "layers": [
            {"mediaType": layer, "digest": layers[0], "size": plain.len()},
            {"mediaType": format!("{layer}+gzip"), "digest": layers[1], "size": packed.len()},
        ],
    });
    let manifest = manifest.to_string();
    let digest = registry.push_manifest(repository, tag, MANIFEST, &manifest).await;
    Image { digest, config, layers, diff_ids, manifest_bytes: manifest.len() }
}

/// Bytes that no compressor makes smaller, the same in every run.
pub(crate) fn noise(salt: u64) -> Vec<u8> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(FILE_BYTES / 8).flatten().collect()
}

/// An archive (POSIX ustar) of files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, content) in files {
        archive.extend_from_slice(&tar_head(path, content.len()));
        archive.extend_from_slice(content);
        // A file fills whole blocks.
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    // Two empty blocks end the archive.
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn tar_head(path: &str, length: usize) -> [u8; 512] {
    let mut head = [0_u8; 512];
    let mut field = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, path);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{length:011o}\0"));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

/// As gzip packs it, without a time.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut process = Command::new("gzip")
        .args(["-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip starts");
    let mut input = process.stdin.take().expect("its input is ours");
    let owned = bytes.to_vec();
    // gzip writes while it reads: somebody has to do both.
    let writer = std::thread::spawn(move || input.write_all(&owned).expect("gzip reads"));
    let output = process.wait_with_output().expect("gzip ends");
    writer.join().expect("gzip read everything");
    assert!(output.status.success());
    output.stdout
}
