//! Replays at work: they are held back and resumed, and they end when their range is settled or when they are cancelled.

use std::sync::Arc;

use super::Engine;
use super::keeper::Action;
use super::slot::{Line, Slot};
use crate::model::{HookId, Id, QueueKey, ReplayState, ReplayStatus};
use crate::queues::rules::fate::Totals;
use crate::queues::rules::replay::{ReplayJob, ReplayRun};

impl Slot {
    /// How the replays that are under way stand.
    pub(super) fn replay_statuses(&self) -> Vec<ReplayStatus> {
        self.replays.iter().filter_map(|line| Some(progress(line, &line.replay.as_ref()?.job))).collect()
    }
}

impl Engine {
    pub(super) fn replays(&self, hook: HookId) -> Vec<ReplayStatus> {
        self.slots.of(QueueKey::Hook(hook)).map(Slot::replay_statuses).unwrap_or_default()
    }

    /// Whether a hook may have one more replay; if not, how many it has.
    pub(super) fn one_more_replay(&self, hook: HookId) -> Result<(), usize> {
        let running = self.slots.of(QueueKey::Hook(hook)).map_or(0, |slot| slot.replays.len());
        if running < self.options.max_replays { Ok(()) } else { Err(running) }
    }

    /// Begins a replay. False: there is no such hook, or it is going and only waits for its last attempts.
    pub(super) fn begin_replay(&mut self, hook: HookId, run: ReplayRun) -> bool {
        let Some(id) = self.slots.owner(QueueKey::Hook(hook)) else { return false };
        let begun = self.touch(id, |engine, slot| {
            let is_here = slot.line(QueueKey::Replay(run.job.id)).is_some();
            // One that is here already goes on as it is.
            if !slot.gone && !is_here {
                engine.add_replay(id, slot, run);
            }
            !slot.gone
        });
        begun.unwrap_or(false)
    }

    /// Ends a replay of a hook before its range is settled.
    pub(super) fn cancel(&mut self, hook: HookId, replay: Id) -> Option<(ReplayStatus, Arc<ReplayJob>)> {
        let id = self.slots.owner(QueueKey::Hook(hook))?;
        let key = QueueKey::Replay(replay);
        self.touch(id, |engine, slot| engine.end_replay(slot, key, ReplayState::Cancelled)).flatten()
    }

    /// Holds a replay back or lets it go on, as its job says.
    pub(super) fn hold(&mut self, job: &Arc<ReplayJob>) -> Option<ReplayStatus> {
        let key = QueueKey::Replay(job.id);
        let id = self.slots.owner(key)?;
        let held = self.touch(id, |_, slot| {
            let line = slot.line(key)?;
            let run = line.replay.as_mut().filter(|run| !run.job.has_ended())?;
            run.job = job.clone();
            Some(progress(line, job))
        });
        held.flatten()
    }

    /// Ends the replays of a slot whose range is settled, and forgets those that have ended and have nothing under way.
    pub(super) fn end_settled_replays(&mut self, slot: &mut Slot) {
        // Hardly ever is there a replay at all, and this is asked after every change.
        if slot.replays.is_empty() {
            return;
        }
        let keys: Vec<QueueKey> = slot.replays.iter().map(|line| line.key).collect();
        for key in keys {
            let Some(line) = slot.line(key) else { continue };
            let Some(run) = &line.replay else { continue };
            let is_settled = line.queue.next() >= run.job.until
                && line.queue.is_empty()
                && !line.queue.has_spilled()
                && !line.reading;
            if !run.job.has_ended() && is_settled {
                self.end_replay(slot, key, ReplayState::Done);
            } else if run.job.has_ended() && line.queue.in_flight() == 0 {
                self.drop_replay(slot, key);
            }
        }
    }

    /// Ends a replay. What of it is under way comes home first; nothing new is started.
    fn end_replay(
        &mut self,
        slot: &mut Slot,
        key: QueueKey,
        how: ReplayState,
    ) -> Option<(ReplayStatus, Arc<ReplayJob>)> {
        let now = self.clock.now_us();
        let line = slot.line(key)?;
        let job = line.replay.as_ref().filter(|run| !run.job.has_ended())?.job.clone();
        let shown = progress(line, &job);
        let job = Arc::new(job.ended(how, now, [shown.matched, shown.delivered, shown.dead]));
        if let Some(run) = &mut line.replay {
            run.job = job.clone();
        }
        if line.queue.in_flight() == 0 {
            self.drop_replay(slot, key);
        }
        self.pending_actions.push_back(Action::ReplayEnded(job.clone()));
        Some((job.status(shown.next_offset, job.totals), job))
    }

    /// Forgets a replay. Checkpoints name it until its document says that it has ended.
    fn drop_replay(&mut self, slot: &mut Slot, key: QueueKey) {
        if let Some(at) = slot.replays.iter().position(|line| line.key == key) {
            let line = slot.replays.remove(at);
            self.ended_replays.push(self.image(slot, &line));
            slot.turn = 0;
        }
        self.slots.disown(key);
    }

    /// Ends the replays of a hook that goes.
    pub(super) fn end_replays(&mut self, slot: &mut Slot) {
        let keys: Vec<QueueKey> = slot.replays.iter().map(|line| line.key).collect();
        for key in keys {
            self.end_replay(slot, key, ReplayState::Cancelled);
        }
    }
}

fn progress(line: &Line, job: &ReplayJob) -> ReplayStatus {
    let Totals { delivered, dead, .. } = line.totals;
    let matched = line.totals.sum() + line.queue.len() as u64;
    job.status(line.queue.cursor().min(job.until), [matched, delivered, dead])
}
