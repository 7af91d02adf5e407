//! The clients of package indexes, and files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha512};

use crate::events::Order;
use crate::images::{gzip, noise, tar};
use crate::matrix::{Case, Client, Keeps, Pull, check_cases};
use crate::program::{Need, run};
use crate::registry::digest_of;
use crate::stage::Stage;

const fn client(
    name: &'static str,
    heading: &'static str,
    version: &'static [&'static str],
    how: &'static str,
) -> Client {
    let (order, keeps) = (Order::BlobsAtOnce, Keeps::Archives);
    Client { name, heading, need: Need::WithAllClients, version, how, order, takes_all: false, keeps }
}

fn case(name: &'static str, expected: String) -> [Case; 1] {
    [Case { name, reference: String::new(), digest: String::new(), all: false, expected: BTreeSet::from([expected]) }]
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("it stands in a folder")).expect("a folder");
    fs::write(path, content).expect("the file is written");
}

/// A folder for what the client saves.
fn out(pull: &Pull<'_>) -> std::path::PathBuf {
    let out = pull.dir.join("out");
    fs::create_dir_all(&out).expect("a folder");
    out
}

#[tokio::test]
async fn helm_pulls_a_chart_from_an_index() {
    let client = client("helm", "helm with an index", &["version", "--short"], "`helm pull <chart> --repo <index>`.");
    let Some(program) = client.find() else { return };
    let stage = Stage::start().await;
    let description = "apiVersion: v2\nname: demo\nversion: 1.2.3\n";
    let chart = gzip(&tar(&[("demo/Chart.yaml", description.as_bytes()), ("demo/files/noise", &noise(98))]));
    let digest = digest_of(&chart);
    let hex = digest.strip_prefix("sha256:").expect("a digest");
    let url = format!("{}/packages/demo-1.2.3.tgz", stage.storage_url());
    let index = format!(
        "apiVersion: v1\nentries:\n  demo:\n  - apiVersion: v2\n    name: demo\n    version: 1.2.3\n    digest: {hex}\n    urls:\n    - {url}\n"
    );
    write(&stage.files(), "packages/demo-1.2.3.tgz", &chart);
    write(&stage.files(), "index.yaml", index.as_bytes());
    check_cases(&client, &program, &stage, &case("a chart", digest), async |pull| {
        let (out, mut command) = (out(pull), pull.command());
        command.args(["pull", "demo", "--repo"]).arg(format!("https://{}/helm", pull.host));
        command.args(["--version", "1.2.3", "--ca-file"]).arg(&pull.authority.ca);
        run(command.arg("--destination").arg(&out)).await;
        vec![out]
    })
    .await;
}

/// Makes a wheel with a megabyte of noise, and the index page that names it.
async fn publish_wheel(stage: &Stage, python: &Path) -> String {
    let (root, scratch) = (stage.files(), stage.scratch());
    let info = "demo_package-1.2.3.dist-info";
    let metadata = "Metadata-Version: 2.1\nName: demo-package\nVersion: 1.2.3\n";
    write(scratch.path(), "demo_package/noise", &noise(97));
    write(scratch.path(), &format!("{info}/METADATA"), metadata.as_bytes());
    write(
        scratch.path(),
        &format!("{info}/WHEEL"),
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    write(scratch.path(), &format!("{info}/RECORD"), b"");
    let wheel = root.join("packages/demo_package-1.2.3-py3-none-any.whl");
    write(&root, "packages/demo_package-1.2.3-py3-none-any.whl.metadata", metadata.as_bytes());
    let mut zip = tokio::process::Command::new(python);
    zip.current_dir(scratch.path()).args(["-m", "zipfile", "-c"]).arg(&wheel).args(["demo_package", info]);
    run(&mut zip).await;
    let hash = |bytes: &[u8]| digest_of(bytes).replace(':', "=");
    let bytes = fs::read(&wheel).expect("the wheel is read");
    let url = format!("{}/packages/demo_package-1.2.3-py3-none-any.whl", stage.storage_url());
    let page = format!(
        "<!DOCTYPE html>\n<html><body><a href=\"{url}#{}\" data-core-metadata=\"{}\">demo_package-1.2.3-py3-none-any.whl</a></body></html>\n",
        hash(&bytes),
        hash(metadata.as_bytes())
    );
    write(&root, "simple/demo-package/index.html", page.as_bytes());
    digest_of(&bytes)
}

#[tokio::test]
async fn pip_downloads() {
    let how = "`pip download --index-url https://<host>/pypi/simple/ <package>`.";
    let client = client("pip", "pip", &["--version"], how);
    let Some(program) = client.find() else { return };
    let stage = Stage::start().await;
    let wheel = publish_wheel(&stage, &program.with_file_name("python3")).await;
    check_cases(&client, &program, &stage, &case("a wheel", wheel), async |pull| {
        let (out, mut command) = (out(pull), pull.command());
        command.args(["--disable-pip-version-check", "download", "--no-deps", "--dest"]).arg(&out);
        // By name: pip 25 checks no certificate for a bare address, and fails.
        let host = pull.host.replace("127.0.0.1", "localhost");
        command.arg("--index-url").arg(format!("https://{host}/pypi/simple/")).arg("demo-package==1.2.3");
        run(&mut command).await;
        vec![out]
    })
    .await;
}

#[tokio::test]
async fn uv_installs() {
    let how = "`uv pip install --index-url https://<host>/pypi/simple/ <package>`.";
    let client = client("uv", "uv", &["--version"], how);
    let Some(program) = client.find() else { return };
    let stage = Stage::start().await;
    let python = program.with_file_name("python3");
    publish_wheel(&stage, &python).await;
    // uv keeps no wheel; what was in it has to be there.
    check_cases(&client, &program, &stage, &case("a wheel", digest_of(&noise(97))), async |pull| {
        let (out, mut command) = (out(pull), pull.command());
        command.args(["pip", "install", "--no-deps", "--quiet", "--python"]).arg(&python).arg("--target").arg(&out);
        command.arg("--index-url").arg(format!("https://{}/pypi/simple/", pull.host)).arg("demo-package==1.2.3");
        run(&mut command).await;
        vec![out]
    })
    .await;
}

#[tokio::test]
async fn npm_packs() {
    let how = "`npm pack --registry https://<host>/npm/ <package>`, told of the authority with `--cafile`.";
    let client = client("npm", "npm", &["--version"], how);
    let Some(program) = client.find() else { return };
    let stage = Stage::start().await;
    let description = json!({"name": "demo-package", "version": "1.2.3"});
    let archive =
        gzip(&tar(&[("package/package.json", description.to_string().as_bytes()), ("package/noise", &noise(96))]));
    let url = format!("{}/packages/demo-package-1.2.3.tgz", stage.storage_url());
    let integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(&archive)));
    let version = json!({"name": "demo-package", "version": "1.2.3", "dist": {"tarball": url, "integrity": integrity}});
    let document = json!({"name": "demo-package", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": version}});
    write(&stage.files(), "packages/demo-package-1.2.3.tgz", &archive);
    write(&stage.files(), "demo-package", document.to_string().as_bytes());
    check_cases(&client, &program, &stage, &case("a package", digest_of(&archive)), async |pull| {
        let (out, mut command) = (out(pull), pull.command());
        command
            .args([
                "pack",
                "demo-package@1.2.3",
                "--loglevel=warn",
                "--fetch-retries=0",
                "--update-notifier=false",
                "--pack-destination",
            ])
            .arg(&out);
        command.arg("--cafile").arg(&pull.authority.ca).arg("--registry").arg(format!("https://{}/npm/", pull.host));
        run(&mut command).await;
        vec![out]
    })
    .await;
}

#[tokio::test]
async fn curl_and_wget_download_a_file() {
    for (name, how, arguments) in [
        (
            "curl",
            "`curl --location <url>`.",
            ["--silent", "--show-error", "--fail", "--location", "--output"].as_slice(),
        ),
        ("wget", "`wget <url>`.", ["--quiet", "--tries=1", "--output-document"].as_slice()),
    ] {
        let heading = if name == "curl" { "curl with a file" } else { "wget with a file" };
        let client = Client { need: Need::Always, ..client(name, heading, &["--version"], how) };
        let Some(program) = client.find() else { continue };
        let stage = Stage::start().await;
        write(&stage.files(), "files/1.2.3/app", &noise(95));
        check_cases(&client, &program, &stage, &case("a file", digest_of(&noise(95))), async |pull| {
            let (out, mut command) = (out(pull), pull.command());
            let trust = if name == "curl" { "--cacert" } else { "--ca-certificate" };
            command.arg(trust).arg(&pull.authority.ca).args(arguments).arg(out.join("app"));
            run(command.arg(format!("https://{}/files/1.2.3/app", pull.host))).await;
            vec![out]
        })
        .await;
    }
}
