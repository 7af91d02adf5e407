//! Lines are read on every core, and their results come in the order of the lines.

use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::super::{Imported, Importer, RejectedLine};
use super::Records;
use super::lines::{Chunk, Lines};

/// More threads than this wait for the one that reads the file.
const THREADS_MAX: usize = 16;
/// Chunks that wait before and behind each thread. With one in work, 16 threads hold 48 chunks of at most 512 KiB and their results, of
/// about four times that: 120 MiB at the very most, and with lines of common length a fifth of it.
const WAITING: usize = 1;

/// What became of a chunk's lines.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) records: Records,
    pub(super) rejected: Vec<RejectedLine>,
    pub(super) passed_over: u64,
    /// How far the content is read.
    pub(super) bytes_read: u64,
}

/// Hands the results of all lines to `take`, in order. Ends at the first error of either side.
pub(super) fn read_lines<E: From<io::Error>>(
    mut lines: Lines,
    mut importer: Importer,
    mut take: impl FnMut(Results) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (to_threads, chunks): (Vec<_>, Vec<_>) = (0..threads).map(|_| sync_channel(WAITING)).unzip();
    let (results, from_threads): (Vec<_>, Vec<_>) = (0..threads).map(|_| sync_channel(WAITING)).unzip();
    thread::scope(|scope| {
        for (chunks, results) in chunks.into_iter().zip(results) {
            scope.spawn(move || work(&chunks, &results));
        }
        // The chunks are dealt out in turn, so that taking them in turn is taking them in order.
        let reading = scope.spawn(move || -> io::Result<()> {
            for to_thread in to_threads.iter().cycle() {
                let Some(chunk) = Chunk::read(&mut lines, &mut importer)? else { break };
                // Nobody wants more: the taker has failed.
                if to_thread.send(chunk).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let mut taken = Ok(());
        for from_thread in from_threads.iter().cycle() {
            let Ok(results) = from_thread.recv() else { break };
            taken = take(results);
            if taken.is_err() {
                break;
            }
        }
        drop(from_threads);
        let read = reading.join().unwrap_or_else(|panic| resume_unwind(panic));
        taken.and(read.map_err(E::from))
    })
}

fn work(chunks: &Receiver<Chunk>, results: &SyncSender<Results>) {
    while let Ok(chunk) = chunks.recv() {
        let mut done = Results { bytes_read: chunk.bytes_read, ..Results::default() };
        for result in chunk.results() {
            match result {
                Imported::Record(record) => done.records.push(record),
                Imported::Rejected(line) => done.rejected.push(line),
                Imported::PassedOver => done.passed_over += 1,
            }
        }
        if results.send(done).is_err() {
            return;
        }
    }
}
