//! Work on every core, for columns: they know nothing of each other.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More threads than this wait for the longest column.
const THREADS_MAX: usize = 8;

/// What `work` makes of each, in the order given.
pub(crate) fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX);
    let mut done: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let slots = Mutex::new(items.into_iter().zip(&mut done));
    let take = || slots.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some((item, slot)) = take() {
            *slot = Some(work(item));
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        run();
        for other in others {
            other.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    drop(slots);
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_the_order_stays() {
        let squares = in_parallel((0..1000_u64).collect(), |number| number * number);
        assert_eq!(squares, (0..1000).map(|number| number * number).collect::<Vec<u64>>());
        assert_eq!(in_parallel(Vec::<u8>::new(), |number| number), Vec::<u8>::new());
    }
}
