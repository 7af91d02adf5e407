//! containerd: a daemon of its own for each pull, and `ctr` to ask it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::events::Order;
use crate::matrix::{Client, Keeps, Pull, check};
use crate::program::{self, Need, run};
use crate::support::until;

#[tokio::test]
async fn containerd_pulls() {
    let Some(daemon) = program::find("containerd", Need::WithAllClients) else { return };
    let client = Client {
        name: "ctr",
        heading: "containerd",
        need: Need::WithAllClients,
        version: &["--version"],
        how: "containerd with `ctr images pull --hosts-dir <folder> <image>`, with `--all-platforms` for both platforms.",
        order: Order::ChildrenAtOnce,
        takes_all: true,
        keeps: Keeps::Archives,
    };
    check(&client, async |pull| {
        let socket = pull.dir.join("socket");
        let mut running = start(&daemon, pull, &socket).await;
        let hosts = hosts(pull);
        let mut command = pull.command();
        command
            .arg("--address")
            .arg(&socket)
            .args(["images", "pull", "--snapshotter", "native", "--hosts-dir"])
            .arg(hosts);
        command.args(pull.case.all.then_some("--all-platforms")).args(pull.one_platform());
        run(command.arg(pull.image())).await;
        running.kill().await.expect("the daemon is ours to end");
        vec![pull.dir.join("root/io.containerd.content.v1.content/blobs")]
    })
    .await;
}

/// Starts the daemon and waits until it answers.
pub(crate) async fn start(daemon: &Path, pull: &Pull<'_>, socket: &Path) -> Child {
    let config = pull.dir.join("containerd.toml");
    let text = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n";
    std::fs::write(&config, text).expect("the configuration is written");
    let mut command = with_own_mounts(daemon, pull);
    command.arg("--config").arg(&config).arg("--address").arg(socket);
    command.arg("--root").arg(pull.dir.join("root")).arg("--state").arg(pull.dir.join("state"));
    let running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("containerd starts");
    until("containerd answers", async || {
        let mut asked = program::command(&daemon.with_file_name("ctr"), pull.dir, pull.authority);
        asked.arg("--address").arg(socket).arg("version").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().await.is_ok_and(|status| status.success())
    })
    .await;
    running
}

/// A daemon whose mounts end with it, however it ends.
pub(crate) fn with_own_mounts(daemon: &Path, pull: &Pull<'_>) -> Command {
    let mut command = program::command(Path::new("/usr/bin/unshare"), pull.dir, pull.authority);
    command.arg("--mount").arg(daemon);
    command
}

/// The folder that says which authority the registry's certificate is from.
fn hosts(pull: &Pull<'_>) -> PathBuf {
    let hosts = pull.dir.join("hosts");
    let folder = hosts.join(pull.host);
    std::fs::create_dir_all(&folder).expect("a folder");
    let url = format!("https://{}", pull.host);
    let ca = pull.authority.ca.display();
    let text = format!("server = \"{url}\"\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\nca = \"{ca}\"\n");
    std::fs::write(folder.join("hosts.toml"), text).expect("the file is written");
    hosts
}
