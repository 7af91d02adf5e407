//! Gateway, worker and broker are killed at random moments while requests go on: nothing is lost, nothing is there twice.

#![expect(clippy::print_stderr, reason = "what was killed when is how a failure is looked into")]

use std::time::Duration;

use crate::support::kafka::Kafka;
use crate::support::load::Load;
use crate::support::now;
use crate::support::pipe::Pipe;
use crate::support::registry::Registry;

/// Kills in the short form that every test run makes; `make chaos` makes at least twenty.
const KILLS_SHORT: usize = 6;

/// xorshift: what is killed when is drawn from a seed that is printed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[expect(clippy::disallowed_methods, reason = "`make chaos` says how many kills it wants, and from which seed")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A failure in the middle ends the load too.
struct EndOnDrop<'a>(&'a Load);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[test]
fn kills_lose_nothing_and_repeat_nothing() {
    let kills = setting("CHAOS_KILLS").and_then(|kills| usize::try_from(kills).ok()).unwrap_or(KILLS_SHORT);
    let seed = setting("SEED").unwrap_or_else(|| u64::from(std::process::id()) + 1);
    eprintln!("seed {seed}, {kills} kills");
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);

    let (kafka, registry) = (Kafka::start(), Registry::start());
    registry.push("acme/app", "1.0");
    let pipe = Pipe::new(&kafka, &registry.url());
    let mut gateway = pipe.start_gateway();
    let mut worker = pipe.start_worker();
    let load = Load::new(pipe.gateway(), "load", 4, usize::MAX);
    let started = now();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run());
        let _end = EndOnDrop(&load);
        for kill in 1..=kills {
            std::thread::sleep(Duration::from_millis(300 + dice.roll(1700)));
            // The first three kills are one of each; then chance decides.
            match if kill <= 3 { kill as u64 - 1 } else { dice.roll(3) } {
                0 => {
                    gateway.kill();
                    gateway = pipe.start_gateway();
                    eprintln!("kill {kill}: gateway, at {:?}", started.elapsed());
                }
                1 => {
                    worker.kill();
                    worker = pipe.start_worker();
                    eprintln!("kill {kill}: worker, at {:?}", started.elapsed());
                }
                _ => {
                    kafka.kill();
                    kafka.restart();
                    eprintln!("kill {kill}: broker, at {:?}", started.elapsed());
                }
            }
        }
        load.end();
        running.join().expect("the load ends");
    });
    let list = load.list();
    assert!(list.answered.len() > 100 * kills, "the load went on: {}", list.answered.len());
    pipe.check(&list, &[&gateway, &worker]);
    eprintln!(
        "{kills} kills, {} requests answered, {} cut off, 0 lost, 0 twice, in {:?}",
        list.answered.len(),
        list.unanswered.len(),
        started.elapsed()
    );
}
