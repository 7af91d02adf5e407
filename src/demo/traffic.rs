//! The demo's traffic: some hundreds of clients in real, well-known networks pull images and download files, each as its
//! program does. The gateway hears it on loopback and learns the addresses from a header that it trusts from there only.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use reqwest::{Client, Method, StatusCode, redirect};

use super::origin::{Content, Image};

/// `network,clients,pulls_each,operator`: the largest announced network of each operator.
const CLIENTS: &str = include_str!("clients.csv");

/// Requests under way at once.
const CONCURRENCY: usize = 32;

/// The repositories, their tags from old to new, and how many of ten pulls are of each tag.
pub(super) const IMAGES: [(&str, [&str; 4]); 2] =
    [("acme/proxy", ["1.9.2", "2.0.0", "2.1.0", "2.1.1"]), ("acme/controller", ["0.8.0", "0.9.0", "0.9.1", "1.0.0"])];

const USER_AGENTS: [&str; 6] = [
    "docker/27.3.1 go/go1.22.7 git-commit/41ca978 kernel/6.8.0-45-generic os/linux arch/amd64 UpstreamClient(Docker-Client/27.3.1 \\(linux\\))",
    "containerd/1.7.22",
    "containers/5.31.1 (github.com/containers/image)",
    "skopeo/1.16.1",
    "cri-o/1.30.4 go/go1.22.0 os/linux arch/amd64",
    "go-containerregistry/v0.20.2",
];

/// One client and what it does.
#[derive(Clone, Debug)]
struct Visit {
    address: IpAddr,
    number: usize,
}

/// What the traffic was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) clients: usize,
    pub(super) requests: usize,
}

/// Fills the registry with the demo's images.
pub(super) fn images(content: &mut Content) -> Vec<Image> {
    let all = IMAGES.iter().flat_map(|(repository, tags)| tags.iter().map(move |tag| (repository, tag)));
    all.map(|(repository, tag)| content.add(repository, tag)).collect()
}

/// How many requests [`drive`] makes at most; for a progress bar.
pub(super) fn visit_count() -> Result<usize> {
    Ok(visits()?.len())
}

/// Lets every client do its pulls through the gateway.
pub(super) async fn drive(gateway: SocketAddr, images: &[Image], bar: &ProgressBar) -> Result<Totals> {
    // The registry's and file server's answers are not followed: what counts is what the gateway answered.
    let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().context("make a client")?;
    let visits = visits()?;
    let clients = visits.iter().map(|visit| visit.address).collect::<std::collections::BTreeSet<_>>().len();
    let requests = futures::stream::iter(visits)
        .map(|visit| {
            let client = &client;
            async move {
                let requests = requests_of(&visit, images);
                for (method, path, agent) in &requests {
                    ask(client, gateway, &visit, method.clone(), path, agent).await?;
                }
                bar.inc(1);
                anyhow::Ok(requests.len())
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_fold(0, |sum, requests| async move { Ok(sum + requests) })
        .await?;
    Ok(Totals { clients, requests })
}

async fn ask(
    client: &Client,
    gateway: SocketAddr,
    visit: &Visit,
    method: Method,
    path: &str,
    agent: &str,
) -> Result<()> {
    let request = client
        .request(method, format!("http://{gateway}{path}"))
        .header("x-forwarded-for", visit.address.to_string())
        .header("user-agent", agent);
    let answer = request.send().await.with_context(|| format!("ask the gateway for {path}"))?;
    let status = answer.status();
    ensure!(
        status.is_success() || status == StatusCode::FOUND || status == StatusCode::TEMPORARY_REDIRECT,
        "the gateway answered {status} for {path}"
    );
    answer.bytes().await.with_context(|| format!("read {path}"))?;
    Ok(())
}

/// What a client asks for when it pulls or downloads once. Newer versions are asked for more often.
fn requests_of(visit: &Visit, images: &[Image]) -> Vec<(Method, String, &'static str)> {
    const TAG_OF_TEN: [usize; 10] = [3, 3, 2, 3, 1, 2, 3, 0, 3, 2];
    let tag = TAG_OF_TEN.get(visit.number % 10).copied().unwrap_or_default();
    let repository = usize::from(visit.number.is_multiple_of(3));
    if visit.number % 7 == 4 {
        let version = ["2.1.1", "2.1.0"].get(visit.number % 2).copied().unwrap_or("2.1.1");
        return vec![(Method::GET, format!("/releases/{version}/acme-linux-amd64.tar.gz"), "curl/8.5.0")];
    }
    let Some((name, tags)) = IMAGES.get(repository) else { return Vec::new() };
    let (Some(tag_name), Some(image)) = (tags.get(tag), images.get(repository * tags.len() + tag)) else {
        return Vec::new();
    };
    let agent = USER_AGENTS.get(visit.number % USER_AGENTS.len()).copied().unwrap_or("curl/8.5.0");
    let manifest = |reference: &str| format!("/v2/{name}/manifests/{reference}");
    // The Docker engine asks what the tag is now and then fetches it by digest; the others fetch the tag.
    let mut requests = if agent.starts_with("docker/") {
        vec![(Method::HEAD, manifest(tag_name), agent), (Method::GET, manifest(&image.manifest), agent)]
    } else {
        vec![(Method::GET, manifest(tag_name), agent)]
    };
    requests.extend(image.blobs.iter().map(|digest| (Method::GET, format!("/v2/{name}/blobs/{digest}"), agent)));
    requests
}

/// Every visit, in an order in which the networks mix.
fn visits() -> Result<Vec<Visit>> {
    let mut visits = Vec::new();
    for (line, row) in CLIENTS.lines().enumerate().skip(1) {
        let parsed = row_of(row).with_context(|| format!("read line {} of the demo's clients", line + 1))?;
        let (network, clients, pulls_each) = parsed;
        for client in 0..clients {
            let address = network_address(network, client);
            visits.extend((0..pulls_each).map(|pull| Visit { address, number: line + client * 5 + pull * 11 }));
        }
    }
    // A fixed stride that shares no factor with the length walks through all of them.
    let length = visits.len();
    let stride = (389..389 + length.max(1)).find(|stride| gcd(*stride, length) == 1).unwrap_or(1);
    Ok((0..length).filter_map(|at| visits.get(at * stride % length).cloned()).collect())
}

fn row_of(row: &str) -> Result<(IpAddr, usize, usize)> {
    let mut cells = row.split(',');
    let mut cell = || cells.next().context("a cell is missing");
    let network = cell()?.split('/').next().unwrap_or_default().parse().context("the network")?;
    Ok((network, cell()?.parse().context("clients")?, cell()?.parse().context("pulls_each")?))
}

/// The address of a client: a few hosts apart, behind the network's first ones.
fn network_address(network: IpAddr, client: usize) -> IpAddr {
    let step = u32::try_from(client * 5 + 10).unwrap_or(10);
    match network {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) + step).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) + (u128::from(step) << 64)).into()),
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
