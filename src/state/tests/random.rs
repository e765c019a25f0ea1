//! Random damage to the index's files: all documents are still found.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::damage::{all_is_found, copy_all, files, filled};
use super::*;

/// Damages a directory of files in one to four ways. Returns a description.
fn hurt(seed: u64, index: &Path, foreign: &Path) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut done = format!("seed {seed}");
    for _ in 0..rng.random_range(1..=4) {
        let (own, others) = (files(index), files(foreign));
        let Some(path) = own.get(rng.random_range(0..own.len().max(1))) else { break };
        let mut bytes = std::fs::read(path).expect("readable");
        // The used part of a file is at its beginning; the rest is zeros.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let at = rng.random_range(0..=used);
        let way = rng.random_range(0..9);
        match way {
            0..3 => {
                for _ in 0..rng.random_range(1..=64) {
                    let at = rng.random_range(0..used.max(1));
                    bytes.get_mut(at).into_iter().for_each(|byte| *byte = rng.random());
                }
            }
            3 => bytes.truncate(at),
            4 => bytes.clear(),
            5 => bytes.splice(at..at, (0..rng.random_range(1..5000)).map(|_| 0x5a)).for_each(drop),
            6 => {
                let until = (at + rng.random_range(1..8192)).min(bytes.len());
                bytes.get_mut(at..until).into_iter().for_each(|part| part.fill(0));
            }
            7 => {
                let other = &others[rng.random_range(0..others.len())];
                bytes = std::fs::read(other).expect("readable");
            }
            _ => {}
        }
        done = format!("{done}, {way} at {at} of {}", path.display());
        if way == 8 { std::fs::remove_file(path) } else { std::fs::write(path, bytes) }.expect("written");
    }
    done
}

/// Runs once per seed, each time from the same sound state.
async fn survives(seeds: std::ops::Range<u64>) {
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let known = filled(dir.path()).await;
    filled(other.path()).await;
    for seed in seeds {
        let copy = tempfile::tempdir().expect("a directory");
        copy_all(dir.path(), copy.path());
        let what = hurt(seed, &copy.path().join("state"), &other.path().join("state"));
        drop(all_is_found(copy.path(), &known, &what).await);
    }
}

#[tokio::test]
async fn random_damage_to_the_index_loses_nothing() {
    survives(0..40).await;
}

#[tokio::test]
#[ignore = "some minutes: cargo test --lib -- --ignored thousands_of_times"]
async fn random_damage_to_the_index_loses_nothing_in_thousands_of_runs() {
    survives(40..4000).await;
}
