//! What the API asks of the engine, and the engine's answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Engine;
use super::options::Options;
use super::shadow::Stance;
use super::survey::Survey;
use crate::model::{Gap, HookId, Id, QueueKey, QueueState, QueueStatus, ReplayState, ReplayStatus};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::fate::Totals;
use crate::queues::rules::partitions::Partitions;
use crate::queues::rules::replay::{ReplayJob, ReplayRun};

/// A question or an order; answers go back through its channel.
#[derive(Debug)]
pub enum Command {
    /// A hook's queue.
    Status(HookId, oneshot::Sender<Option<RawStatus>>),
    /// The queues of these hooks, in their order; `None`: it has none.
    Statuses(Vec<HookId>, oneshot::Sender<Vec<Option<RawStatus>>>),
    /// All queues.
    Survey(oneshot::Sender<Survey>),
    /// Begin a replay (whose document is durable already).
    Replay(Arc<ReplayJob>, Option<Arc<BTreeSet<u64>>>, oneshot::Sender<bool>),
    /// Progress of the replays under way of a hook.
    Replays(HookId, oneshot::Sender<Vec<ReplayStatus>>),
    /// Whether a hook may have one more replay; if not, how many it has.
    OneMoreReplay(HookId, oneshot::Sender<Result<(), usize>>),
    /// A replay is held back or goes on; its document says so already.
    Hold(Arc<ReplayJob>, oneshot::Sender<Option<ReplayStatus>>),
    /// End a replay; the job says how it ended.
    Cancel(HookId, Id, oneshot::Sender<Option<(ReplayStatus, Arc<ReplayJob>)>>),
    /// Route no event that comes after this; answers the first one that waits.
    HoldEvents(oneshot::Sender<u64>),
    /// What holds beside a KAZOO from now on.
    Stance(Stance, oneshot::Sender<()>),
    /// Makes a disabled hook's probe now; whether it has one.
    Probe(HookId, oneshot::Sender<bool>),
    /// Give partitions up; answered when a checkpoint of them is on disk and nothing of them is left.
    Lose(Partitions, oneshot::Sender<()>),
    /// Take partitions that nobody owns, as the ledger has them.
    Gain(Partitions, Box<Recovered>, oneshot::Sender<()>),
    /// Forget the recent failures of hooks; how many had some.
    ResetFailures(Vec<HookId>, oneshot::Sender<usize>),
    /// Other limits and policies; they hold when this is answered.
    Reload(Box<Options>, oneshot::Sender<()>),
}

/// A status whose oldest event's time is still to be read from the log.
#[derive(Debug, Clone)]
pub struct RawStatus {
    /// Everything but `oldest_waiting_age_ms`.
    pub status: QueueStatus,
    /// The oldest unsettled delivery in the window.
    pub oldest: Option<u64>,
}

impl Engine {
    /// Answers a command. A caller that has gone away gets nothing.
    pub(super) fn command(&mut self, command: Command) {
        let _gone = match command {
            Command::Status(hook, answer) => answer.send(self.status(hook)).is_err(),
            Command::Statuses(hooks, answer) => {
                let statuses = hooks.into_iter().map(|hook| self.status(hook)).collect();
                answer.send(statuses).is_err()
            }
            Command::Survey(answer) => answer.send(self.survey()).is_err(),
            Command::Replay(job, failed, answer) => {
                let at = self.owner.get(&QueueKey::Hook(job.hook)).copied();
                // One that is here already goes on as it is.
                if let Some(at) = at.filter(|_| !self.owner.contains_key(&QueueKey::Replay(job.id))) {
                    self.add_replay(at, ReplayRun::new(job.clone(), failed));
                    self.end_replay_if_done(at, QueueKey::Replay(job.id));
                }
                answer.send(at.is_some()).is_err()
            }
            Command::Replays(hook, answer) => answer.send(self.replays(hook)).is_err(),
            Command::OneMoreReplay(hook, answer) => answer.send(self.one_more_replay(hook)).is_err(),
            Command::Hold(job, answer) => answer.send(self.hold(&job)).is_err(),
            Command::Cancel(hook, id, answer) => answer.send(self.cancel(hook, id)).is_err(),
            Command::HoldEvents(answer) => answer.send(self.hold_events()).is_err(),
            Command::Stance(stance, answer) => {
                self.stance = stance;
                answer.send(()).is_err()
            }
            Command::Lose(partitions, answer) => {
                self.lose(partitions, answer);
                false
            }
            Command::Gain(partitions, recovered, answer) => {
                self.gain(partitions, *recovered);
                answer.send(()).is_err()
            }
            Command::Probe(hook, answer) => answer.send(self.probe_now(hook)).is_err(),
            Command::ResetFailures(hooks, answer) => answer.send(self.reset_failures(&hooks)).is_err(),
            Command::Reload(options, answer) => {
                self.reload(*options);
                answer.send(()).is_err()
            }
        };
    }

    /// A crash brings the failures back that are younger than the window: only the ledger has them.
    fn reset_failures(&mut self, hooks: &[HookId]) -> usize {
        let now = self.now_us();
        let mut count = 0;
        for hook in hooks {
            let at = self.owner.get(&QueueKey::Hook(*hook)).copied();
            let slot = at.and_then(|at| self.slots.get_mut(at)).and_then(Option::as_mut);
            if let Some(slot) = slot.filter(|slot| slot.health.recent(&slot.policy, now) > 0) {
                slot.health.reset();
                count += 1;
            }
        }
        count
    }

    fn probe_now(&mut self, hook: HookId) -> bool {
        let Some(at) = self.owner.get(&QueueKey::Hook(hook)).copied() else { return false };
        let now = self.now_us();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return false };
        if !slot.has_failed() || slot.hook.paused || !slot.account_enabled {
            return false;
        }
        slot.probe.due_us = Some(now);
        self.schedule(at);
        true
    }

    pub(super) fn status(&self, hook: HookId) -> Option<RawStatus> {
        let at = self.owner.get(&QueueKey::Hook(hook)).copied()?;
        let slot = self.slots.get(at)?.as_ref().filter(|s| !s.gone)?;
        let line = slot.lines.first()?;
        let waiting = line.waiting();
        let probe = slot.probe.due_us.filter(|_| slot.probes());
        let next_try_at_us = if slot.open() { line.queue.next_try() } else { probe };
        let state = match (slot.open(), &slot.hook.disable_reason) {
            (false, _) if !slot.account_enabled => QueueState::AccountDisabled,
            (false, _) if slot.hook.enabled => QueueState::Paused,
            (false, Some(_)) => QueueState::AutoDisabled,
            (false, None) => QueueState::Disabled,
            (true, _) if waiting == 0 => QueueState::Idle,
            (true, _) if slot.claim.held() == 0 && next_try_at_us.is_some() => QueueState::Retrying,
            (true, _) => QueueState::Active,
        };
        let cursor = if line.live {
            line.queue.cursor().max(self.live_cursor(hook, line))
        } else {
            line.queue.cursor()
        };
        // Unsettled deliveries whose events retention has dropped, before anybody has tried to read them.
        let first = self.events.first();
        let lowest = line.queue.oldest().map_or(line.queue.next(), |(offset, _)| offset);
        let dropped = (waiting > 0 && lowest < first).then_some((lowest, first));
        let gap = dropped.or(line.gap);
        let is_counted =
            self.routed_to(hook) >= self.events.end() && line.uncounted_until <= line.queue.next();
        let status = QueueStatus {
            state,
            paused: slot.hook.paused,
            cursor,
            log_end: self.events.end(),
            waiting,
            waiting_exact: is_counted && dropped.is_none(),
            in_flight: slot.claim.held(),
            dead: line.totals.dead,
            recent_failures: slot.health.recent(&slot.policy, self.now_us()),
            oldest_waiting_age_ms: None,
            next_try_at_us,
            disable_reason: slot.hook.disable_reason.clone(),
            gap: gap.map(|(from, until)| Gap { from, until }),
        };
        let oldest = line.queue.oldest().map(|(offset, _)| offset);
        let oldest = oldest.or_else(|| (waiting > 0).then(|| line.queue.next()));
        Some(RawStatus { status, oldest })
    }

    fn live_cursor(&self, hook: HookId, line: &super::slot::Line) -> u64 {
        if line.queue.is_empty() && !line.queue.has_spilled() { self.routed_to(hook) } else { 0 }
    }

    pub(super) fn replays(&self, hook: HookId) -> Vec<ReplayStatus> {
        let slot =
            self.owner.get(&QueueKey::Hook(hook)).and_then(|at| self.slots.get(*at)).and_then(Option::as_ref);
        let lines = slot.into_iter().flat_map(|s| s.lines.iter());
        lines.filter_map(|l| Some(progress(l, &l.replay.as_ref()?.job))).collect()
    }

    fn one_more_replay(&self, hook: HookId) -> Result<(), usize> {
        let running = self.replays(hook).len();
        if running < self.options.max_replays { Ok(()) } else { Err(running) }
    }

    fn cancel(&mut self, hook: HookId, id: Id) -> Option<(ReplayStatus, Arc<ReplayJob>)> {
        let at = self.owner.get(&QueueKey::Hook(hook)).copied()?;
        self.end_replay(at, QueueKey::Replay(id), ReplayState::Cancelled)
    }

    fn hold(&mut self, job: &Arc<ReplayJob>) -> Option<ReplayStatus> {
        let (slot, index) = self.line_of(QueueKey::Replay(job.id))?;
        let line = slot.lines.get_mut(index)?;
        let run = line.replay.as_mut().filter(|run| !run.job.has_ended())?;
        run.job = job.clone();
        let status = progress(line, job);
        let at = self.owner.get(&QueueKey::Replay(job.id)).copied()?;
        self.list(at);
        self.schedule(at);
        Some(status)
    }

    /// Ends a replay whose range is settled.
    pub(super) fn end_replay_if_done(&mut self, at: usize, id: QueueKey) {
        let slot = self.slots.get(at).and_then(Option::as_ref);
        let Some(line) = slot.and_then(|s| s.lines.iter().find(|l| l.key == id)) else { return };
        let Some(run) = &line.replay else { return };
        let settled = line.queue.next() >= run.job.until
            && line.queue.is_empty()
            && !line.queue.has_spilled()
            && !line.reading;
        if run.job.has_ended() {
            if line.queue.in_flight() == 0 {
                self.drop_line(at, id);
            }
        } else if settled {
            self.end_replay(at, id, ReplayState::Done);
        }
    }

    fn end_replay(
        &mut self,
        at: usize,
        id: QueueKey,
        how: ReplayState,
    ) -> Option<(ReplayStatus, Arc<ReplayJob>)> {
        let now = self.clock.now_us();
        let slot = self.slots.get_mut(at).and_then(Option::as_mut)?;
        let line = slot.lines.iter_mut().find(|l| l.key == id)?;
        let job = line.replay.as_ref().filter(|run| !run.job.has_ended())?.job.clone();
        let shown = progress(line, &job);
        let job = Arc::new(job.ended(how, now, [shown.matched, shown.delivered, shown.dead]));
        let in_flight = line.queue.in_flight();
        if let Some(run) = &mut line.replay {
            // Attempts under way come home first; nothing new is started.
            run.job = job.clone();
        }
        if in_flight == 0 {
            self.drop_line(at, id);
        }
        self.pending_actions.push_back(super::keeper::Action::ReplayEnded(job.clone()));
        Some((job.status(shown.next_offset, job.totals), job))
    }

    fn drop_line(&mut self, at: usize, id: QueueKey) {
        if let Some(slot) = self.slots.get(at).and_then(Option::as_ref)
            && let Some((place, line)) = slot.lines.iter().enumerate().find(|(_, line)| line.key == id)
        {
            let image = self.image(slot, place, line);
            self.ended_replays.push(image);
        }
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            slot.lines.retain(|line| line.key != id);
            slot.turn = 0;
        }
        self.owner.remove(&id);
    }

    /// Ends the replays of a hook that goes.
    pub(super) fn end_replays(&mut self, at: usize) {
        let slot = self.slots.get(at).and_then(Option::as_ref);
        let replays: Vec<QueueKey> = slot
            .into_iter()
            .flat_map(|s| s.lines.iter())
            .filter(|l| l.replay.is_some())
            .map(|l| l.key)
            .collect();
        for replay in replays {
            self.end_replay(at, replay, ReplayState::Cancelled);
        }
    }
}

fn progress(line: &super::slot::Line, job: &ReplayJob) -> ReplayStatus {
    let Totals { delivered, dead, .. } = line.totals;
    let matched = line.totals.sum() + line.queue.len() as u64;
    job.status(line.queue.cursor().min(job.until), [matched, delivered, dead])
}
