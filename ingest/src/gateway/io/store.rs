//! The cache: on disk across restarts, bounded in bytes, with a front in memory.
//!
//! A key's file is named by its SHA-256 and stands in a folder of the name's first two digits. A writer of its own makes files, so that no
//! request waits for a disk, and readers are threads of their own; nothing is synced, since damage is found by a checksum and costs one request to the upstream.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::super::lru::Lru;
use super::store_files::{self, Name};
use crate::metrics::CacheMetrics;

pub(crate) use super::super::stored::Stored;

/// What is kept in memory of the things on disk: a few thousand manifests.
const MEMORY_BYTES_MAX: u64 = 32 << 20;
/// What an entry costs in memory beside its bytes: two maps and the key, at most.
const MEMORY_ENTRY_BYTES: u64 = 1 << 10;
/// A file takes at least a block of the disk. So 256 MiB hold at most 65,536 files, whose index is about 10 MiB.
const DISK_ENTRY_BYTES: u64 = 4 << 10;
/// Bytes that wait to be written; further things are not kept on disk. A disk writes them in far less than a second.
const WAITING_BYTES_MAX: u64 = 16 << 20;
/// Files that are read at once, each on a thread of its own: a disk that hangs holds no more, 256 MiB of stacks that nobody touches.
const READS_MAX: usize = 128;
/// How long a file is waited for. A disk under load may take some hundred milliseconds.
const READ_WAIT: Duration = Duration::from_secs(1);
/// Orders that wait for the writer: 16 MiB of the smallest things, and as many removals.
const WAITING_MAX: usize = 8192;

/// The cache. Nothing that goes wrong in it is an error to a client: it is counted, and the upstream is asked.
#[derive(Debug)]
pub(crate) struct Store {
    item_bytes_max: u64,
    memory: Mutex<Lru<String, Arc<Stored>>>,
    disk: Option<Disk>,
    metrics: CacheMetrics,
}

#[derive(Debug)]
struct Disk {
    shared: Arc<DiskShared>,
    orders: Option<mpsc::SyncSender<Order>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct DiskShared {
    dir: PathBuf,
    order: Mutex<Lru<Name>>,
    waiting_bytes: AtomicU64,
    /// One for each file that may be read at once.
    reads: Arc<Semaphore>,
    metrics: CacheMetrics,
}

#[derive(Debug)]
enum Order {
    Write(Name, String, Arc<Stored>),
    Remove(Name),
}

impl Store {
    /// Opens the cache in `dir`, or one in memory alone.
    ///
    /// # Errors
    /// The folder cannot be made or listed, or no thread is to be had.
    pub(crate) fn open(
        dir: Option<&Path>,
        bytes_max: u64,
        item_bytes_max: u64,
        metrics: CacheMetrics,
    ) -> io::Result<Self> {
        let disk = dir.map(|dir| Disk::open(dir, bytes_max, metrics.clone())).transpose()?;
        let memory = Mutex::new(Lru::new(MEMORY_BYTES_MAX.min(bytes_max)));
        Ok(Self { item_bytes_max, memory, disk, metrics })
    }

    /// What is kept under `key`, whatever its age. A disk that hangs is not waited for: the upstream is asked instead.
    pub(crate) async fn get(&self, key: &str) -> Option<Arc<Stored>> {
        if let Some(found) = lock(&self.memory).get(key) {
            return Some(Arc::clone(found));
        }
        let found = Arc::new(self.disk.as_ref()?.read(key).await?);
        self.remember(key, &found);
        Some(found)
    }

    fn remember(&self, key: &str, stored: &Arc<Stored>) {
        let bytes = stored.bytes() + 2 * key.len() as u64 + MEMORY_ENTRY_BYTES;
        lock(&self.memory).insert(key.to_owned(), Arc::clone(stored), bytes);
    }

    /// Keeps a thing, unless it is larger than one may be.
    pub(crate) fn put(&self, key: &str, stored: Stored) -> Arc<Stored> {
        let stored = Arc::new(stored);
        if stored.bytes() > self.item_bytes_max {
            self.metrics.too_large.inc();
            // What was there before is no longer what the upstream says.
            self.remove(key);
            return stored;
        }
        self.remember(key, &stored);
        if let Some(disk) = &self.disk {
            disk.write(key, &stored);
        }
        stored
    }

    /// Forgets what is kept under `key`.
    pub(crate) fn remove(&self, key: &str) {
        let was_in_memory = lock(&self.memory).remove(key);
        if let Some(disk) = &self.disk {
            let was_on_disk = lock(&disk.shared.order).remove(&name_of(key));
            if was_in_memory || was_on_disk {
                disk.order(Order::Remove(name_of(key)));
            }
        }
    }
}

impl Disk {
    fn open(dir: &Path, bytes_max: u64, metrics: CacheMetrics) -> io::Result<Self> {
        let (found, foreign) = store_files::list(dir)?;
        metrics.damaged.inc_by(foreign);
        let mut order = Lru::new(bytes_max);
        let mut gone = Vec::new();
        for (name, bytes) in found {
            gone.extend(order.insert(name, (), bytes.max(DISK_ENTRY_BYTES)));
        }
        for name in gone {
            store_files::remove(dir, &name);
        }
        metrics.set_bytes(order.bytes());
        let (order, reads) = (Mutex::new(order), Arc::new(Semaphore::new(READS_MAX)));
        let shared = DiskShared { dir: dir.to_owned(), order, waiting_bytes: 0.into(), reads, metrics };
        let shared = Arc::new(shared);
        let (orders, waiting) = mpsc::sync_channel(WAITING_MAX);
        let writer = {
            let shared = Arc::clone(&shared);
            let body = move || waiting.into_iter().for_each(|order| shared.carry_out(order));
            std::thread::Builder::new().name("cache".into()).spawn(body)?
        };
        Ok(Self { shared, orders: Some(orders), writer: Some(writer) })
    }

    async fn read(&self, key: &str) -> Option<Stored> {
        let name = name_of(key);
        let DiskShared { order, metrics, reads, .. } = &*self.shared;
        lock(order).get(&name)?;
        // As many reads as may wait are waiting already: the disk hangs.
        let permit = Arc::clone(reads).try_acquire_owned().ok()?;
        let (shared, of_key) = (Arc::clone(&self.shared), key.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let _held_until_it_is_read = permit;
            store_files::read(&shared.dir, &name).and_then(|file| Stored::decode(&of_key, &Bytes::from(file)))
        });
        // Late, or a panic: nobody knows what is there.
        let stored = tokio::time::timeout(READ_WAIT, reading).await.ok()?.ok()?;
        if stored.is_none() {
            lock(order).remove(&name);
            self.order(Order::Remove(name));
            metrics.damaged.inc();
        }
        stored
    }

    fn write(&self, key: &str, stored: &Arc<Stored>) {
        let bytes = stored.bytes();
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = waiting + bytes <= WAITING_BYTES_MAX;
        if !room || !self.order(Order::Write(name_of(key), key.to_owned(), Arc::clone(stored))) {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.metrics.not_written.inc();
        }
    }

    fn order(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }
}

impl DiskShared {
    fn carry_out(&self, order: Order) {
        match order {
            Order::Write(name, key, stored) => {
                let file = stored.encode(&key);
                match store_files::write(&self.dir, &name, &file) {
                    Ok(()) => {
                        let gone = lock(&self.order).insert(name, (), (file.len() as u64).max(DISK_ENTRY_BYTES));
                        for name in &gone {
                            store_files::remove(&self.dir, name);
                        }
                    }
                    Err(error) => {
                        self.metrics.not_written.inc();
                        tracing::debug!(%error, "the cache could not write a file");
                    }
                }
                self.waiting_bytes.fetch_sub(stored.bytes(), Ordering::Relaxed);
            }
            Order::Remove(name) => {
                lock(&self.order).remove(&name);
                store_files::remove(&self.dir, &name);
            }
        }
        self.metrics.set_bytes(lock(&self.order).bytes());
    }
}

impl Drop for Disk {
    /// What waits is written before the end.
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the cache's writer panicked");
        }
    }
}

fn name_of(key: &str) -> Name {
    Sha256::digest(key.as_bytes()).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
