//! One request for many who ask the same at once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::Shared;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

type Waiting<V> = Shared<oneshot::Receiver<V>>;

/// Requests under way by key. Each has a client that waits or waited, so there are at most as many as client connections' streams.
#[derive(Debug)]
pub(super) struct Flights<V: Clone> {
    under_way: Arc<Mutex<HashMap<String, Waiting<V>>>>,
    shared: Counter,
}

impl<V: Clone + Send + Sync + 'static> Flights<V> {
    pub(super) fn new(shared: Counter) -> Self {
        Self { under_way: Arc::default(), shared }
    }

    /// What the request under way for `key` gives, or `work` when there is none. It has a task of its own: a client that goes away takes
    /// nothing from the others. `None` when it panicked or the process ends.
    pub(super) async fn join<F>(&self, key: String, work: F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let waiting = {
            let mut under_way = lock(&self.under_way);
            match under_way.get(&key) {
                Some(waiting) => {
                    self.shared.inc();
                    waiting.clone()
                }
                None => {
                    let (done, waiting) = oneshot::channel();
                    let waiting = waiting.shared();
                    under_way.insert(key.clone(), waiting.clone());
                    let landing = Landing { under_way: Arc::clone(&self.under_way), key };
                    tokio::spawn(async move {
                        let value = work.await;
                        drop(landing);
                        if done.send(value).is_err() {
                            tracing::debug!("every client that waited for an upstream has gone");
                        }
                    });
                    waiting
                }
            }
        };
        waiting.await.ok()
    }
}

/// Takes the flight off the list, also when its work panics.
struct Landing<V: Clone> {
    under_way: Arc<Mutex<HashMap<String, Waiting<V>>>>,
    key: String,
}

impl<V: Clone> Drop for Landing<V> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_request() {
        let flights = Flights::new(Counter::default());
        let (asked, (open, gate)) = (Arc::new(AtomicUsize::new(0)), oneshot::channel::<()>());
        let gate = gate.shared();
        let join = || {
            let (asked, gate) = (Arc::clone(&asked), gate.clone());
            flights.join("k".into(), async move {
                asked.fetch_add(1, Ordering::SeqCst);
                gate.await.is_ok()
            })
        };
        // The first one goes away while it waits.
        assert_eq!(join().now_or_never(), None);
        let others = futures::future::join_all((0..49).map(|_| join()));
        let opened = async { open.send(()).expect("the request waits") };
        let (others, ()) = tokio::join!(others, opened);
        assert_eq!(others, vec![Some(true); 49]);
        assert_eq!((asked.load(Ordering::SeqCst), flights.shared.get()), (1, 49));
        assert_eq!(join().await, Some(true));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "what landed is not joined");
    }

    #[tokio::test]
    async fn a_request_that_panics_leaves_nobody_waiting() {
        let flights: Flights<u8> = Flights::new(Counter::default());
        assert_eq!(flights.join("k".into(), async { panic!("as it happens") }).await, None);
        assert_eq!(flights.join("k".into(), async { 1 }).await, Some(1));
    }
}
