//! The end of a simulation: all receivers are well, everything is enabled, and every delivery has to be settled.

use super::hold;
use super::life::Died;
use super::recorded::Unsynced;
use super::world::World;
use crate::model::{HookId, QueueId, ReplayState};
use crate::queues::{Directory, Engine};

/// The turns within which everything has to be settled.
const MOST_TURNS: usize = 5_000;

impl World {
    /// A random step, and a few turns of the engines.
    pub(super) fn step(&mut self) -> Result<(), Died> {
        self.happen()?;
        for _ in 0..self.random.below(4) {
            self.pass()?;
        }
        self.pass()
    }

    /// Lets every delivery come to its end, and checks that it does.
    pub(super) fn settle(&mut self) {
        self.setup.disk.set_free(None);
        self.receivers.calm_down();
        self.say(|_| "everything is well from now on".into());
        for turn in 0..MOST_TURNS {
            match self.pass() {
                Ok(()) => self.check(),
                Err(died) => self.revive(&died),
            }
            if turn == 0 {
                self.let_go_on();
            }
            // The engine may disable a hook because of earlier failures.
            if turn % 200 == 199 {
                self.let_go_on();
            }
            if self.is_quiet() {
                return self.check_end();
            }
        }
        self.check_end();
        hold(false, "everything settles at last", || self.left());
    }

    /// Enables and resumes everything.
    fn let_go_on(&mut self) {
        self.resume_replays();
        while !self.unknown.is_empty() {
            self.account_becomes_known();
        }
        for account in self.tenants.all() {
            if !account.enabled {
                let mut account = (*account).clone();
                account.enabled = true;
                self.put_account(account);
            }
        }
        for id in self.hooks.keys().copied().collect::<Vec<HookId>>() {
            self.edit(id, |hook| {
                hook.enabled = true;
                hook.disable_reason = None;
                hook.paused = false;
            });
        }
        let paused = self.replays.values().filter(|job| job.state == ReplayState::Paused);
        for job in paused.cloned().collect::<Vec<_>>() {
            self.hold_replay(&job, ReplayState::Running);
        }
    }

    fn is_quiet(&self) -> bool {
        let end = self.life.events.reader.end();
        let waits_in_vain = |account| self.tenants.account(account).is_none();
        let is_done = |engine: &Engine| {
            engine.desk.owned.routed() >= end
                && engine.desk.ledger.unsynced().next().is_none()
                && engine.unknown.accounts().into_iter().all(waits_in_vain)
        };
        // The keeper may still have to enable a hook whose probe was the last thing that happened.
        let quiet = self.flights.is_empty()
            && self.offered.is_empty()
            && self.life.actions.is_empty()
            && !self.has_changes();
        quiet
            && self.moves.is_empty()
            && self.life.engines().all(is_done)
            && self.replays.values().all(|job| job.has_ended())
            && self.left().is_empty()
    }

    /// What is not settled yet.
    fn left(&self) -> String {
        let mut left = Vec::new();
        for (_, slot) in self.life.engines().flat_map(|engine| engine.slots.iter()) {
            for line in slot.lines() {
                let behind = line.replay().is_none() && !line.is_live();
                if !line.queue().is_empty() || line.queue().has_spilled() || behind {
                    let queue = line.queue();
                    left.push(format!("{}: {} at {}; ", line.key().id(), queue.len(), queue.next()));
                }
            }
        }
        left.concat()
    }

    fn check_end(&mut self) {
        let unsynced = Unsynced::default();
        for queue in self.oracle.due.keys().copied().collect::<Vec<QueueId>>() {
            let has_hook = self.hooks.contains_key(&queue.as_hook());
            if has_hook || self.replays.contains_key(&queue.as_replay()) || self.is_one_shot(queue) {
                self.check_settled(queue, &unsynced, "nothing is lost");
            }
        }
        for hook in self.hooks.values() {
            let Some(raw) = self.life.engines().find_map(|engine| engine.status(hook.id)) else { continue };
            let (waiting, in_flight) = (raw.status.waiting, raw.status.in_flight);
            hold((waiting, in_flight) == (0, 0), "nothing waits when everything is settled", || {
                format!("hook {}: {waiting} waiting, {in_flight} under way", hook.id)
            });
            let standing = self.tenants.standing(hook.account);
            hold(standing.0 && hook.enabled, "everything is enabled at the end", || format!("{hook:?}"));
        }
    }
}
