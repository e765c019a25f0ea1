//! Partitions move from one shard to another while the queues work, as the handle moves them.

use tokio::sync::oneshot;

use super::hold;
use super::life::Died;
use super::world::World;
use crate::queues::{Command, Directory, Partition, Partitions, recover_some};

/// Partitions that move.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) set: Partitions,
    to: usize,
    given_up: oneshot::Receiver<()>,
    is_given_up: bool,
}

impl World {
    /// Starts to move about half of a shard's partitions to another shard.
    pub(super) fn begin_to_move(&mut self) {
        let count = self.life.shards.len();
        if count < 2 || !self.moves.is_empty() {
            return;
        }
        let most = count as u64 - 1;
        let (from, next) = (self.random.count(0, most), self.random.count(1, most));
        let to = (from + next) % count;
        let owned = self.life.shards[from].engine.desk.owned.set();
        let set: Partitions = owned.iter().filter(|_| self.random.percent(50)).collect();
        self.say(|_| format!("partitions {set} move from shard {from} to {to}"));
        let (answer, given_up) = oneshot::channel();
        self.life.shards[from].engine.command(Command::Lose(set, answer));
        self.moves.push(Moving { set, to, given_up, is_given_up: false });
    }

    /// Lets shards take partitions that have been given up, sooner or later.
    pub(super) fn go_on_moving(&mut self) -> Result<(), Died> {
        for mut moving in std::mem::take(&mut self.moves) {
            moving.is_given_up |= moving.given_up.try_recv().is_ok();
            if !self.random.percent(50) || !moving.is_given_up {
                self.moves.push(moving);
                continue;
            }
            let (set, to) = (moving.set, moving.to);
            if self.random.percent(30) {
                // The handle reads the ledger again until that succeeds. Until then nobody owns the partitions.
                self.say(|_| format!("partitions {set} cannot be recovered yet"));
                self.moves.push(moving);
                continue;
            }
            let is_replay = |id| self.tenants.hook_of_replay(id).is_some();
            let recovered = recover_some(&self.life.ledger.reader, set, is_replay);
            let recovered = Box::new(recovered.map_err(|error| Died(error.to_string()))?);
            // The new shard then has changes to take that are older than the documents which it reads.
            if self.random.percent(30) {
                self.change_in_a_hurry(set);
            }
            self.say(|_| format!("partitions {set} are taken by shard {to}"));
            self.life.ask(to, |answer| Command::Gain(set, recovered, answer));
            let running = self.replays.values().filter(|job| !job.has_ended());
            let moved = running.filter(|job| set.contains(Partition::of(job.hook)));
            for job in moved.cloned().collect::<Vec<_>>() {
                if !self.to_resume.contains(&job.id) {
                    self.hand_over(&job);
                }
            }
        }
        Ok(())
    }

    /// Every partition has one owner, or moves.
    pub(super) fn check_owners(&self) {
        let mut owned = Partitions::NONE;
        for engine in self.life.engines() {
            let twice = owned.within(engine.desk.owned.set());
            hold(twice.is_empty(), "a partition has one owner at a time", || twice.to_string());
            owned = owned.with(engine.desk.owned.set());
        }
        let moves = self.moves.iter().fold(Partitions::NONE, |all, moving| all.with(moving.set));
        let lost = Partitions::ALL.without(owned).without(moves);
        hold(lost.is_empty(), "every partition has an owner or moves", || lost.to_string());
    }
}
