//! What lies in a container registry and is no image: a Helm chart, a signature.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::authority::openssl;
use crate::events::Order;
use crate::images::{Images, gzip, noise, tar};
use crate::matrix::{Case, Client, Keeps, check_cases};
use crate::program::{Need, run};
use crate::registry::{MANIFEST, Registry};
use crate::stage::Stage;

/// A chart of a megabyte; gives the digests of its manifest and of the file that `helm pull` saves.
async fn push_chart(registry: &Registry, images: &mut Images) -> (String, String) {
    let description = "apiVersion: v2\nname: demo\nversion: 1.2.3\n";
    let chart = gzip(&tar(&[("demo/Chart.yaml", description.as_bytes()), ("demo/files/noise", &noise(99))]));
    let config = json!({"apiVersion": "v2", "name": "demo", "version": "1.2.3"}).to_string();
    let repository = "up/charts/demo";
    let (layer, config_digest) =
        (registry.push_blob(repository, &chart).await, registry.push_blob(repository, config.as_bytes()).await);
    let helm = "application/vnd.cncf.helm";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": format!("{helm}.config.v1+json"), "digest": config_digest, "size": config.len()},
        "layers": [{"mediaType": format!("{helm}.chart.content.v1.tar+gzip"), "digest": layer, "size": chart.len()}],
    });
    let manifest = registry.push_manifest(repository, "1.2.3", MANIFEST, &manifest.to_string()).await;
    for (digest, name) in [(&manifest, "chart"), (&config_digest, "chart config"), (&layer, "chart archive")] {
        images.add_name(digest, name);
    }
    (manifest, layer)
}

#[tokio::test]
async fn helm_pulls_a_chart_from_a_registry() {
    let client = Client {
        name: "helm",
        heading: "helm",
        need: Need::WithAllClients,
        version: &["version", "--short"],
        how: "`helm pull oci://<chart> --version <tag>`, and `helm pull oci://<chart>@<digest>`.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::Archives,
    };
    let Some(program) = client.find() else { return };
    let mut pushed = None;
    let stage = Stage::start_with(async |registry, images| pushed = Some(push_chart(registry, images).await)).await;
    let (manifest, archive) = pushed.expect("it was pushed");
    let case = |name, reference| {
        let (digest, expected) = (manifest.clone(), BTreeSet::from([archive.clone()]));
        Case { name, reference, digest, all: false, expected }
    };
    let cases = [case("a chart, by tag", ":1.2.3".to_owned()), case("a chart, by digest", format!("@{manifest}"))];
    check_cases(&client, &program, &stage, &cases, async |pull| {
        let out = pull.dir.join("out");
        std::fs::create_dir_all(&out).expect("a folder");
        let mut command = pull.command();
        let chart = format!("oci://{}/acme/charts/demo", pull.host);
        command.arg("pull");
        match pull.case.reference.strip_prefix(':') {
            Some(tag) => command.arg(chart).args(["--version", tag]),
            None => command.arg(format!("{chart}{}", pull.case.reference)),
        };
        run(command.arg("--ca-file").arg(&pull.authority.ca).arg("--destination").arg(&out)).await;
        vec![out]
    })
    .await;
}

/// Signs an image as cosign does, under the tag that is named after its digest.
async fn sign(registry: &Registry, stage_dir: &std::path::Path, images: &mut Images, digest: &str) {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": ""},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string();
    let (key, file, signature) = (stage_dir.join("cosign.key"), stage_dir.join("payload"), stage_dir.join("signature"));
    std::fs::write(&file, &payload).expect("the payload is written");
    openssl("ecparam -name prime256v1 -genkey -noout", &[("-out", &key)]);
    openssl("ec -pubout", &[("-in", &key), ("-out", &stage_dir.join("cosign.pub"))]);
    openssl("dgst -sha256", &[("-sign", &key), ("-out", &signature), ("--", &file)]);
    let signature = STANDARD.encode(std::fs::read(&signature).expect("openssl wrote it"));
    let config = json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}});
    let config = config.to_string();
    let (config_digest, layer) =
        (registry.push_blob("up/app", config.as_bytes()).await, registry.push_blob("up/app", payload.as_bytes()).await);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
        "layers": [{
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": layer, "size": payload.len(),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        }],
    });
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let manifest = registry.push_manifest("up/app", &tag, MANIFEST, &manifest.to_string()).await;
    for (digest, name) in [(&manifest, "signature"), (&config_digest, "sig. config"), (&layer, "sig. payload")] {
        images.add_name(digest, name);
    }
}

#[tokio::test]
async fn cosign_verifies_and_saves() {
    let client = Client {
        name: "cosign",
        heading: "cosign",
        need: Need::WithAllClients,
        version: &["version"],
        how: "`cosign verify --key <file> <image>`, and `cosign save --dir <folder> <image>`.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::Archives,
    };
    let Some(program) = client.find() else { return };
    let keys = tempfile::tempdir().expect("a temporary directory");
    let stage = Stage::start_with(async |registry, images| {
        let digest = images.single.digest.clone();
        sign(registry, keys.path(), images, &digest).await;
    })
    .await;
    let images = &stage.images;
    let single: BTreeSet<String> =
        [&images.single.digest, &images.single.config].into_iter().chain(&images.single.layers).cloned().collect();
    let by_digest = format!("@{}", images.single.digest);
    let case = |name, reference: &str, expected| Case {
        name,
        reference: reference.to_owned(),
        digest: images.single.digest.clone(),
        all: false,
        expected,
    };
    let cases = [
        case("verify, by tag", ":single", BTreeSet::new()),
        case("verify, by digest", &by_digest, BTreeSet::new()),
        case("save, by tag", ":single", single.clone()),
        case("save, by digest", &by_digest, single),
    ];
    check_cases(&client, &program, &stage, &cases, async |pull| {
        let (mut command, out) = (pull.command(), pull.dir.join("out"));
        if pull.case.name.starts_with("verify") {
            command.args(["verify", "--insecure-ignore-tlog=true", "--key"]).arg(keys.path().join("cosign.pub"));
            run(command.arg(pull.image())).await;
            return Vec::new();
        }
        run(command.args(["save", "--dir"]).arg(&out).arg(pull.image())).await;
        vec![out]
    })
    .await;
}
