//! Requests of which the client keeps its own list: each asks for a path that no other asks for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, redirect};

use super::block_on;

/// What the client knows of its requests.
#[derive(Debug, Default)]
pub(crate) struct OwnList {
    /// Paths whose answer it saw: each must be an event, once.
    pub(crate) answered: BTreeSet<String>,
    /// Paths whose answer it did not see (the gateway was killed): each may be an event, at most once.
    pub(crate) unanswered: BTreeSet<String>,
}

/// Load that many tasks make together until it is told to end or has made `requests_max` requests.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) gateway: SocketAddr,
    pub(crate) name: &'static str,
    pub(crate) tasks: usize,
    pub(crate) requests_max: usize,
    next: AtomicUsize,
    ended: AtomicBool,
    list: Mutex<OwnList>,
}

impl Load {
    pub(crate) fn new(gateway: SocketAddr, name: &'static str, tasks: usize, requests_max: usize) -> Self {
        let (next, ended, list) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default());
        Self { gateway, name, tasks, requests_max, next, ended, list }
    }

    /// Makes the requests, and returns when the last one has ended.
    pub(crate) fn run(&self) {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .expect("a client");
        block_on(async {
            futures::future::join_all((0..self.tasks).map(|_| self.task(&client))).await;
        });
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn list(self) -> OwnList {
        self.list.into_inner().expect("no panic under the lock")
    }

    async fn task(&self, client: &Client) {
        while !self.ended.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.requests_max {
                return;
            }
            let path = self.path(number);
            let answer = client
                .get(format!("http://{}{path}", self.gateway))
                .header("x-forwarded-for", format!("198.51.{}.{}", number / 250 % 250, number % 250))
                .header("user-agent", "skopeo/1.16.1")
                .header("accept", "application/vnd.oci.image.manifest.v1+json")
                .send()
                .await;
            let answered = answer.is_ok();
            {
                let mut list = self.list.lock().expect("no panic under the lock");
                let side = if answered { &mut list.answered } else { &mut list.unanswered };
                side.insert(path);
            }
            match answer {
                // The gateway's head was seen; that the body ends early when it is killed changes nothing.
                Ok(answer) => drop(answer.bytes().await),
                // It was killed: the next request waits until somebody has started it again.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Every other request is for an image whose public name is its own and whose upstream is one and the same.
    fn path(&self, number: usize) -> String {
        let name = self.name;
        if number.is_multiple_of(2) {
            format!("/files/{name}/{number}.tar.gz")
        } else {
            format!("/v2/{name}/i{number}/manifests/1.0")
        }
    }
}
