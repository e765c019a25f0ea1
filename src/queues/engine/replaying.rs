//! Replays: they begin, pause, continue and are cancelled, as the API asks. `Slots::touch` ends those whose range is settled.

use std::sync::Arc;

use super::Engine;
use super::keeper::Action;
use super::line::Line;
use super::slot::Slot;
use crate::model::{HookId, QueueKey, ReplayId, ReplayState, ReplayStatus};
use crate::queues::rules::replay::{ReplayJob, ReplayRun};

impl Engine {
    /// How the replays of a hook stand that are under way.
    pub(super) fn replays(&self, hook: HookId) -> Vec<ReplayStatus> {
        self.slots.of(QueueKey::Hook(hook)).map(Slot::replay_statuses).unwrap_or_default()
    }

    /// Whether a hook may have one more replay; if not, how many it has.
    pub(super) fn one_more_replay(&self, hook: HookId) -> Result<(), usize> {
        let running = self.slots.of(QueueKey::Hook(hook)).map_or(0, |slot| slot.replays().len());
        if running < self.desk.options.max_replays { Ok(()) } else { Err(running) }
    }

    /// Begins a replay; one that the slot has already continues. False: there is no such hook, or the hook is deleted and
    /// only waits for its last attempts.
    pub(super) fn begin_replay(&mut self, hook: HookId, run: ReplayRun) -> bool {
        let Some(id) = self.slots.owner(QueueKey::Hook(hook)) else { return false };
        let key = QueueKey::Replay(run.job.id);
        match self.slots.get(id) {
            // After a start or a move the caller cannot know whether the replay is here already.
            Some(slot) if slot.has_replay(key) => return !slot.is_gone(),
            Some(slot) if !slot.is_gone() => {}
            _ => return false,
        }
        // First: a replay without anything to do ends with the change that begins it.
        self.slots.own(key, id);
        self.slots.touch(&mut self.desk, id, |desk, slot| {
            let recovered = desk.unclaimed.claim_replay(run.job.id);
            let origin = desk.origin(slot.hook(), recovered.as_ref(), run.job.from);
            let line = Line::of_replay(origin, run);
            slot.add_replay(line);
        });
        true
    }

    /// Ends a replay of a hook before its range is settled.
    pub(super) fn cancel(
        &mut self,
        hook: HookId,
        replay: ReplayId,
    ) -> Option<(ReplayStatus, Arc<ReplayJob>)> {
        let id = self.slots.owner(QueueKey::Hook(hook))?;
        let ended = self.slots.touch(&mut self.desk, id, |desk, slot| {
            let wall = desk.time.wall();
            let ended = slot.end_replay(QueueKey::Replay(replay), ReplayState::Cancelled, wall)?;
            desk.decisions.add(Action::ReplayEnded(Arc::clone(&ended.1)));
            Some(ended)
        });
        ended.flatten()
    }

    /// Pauses a replay or lets it continue, as its job says.
    pub(super) fn hold(&mut self, job: &Arc<ReplayJob>) -> Option<ReplayStatus> {
        let id = self.slots.owner(QueueKey::Replay(job.id))?;
        self.slots.touch(&mut self.desk, id, |_, slot| slot.set_replay_job(job)).flatten()
    }
}
