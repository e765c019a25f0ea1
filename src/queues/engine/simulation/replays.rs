//! Replays are started, paused, resumed after a start, and cancelled, as the handle does it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::world::World;
use crate::model::{
    EventFilter, EventOffset, QueueKey, ReplayId, ReplayOnly, ReplayPoint, ReplayRequest, ReplayState,
};
use crate::queues::{Command, Directory, ReplayJob};

impl World {
    pub(super) fn begin_replay(&mut self) {
        let Some(hook) = self.any_hook() else { return };
        let events = &self.life.events.reader;
        let (first, end) = (events.first(), events.end());
        let may = self.ask(hook.id, |answer| Command::OneMoreReplay(hook.id, answer));
        if first >= end || !matches!(may, Some(Ok(()))) || !self.to_resume.is_empty() {
            return;
        }
        let from = self.random.between(first.0, end.0 - 1);
        let until = self.random.between(from + 1, end.0);
        let only = if self.random.percent(70) { ReplayOnly::All } else { ReplayOnly::Chosen };
        let offsets = (from..until).filter(|_| self.random.percent(40)).map(EventOffset).collect();
        let (from, until) = (EventOffset(from), EventOffset(until));
        let request = ReplayRequest {
            id: ReplayId(self.new_id()),
            hook: hook.id,
            account: hook.account,
            from: ReplayPoint::Offset(from),
            until: Some(ReplayPoint::Offset(until)),
            only,
            offsets,
            filter: EventFilter::default(),
            dry_run: false,
            rate: self.random.percent(20).then_some(2),
            by: None,
        };
        let job = ReplayJob::new(request, from, until, self.setup.clock.wall());
        self.say(|_| format!("replay {} of {} over {from}..{until} {only:?}", job.id, hook.id));
        self.tenants.note_replay(&job, true);
        let tenants = self.tenants.clone();
        self.oracle.replay(&job, &hook, |id| tenants.account(id));
        let job = Arc::new(job);
        self.replays.insert(job.id, job.clone());
        self.hand_over(&job);
    }

    pub(super) fn hand_over(&mut self, job: &Arc<ReplayJob>) {
        let chosen = (job.only == ReplayOnly::Chosen)
            .then(|| Arc::new(job.offsets.iter().copied().collect::<BTreeSet<EventOffset>>()));
        let begun = self.ask(job.hook, |answer| Command::Replay(job.clone(), chosen, answer));
        // If the hook's partition moves, the replay is started when it has moved.
        if begun == Some(false) {
            self.forget_replay(job.id);
        }
    }

    pub(super) fn forget_replay(&mut self, id: ReplayId) {
        self.replays.remove(&id);
        self.tenants.forget_replay(id);
        self.oracle.queue_gone(id.into());
    }

    /// After a start, continues the replays that were running.
    pub(super) fn resume_replays(&mut self) {
        for id in std::mem::take(&mut self.to_resume) {
            if let Some(job) = self.replays.get(&id).filter(|job| !job.has_ended()).cloned() {
                self.say(|_| format!("replay {id} is resumed"));
                self.hand_over(&job);
            }
        }
    }

    /// Cancels, pauses or resumes a replay.
    pub(super) fn change_replay(&mut self) {
        self.resume_replays();
        let running: Vec<_> = self.replays.values().filter(|job| !job.has_ended()).cloned().collect();
        let Some(job) = self.random.pick(&running) else { return };
        if self.random.percent(40) {
            let ended = self.ask(job.hook, |answer| Command::Cancel(job.hook, job.id, answer)).flatten();
            self.say(|_| format!("replay {} is cancelled", job.id));
            if let Some((_, job)) = ended {
                self.tenants.note_replay(&job, false);
                self.oracle.queue_gone(job.id.into());
                self.replays.insert(job.id, job);
            }
        } else {
            let state =
                if job.state == ReplayState::Paused { ReplayState::Running } else { ReplayState::Paused };
            self.hold_replay(&job, state);
        }
    }

    pub(super) fn hold_replay(&mut self, job: &ReplayJob, state: ReplayState) {
        self.say(|_| format!("replay {} is {state:?}", job.id));
        let job = Arc::new(ReplayJob { state, ..job.clone() });
        self.replays.insert(job.id, job.clone());
        self.ask(job.hook, |answer| Command::Hold(Arc::clone(&job), answer));
    }

    /// The engine says that a replay has ended: its document is written.
    pub(super) fn replay_ended(&mut self, job: &Arc<ReplayJob>) {
        if job.state == ReplayState::Done {
            let unsynced = self.life.unsynced();
            self.check_settled(
                QueueKey::Replay(job.id).id(),
                &unsynced,
                "a replay is done when all of it is settled",
            );
        }
        self.oracle.queue_gone(job.id.into());
        self.tenants.note_replay(job, false);
        if let Some(stored) = self.replays.get_mut(&job.id) {
            *stored = job.clone();
        }
    }
}
