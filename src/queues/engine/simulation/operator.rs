//! The operator's steps: retention, changed limits, and a stop in order; and commands to one engine.

use super::life::Died;
use super::setup::options;
use super::world::World;
use crate::model::HookId;
use crate::queues::{Command, QueueOptions, last_checkpoint};

impl World {
    /// What the program's retention does every ten minutes, or at a request.
    pub(super) fn retain(&mut self) -> Result<(), Died> {
        self.say(|_| "retention".into());
        let events = self.life.events.carry_out(async |events| {
            if events.retain_now().await.is_ok() { events.roll().await } else { Ok(0) }
        });
        self.hear_of_events();
        // A full disk is answered as such, and the process continues.
        if let Err(died) = events
            && !died.0.contains("full")
        {
            return Err(died);
        }
        let ledger = &self.life.ledger.reader;
        let Some(checkpoint) = last_checkpoint(ledger).map_err(|error| Died(error.to_string()))? else {
            return Ok(());
        };
        let begun =
            self.life.events.reader.untyped().segments().first().map_or(0, |segment| segment.created_us);
        let floor = ledger.untyped().open_at(begun, self.setup.clock.now_us()).min(checkpoint.0);
        self.life.ledger.carry_out(async |ledger| ledger.retain_from(floor).await).map(drop)
    }

    /// The operator changes limits and policies, except the ones that need a restart.
    pub(super) fn reload(&mut self) {
        let QueueOptions { window, lane, keep_bytes, checkpoint_records, max_reads, .. } = self.setup.options;
        let new = options(&mut self.random);
        let new = QueueOptions { window, lane, keep_bytes, checkpoint_records, max_reads, ..new };
        self.say(|_| format!("reload {new:?}"));
        self.setup.options = new.clone();
        for shard in 0..self.life.shards.len() {
            self.life.ask(shard, |answer| Command::Reload(Box::new(new.clone()), answer));
        }
    }

    fn flush_all(&mut self, last: bool) -> Result<(), Died> {
        for shard in 0..self.life.shards.len() {
            self.life.flush(shard, last)?;
        }
        Ok(())
    }

    /// The operator stops the program: it waits for attempts under way for a limited time, and writes everything.
    pub(super) fn stop(&mut self) -> Result<(), Died> {
        self.say(|_| "stopping".into());
        let until = self.time.now() + self.setup.options.grace;
        self.flights.sort_by_key(|flight| flight.done);
        while self.flights.first().is_some_and(|flight| flight.done <= until) {
            let flight = self.flights.remove(0);
            self.time.pass(flight.done.since(self.time.now()));
            let now = self.time.now();
            self.finish_one(flight, now);
            self.flush_all(false)?;
        }
        self.flush_all(true)?;
        self.oracle.follow(&self.life.ledger.reader);
        loop {
            self.life.shards.iter_mut().for_each(|shard| shard.engine.desk.decisions.pass_on());
            let Ok(action) = self.life.actions.try_recv() else { break };
            self.carry_out(action);
        }
        while self.life.events.write()? {}
        self.hear_of_events();
        Err(Died("stopped".into()))
    }

    /// Sends a command to the engine that owns a hook. `None` while the hook's partition moves.
    pub(super) fn ask<T>(
        &mut self,
        hook: HookId,
        command: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let shard = self.life.shard_of(hook)?;
        Some(self.life.ask(shard, command).unwrap())
    }
}
