//! A simulation of the queues: the real engine, ledger, recovery, rules and logs, on a disk that loses power, with simulated
//! clocks, receivers, people and reads. One seed decides everything that happens, so a failure can be repeated exactly.
//!
//! The simulation uses no thread, no socket and no real time. `SWITCHHOOK_SIM=seed=N` runs one seed and prints what
//! happened, `SWITCHHOOK_SIM=seeds=N` runs the first N seeds (`docs/simulation.md`).

mod check;
#[path = "../../../../tests/it/cut_disk.rs"]
#[expect(dead_code, reason = "the integration tests use more of the disk")]
mod cut_disk;
mod death;
mod late;
mod life;
mod moving;
mod operator;
mod oracle;
mod order;
mod permits;
mod random;
mod receivers;
mod recorded;
mod replays;
mod settle;
mod setup;
mod show;
mod steps;
mod tenants;
mod time;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// The seeds of the normal test.
const SEEDS: u64 = 300;
/// The steps of one simulation.
const STEPS: usize = 120;

/// What happened in a simulation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Summary {
    events: u64,
    attempts: u64,
    deaths: u64,
    /// A hash over all attempts in order. Two equal runs have the same.
    hash: u64,
}

impl Summary {
    fn note(&mut self, what: u64) {
        self.hash = (self.hash ^ what).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }
}

/// Ends the simulation if an invariant does not hold.
fn hold(holds: bool, invariant: &str, found: impl FnOnce() -> String) {
    assert!(holds, "does not hold: {invariant} ({})", found());
}

/// Runs one seed to its end.
fn simulate(world: &mut World) -> Summary {
    for _ in 0..STEPS {
        match world.step() {
            Ok(()) => world.check(),
            Err(died) => world.revive(&died),
        }
    }
    world.settle();
    world.summary
}

/// Runs a seed. A failure prints the seed, and with `traced` everything that happened before it.
fn run(seed: u64, traced: bool) -> Summary {
    let mut world = World::new(seed, traced);
    match catch_unwind(AssertUnwindSafe(|| simulate(&mut world))) {
        Ok(summary) => summary,
        Err(panic) => {
            for line in world.trace.iter().flatten() {
                eprintln!("{line}");
            }
            if traced {
                eprintln!("{}", world.standing());
            }
            eprintln!("simulation failed; SWITCHHOOK_SIM=seed={seed} runs it again");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The environment may ask for one seed, or for a number of seeds.
fn asked() -> (Option<u64>, u64) {
    let asked = std::env::var("SWITCHHOOK_SIM").unwrap_or_default();
    let number = |name: &str| asked.strip_prefix(name)?.parse().ok();
    (number("seed="), number("seeds=").unwrap_or(SEEDS))
}

#[test]
fn whatever_happens_every_promise_of_the_queues_holds() {
    let (one, count) = asked();
    if let Some(seed) = one {
        eprintln!("{:?}", run(seed, true));
        return;
    }
    let mut all = Summary::default();
    for seed in 0..count {
        let summary = run(seed, false);
        all.events += summary.events;
        all.attempts += summary.attempts;
        all.deaths += summary.deaths;
    }
    eprintln!("{count} seeds: {} events, {} attempts, {} deaths", all.events, all.attempts, all.deaths);
    assert!(all.attempts > count && all.deaths > count / 10, "enough happens in the simulation: {all:?}");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..10 {
        assert_eq!(run(seed, false), run(seed, true));
    }
}
