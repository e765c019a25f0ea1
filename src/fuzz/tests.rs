//! Runs every target with its seeds and some thousand mutations of them, on any compiler.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{TARGETS, Target};

/// Mutations for each target. Longer runs are left to cargo-fuzz.
const MUTATIONS: u64 = 1500;
/// Building blocks of JSON, forms, paths and keys.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "\"\":{}",
    "&",
    "=",
    "%",
    "%00",
    "%2e",
    "*",
    "#",
    ".",
    "/",
    "?",
    "\n",
    "\u{0}",
    "ü",
    "😀",
    "data",
    "account_id",
    "subscribe",
    "page_size",
    "start_key",
    "filter_",
    "18446744073709551616",
    "Event-Name",
    "Call-ID",
    "hook",
    "uri",
    "http://",
];

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// An input made from the seeds: parts are cut, doubled, swapped or flipped, and words are inserted.
fn mutated(seeds: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut data = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..8) {
        let (from, to) = (rng.random_range(0..=data.len()), rng.random_range(0..=data.len()));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 400));
        match rng.random_range(0..6) {
            0 => drop(data.drain(from..to)),
            1 => {
                let part = data[from..to].repeat(rng.random_range(1..6));
                data.splice(from..from, part).for_each(drop);
            }
            2 => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let at = rng.random_range(0..=other.len());
                data.splice(from..to, other[at..].iter().copied()).for_each(drop);
            }
            3 => data[from..to].iter_mut().take(4).for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
            4 => data.splice(from..from, (0..rng.random_range(1..9)).map(|_| rng.random())).for_each(drop),
            _ => {
                let word = WORDS[rng.random_range(0..WORDS.len())].repeat(rng.random_range(1..4));
                data.splice(from..from, word.into_bytes()).for_each(drop);
            }
        }
        data.truncate(8192);
    }
    data
}

fn run((name, target): Target) {
    let seeds = seeds(name);
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    for seed in &seeds {
        target(seed);
    }
    for number in 0..MUTATIONS {
        let data = mutated(&seeds, &mut StdRng::seed_from_u64(number));
        let held = std::panic::catch_unwind(|| target(&data));
        assert!(held.is_ok(), "{name}, mutation {number}: {:?}", String::from_utf8_lossy(&data));
    }
}

#[test]
fn every_target_holds_for_its_seeds_and_some_thousand_mutations() {
    TARGETS.into_iter().for_each(run);
}

#[test]
fn the_seeds_are_accepted_and_not_only_refused() {
    let understood =
        |name: &str, is: fn(&[u8]) -> bool| assert!(seeds(name).iter().any(|seed| is(seed)), "{name}");
    understood("event", |seed| crate::kazoo::facts(seed).is_ok());
    understood("form", |seed| serde_json::from_slice::<serde_json::Value>(seed).is_ok_and(|v| v.is_object()));
    understood("binding", |seed| {
        let line = std::str::from_utf8(seed).unwrap().lines().next().unwrap_or_default();
        crate::kazoo::Pattern::parse(line).is_ok()
    });
    understood("hook", |seed| {
        let doc: serde_json::Value = serde_json::from_slice(seed).unwrap();
        let rules = crate::kazoo::Rules { allow: &[], master: true };
        crate::kazoo::validate_hook(doc.as_object().unwrap(), &rules).is_ok()
    });
}
