//! The clients of container registries that are one program.

use std::path::PathBuf;

use crate::events::Order;
use crate::matrix::{Client, Keeps, Pull, check};
use crate::program::{Need, run};

#[tokio::test]
async fn skopeo_pulls() {
    let client = Client {
        name: "skopeo",
        heading: "skopeo",
        need: Need::Always,
        version: &["--version"],
        how: "`skopeo copy docker://<image> dir:<folder>`, with `--all` for both platforms.",
        order: Order::BlobsAtOnce,
        takes_all: true,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        let out = pull.dir.join("out");
        let mut command = pull.command();
        command.args(["--insecure-policy", "copy", "--src-cert-dir"]).arg(&pull.authority.ca_dir);
        command.args(pull.case.all.then_some("--all"));
        command.arg(format!("docker://{}", pull.image())).arg(format!("dir:{}", out.display()));
        run(&mut command).await;
        vec![out]
    })
    .await;
}

/// podman and buildah share their storage; the driver that copies works on every file system.
async fn into_containers_storage(pull: &Pull<'_>, save: &[&str], target: &str) -> Vec<PathBuf> {
    let (root, out) = (pull.dir.join("root"), pull.dir.join("out"));
    let base = || {
        let mut command = pull.command();
        command.arg("--root").arg(&root).arg("--runroot").arg(pull.dir.join("run")).args(["--storage-driver", "vfs"]);
        command
    };
    run(base().args(["pull", "--cert-dir"]).arg(&pull.authority.ca_dir).arg(pull.image())).await;
    let listed = run(base().args(["images", "--quiet", "--no-trunc"])).await;
    let id = String::from_utf8_lossy(&listed.stdout).trim().to_owned();
    // Packing the layers again shows that every byte of them arrived.
    let out_argument = target.replace("OUT", &out.display().to_string());
    run(base().args(save.iter().map(|word| word.replace("ID", &id))).arg(out_argument)).await;
    vec![root.join("vfs-images"), out]
}

#[tokio::test]
async fn podman_pulls() {
    let client = Client {
        name: "podman",
        heading: "podman",
        need: Need::WithAllClients,
        version: &["--version"],
        how: "`podman pull <image>`.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::Files,
    };
    let save = ["save", "--quiet", "--format", "oci-dir", "--uncompressed", "ID", "--output"];
    check(&client, async |pull| into_containers_storage(pull, &save, "OUT").await).await;
}

#[tokio::test]
async fn buildah_pulls() {
    let client = Client {
        name: "buildah",
        heading: "buildah",
        need: Need::WithAllClients,
        version: &["--version"],
        how: "`buildah pull <image>`.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::Files,
    };
    let save = ["push", "--quiet", "--disable-compression", "ID"];
    check(&client, async |pull| into_containers_storage(pull, &save, "dir:OUT").await).await;
}

#[tokio::test]
async fn crane_pulls() {
    let client = Client {
        name: "crane",
        heading: "crane",
        need: Need::WithAllClients,
        version: &["version"],
        how: "`crane pull --format=oci <image> <folder>`, with `--platform=linux/amd64` for one platform.",
        order: Order::BlobsAtOnce,
        takes_all: true,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        let out = pull.dir.join("out");
        let mut command = pull.command();
        command.args(["pull", "--format=oci", "--platform", pull.platform()]).arg(pull.image()).arg(&out);
        run(&mut command).await;
        vec![out]
    })
    .await;
}

#[tokio::test]
async fn regctl_pulls() {
    let client = Client {
        name: "regctl",
        heading: "regctl",
        need: Need::WithAllClients,
        version: &["version", "--format", "{{.VCSTag}}"],
        how: "`regctl image copy <image> ocidir://<folder>`, with `--platform linux/amd64` for one platform.",
        order: Order::ChildrenAtOnce,
        takes_all: true,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        let out = pull.dir.join("out");
        let mut command = pull.command();
        command.args(["image", "copy"]);
        command.args(pull.one_platform());
        command.arg(pull.image()).arg(format!("ocidir://{}:pulled", out.display()));
        run(&mut command).await;
        vec![out]
    })
    .await;
}

#[tokio::test]
async fn oras_pulls() {
    let client = Client {
        name: "oras",
        heading: "oras",
        need: Need::WithAllClients,
        version: &["version"],
        how: "`oras copy --to-oci-layout <image> <folder>`, with `--platform linux/amd64` for one platform.",
        order: Order::ChildrenAtOnce,
        takes_all: true,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        let out = pull.dir.join("out");
        let mut command = pull.command();
        command.args(["copy", "--from-plain-http=false", "--to-oci-layout"]);
        command.args(pull.one_platform());
        command.arg(pull.image()).arg(format!("{}:pulled", out.display()));
        run(&mut command).await;
        vec![out]
    })
    .await;
}
