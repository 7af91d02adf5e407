//! Docker's engine: a daemon of its own for each pull, and `docker` to ask it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::containerd;
use crate::events::Order;
use crate::matrix::{Client, Keeps, Pull, check};
use crate::program::{self, Need, run};
use crate::support::until;

#[tokio::test]
async fn docker_pulls() {
    let Some(containerd) = program::find("containerd", Need::WithAllClients) else { return };
    let Some(daemon) = program::find("dockerd", Need::WithAllClients) else { return };
    let client = Client {
        name: "docker",
        heading: "docker",
        need: Need::WithAllClients,
        version: &["--version"],
        how: "`docker pull <image>`, with the classic image store. It keeps no manifest; it says the manifest's digest.",
        order: Order::BlobsAtOnce,
        takes_all: false,
        keeps: Keeps::FilesWithoutManifest,
    };
    check(&client, async |pull| {
        let (below, engine) = start(&containerd, &daemon, pull).await;
        let pulled = run(docker(pull).arg("pull").arg(pull.image())).await;
        let said = String::from_utf8_lossy(&pulled.stdout).into_owned();
        assert!(said.contains(&format!("Digest: {}", pull.case.digest)), "{said}");
        // Saving packs the layers again, which shows that every byte of them arrived.
        let (saved, out) = (pull.dir.join("saved.tar"), pull.dir.join("out"));
        run(docker(pull).arg("save").arg("--output").arg(&saved).arg(pull.image())).await;
        std::fs::create_dir_all(&out).expect("a folder");
        run(Command::new("tar").arg("--extract").arg("--file").arg(saved).arg("--directory").arg(&out)).await;
        for mut process in [engine, below] {
            process.kill().await.expect("the daemon is ours to end");
        }
        vec![out]
    })
    .await;
}

fn docker(pull: &Pull<'_>) -> Command {
    let mut command = pull.command();
    command.arg("--host").arg(format!("unix://{}", pull.dir.join("engine").display()));
    command
}

/// Starts the engine over a containerd of the test's own, which ends with the test, and waits until it answers.
async fn start(containerd: &Path, daemon: &Path, pull: &Pull<'_>) -> (Child, Child) {
    let socket = pull.dir.join("socket");
    let below = containerd::start(containerd, pull, &socket).await;
    let folder = |name: &str| -> PathBuf { pull.dir.join(name) };
    let mut command = containerd::with_own_mounts(daemon, pull);
    command.arg("--containerd").arg(&socket).arg("--host").arg(format!("unix://{}", folder("engine").display()));
    command.arg("--data-root").arg(folder("docker")).arg("--exec-root").arg(folder("exec"));
    command.arg("--pidfile").arg(folder("engine.pid"));
    // It runs no container: it needs no network and no file system that is laid over another.
    command.args(["--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false"]);
    let engine = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the engine starts");
    until("the engine answers", async || {
        let asked = docker(pull).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        asked.is_ok_and(|status| status.success())
    })
    .await;
    (below, engine)
}
