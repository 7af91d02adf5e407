//! curl and wget: a pull made by hand, request for request.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::events::Order;
use crate::matrix::{Client, Keeps, Pull, check};
use crate::program::{Need, run};
use crate::registry::{INDEX, MANIFEST};
use crate::stage::REPOSITORY;

#[tokio::test]
async fn curl_pulls() {
    let client = Client {
        name: "curl",
        heading: "curl",
        need: Need::Always,
        version: &["--version"],
        how: "`curl --location` for each manifest and each blob.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        by_hand(pull, |command, accept, out, url| {
            command.args(["--silent", "--show-error", "--fail", "--location", "--cacert"]).arg(&pull.authority.ca);
            command.arg("--header").arg(format!("Accept: {accept}")).arg("--output").arg(out).arg(url);
        })
        .await
    })
    .await;
}

#[tokio::test]
async fn wget_pulls() {
    let client = Client {
        name: "wget",
        heading: "wget",
        need: Need::Always,
        version: &["--version"],
        how: "`wget` for each manifest and each blob.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        by_hand(pull, |command, accept, out, url| {
            command.args(["--quiet", "--tries=1", "--ca-certificate"]).arg(&pull.authority.ca);
            command.arg("--header").arg(format!("Accept: {accept}")).arg("--output-document").arg(out).arg(url);
        })
        .await
    })
    .await;
}

/// Manifest, the platform's manifest where that was an index, configuration, layers.
async fn by_hand(pull: &Pull<'_>, arguments: impl Fn(&mut Command, &str, &Path, &str)) -> Vec<PathBuf> {
    let out = pull.dir.join("out");
    std::fs::create_dir_all(&out).expect("a folder");
    let base = format!("https://{}/v2/{REPOSITORY}", pull.host);
    let fetch = async |accept: &str, name: &str, path: String| {
        let (mut command, file) = (pull.command(), out.join(name));
        arguments(&mut command, accept, &file, &format!("{base}/{path}"));
        run(&mut command).await;
        std::fs::read(file).expect("the client wrote it")
    };
    let manifest = async |reference: &str| {
        let (accept, name) = (format!("{INDEX}, {MANIFEST}"), reference.replace(':', "-"));
        let body = fetch(&accept, &name, format!("manifests/{reference}")).await;
        serde_json::from_slice::<Value>(&body).expect("a manifest is JSON")
    };
    let reference = pull.case.reference.get(1..).expect("a tag or a digest behind its sign");
    let mut found = manifest(reference).await;
    if let Some(child) = found["manifests"][0]["digest"].as_str().map(str::to_owned) {
        found = manifest(&child).await;
    }
    let layers = found["layers"].as_array().expect("an image has layers");
    for (number, blob) in std::iter::once(&found["config"]).chain(layers).enumerate() {
        let digest = blob["digest"].as_str().expect("a descriptor has a digest");
        fetch("*/*", &format!("blob-{number}"), format!("blobs/{digest}")).await;
    }
    vec![out]
}
