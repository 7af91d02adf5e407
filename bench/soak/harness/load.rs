//! Many clients at once, at a rate or as fast as they can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Plan;
use super::account::{Account, Asked};
use super::client::Client;
use super::content::Content;
use super::random::Random;
use super::upstreams::Disturbance;

/// How fast requests follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection asks again as soon as it is answered.
    Unbounded,
    /// So many a second over all connections. One that waited for an answer does not make up for it.
    Rate(u32),
}

/// One request of so many opens a new connection.
const NEW_CONNECTION_EVERY: usize = 20;

#[derive(Debug, Clone)]
pub(crate) struct Load {
    gateway: SocketAddr,
    content: Arc<Content>,
    account: Arc<Account>,
    disturbance: Arc<Disturbance>,
}

impl Load {
    pub(crate) fn new(
        gateway: SocketAddr,
        content: Arc<Content>,
        account: Arc<Account>,
        disturbance: Arc<Disturbance>,
    ) -> Self {
        Self { gateway, content, account, disturbance }
    }

    /// Asks for each of these once, in order.
    pub(crate) async fn see_all(&self, places: &[usize]) {
        let mut client = Client::new(self.gateway);
        for place in places {
            self.ask(&mut client, *place).await;
        }
    }

    /// The mix on all connections for `duration`; at a rate, the things that are asked for once come in between.
    pub(crate) async fn run(&self, plan: &Plan, pace: Pace, duration: Duration) {
        let until = Instant::now() + duration;
        let mut clients = JoinSet::new();
        for number in 0..plan.connections {
            let (load, random) = (self.clone(), Random::new(plan.seed ^ (u64::from(number) << 32)));
            let every = match pace {
                Pace::Unbounded => None,
                Pace::Rate(rate) => Some(Duration::from_secs(1) * plan.connections / rate),
            };
            // Spread over the first interval.
            let first = Instant::now() + every.unwrap_or_default() * number / plan.connections;
            clients.spawn(async move { load.client(random, every, first, until).await });
        }
        if matches!(pace, Pace::Rate(_)) {
            let load = self.clone();
            clients.spawn(async move { load.once(duration, until).await });
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client does not panic");
        }
    }

    async fn client(&self, mut random: Random, every: Option<Duration>, first: Instant, until: Instant) {
        let mut client = Client::new(self.gateway);
        let mut next = first;
        while next < until {
            if let Some(every) = every {
                tokio::time::sleep_until(next).await;
                next = Instant::now().max(next + every);
            } else {
                next = Instant::now();
            }
            if random.below(NEW_CONNECTION_EVERY) == 0 {
                client.hang_up();
            }
            self.ask(&mut client, self.content.choose(&mut random)).await;
        }
    }

    async fn once(&self, duration: Duration, until: Instant) {
        let fresh = self.content.fresh();
        let every = duration / u32::try_from(fresh.len() + 1).unwrap_or(1);
        let mut client = Client::new(self.gateway);
        // Both kinds in turn: first halves of each.
        let (both, alone) = fresh.split_at(fresh.len() / 2);
        for place in both.iter().zip(alone).flat_map(|(both, alone)| [both, alone]) {
            tokio::time::sleep(every).await;
            if Instant::now() >= until {
                return;
            }
            self.ask(&mut client, *place).await;
        }
    }

    async fn ask(&self, client: &mut Client, place: usize) {
        let Some(ask) = self.content.asks.get(place) else { return };
        let (id, seen, begun) = (self.account.next_id(), self.account.has_seen(place), Instant::now());
        let answer = client.ask(ask, id).await;
        let asked = Asked {
            id,
            ask: place,
            kind: ask.kind,
            what: &ask.path,
            source: ask.source,
            seen,
            disturbed: self.disturbance.any_since(begun),
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            at_ms: self.disturbance.at_ms(begun),
        };
        self.account.enter(&asked, &answer);
    }
}
