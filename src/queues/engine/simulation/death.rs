//! The process dies, and is started again with what is on disk.

use std::sync::Arc;
use std::time::Duration;

use super::cut_disk::Tear;
use super::hold;
use super::life::{Died, Life};
use super::oracle::Logging;
use super::setup::{LONGEST_DELAY, shards};
use super::world::World;
use crate::model::{EventOffset, Hook, ReplayId};
use crate::queues::ReplayJob;

impl World {
    /// Starts the process again, until a start succeeds. Only what is on disk is left.
    pub(super) fn revive(&mut self, why: &Died) {
        self.say(|world| format!("DEAD: {}{}", why.0, world.standing()));
        self.summary.deaths += 1;
        let died_at = self.life.now();
        self.oracle.perhaps_torn(self.life.unsynced());
        self.flights.clear();
        self.reads.clear();
        self.brought.clear();
        self.moves.clear();
        self.offered.clear();
        self.cursors.clear();
        self.settled_below.clear();
        loop {
            let tear =
                self.random.pick(&[Tear::Nothing, Tear::FirstHalf, Tear::SecondHalf, Tear::All, Tear::All]);
            self.setup.disk.power_on(tear.unwrap_or(Tear::Nothing));
            self.setup.disk.set_free(None);
            if self.random.percent(20) {
                self.setup.disk.cut_at(self.random.below(12));
            }
            self.setup.shards = shards(&mut self.random);
            let hooks: Vec<Arc<Hook>> = self.hooks.values().cloned().collect();
            match Life::open(&self.setup, &hooks) {
                Ok(life) => {
                    self.life = life;
                    break;
                }
                Err(died) => self.say(|_| format!("dead again: {}", died.0)),
            }
        }
        let latest = self.life.now() + LONGEST_DELAY;
        self.time.pass(Duration::from_secs(1));
        let end = self.oracle.events.last_key_value().map_or(EventOffset::FIRST, |(last, _)| *last + 1);
        let reader = self.life.events.reader.clone();
        hold(reader.end() >= end, "nothing that was acknowledged is lost", || {
            format!("the log ends at {}, {end} was acknowledged", reader.end())
        });
        let now = Logging { at: self.time.now(), tenants: &self.tenants };
        self.oracle.find(&reader, now);
        self.oracle.follow(&self.life.ledger.reader);
        self.oracle.forget_reached(died_at);
        self.oracle.due_at_most(latest);
        self.check_log();
        let gone = |job: &&Arc<ReplayJob>| !self.hooks.contains_key(&job.hook);
        let orphans: Vec<ReplayId> = self.replays.values().filter(gone).map(|job| job.id).collect();
        for id in orphans {
            self.forget_replay(id);
        }
        self.to_resume = self.replays.values().filter(|job| !job.has_ended()).map(|job| job.id).collect();
        self.say(|world| {
            let events = &world.life.events.reader;
            format!("back: log {}..{}{}", events.first(), events.end(), world.standing())
        });
    }
}
