//! Answers to commands: how queues stand, and small orders.

use super::Engine;
use super::command::{Command, RawStatus};
use super::shadow::Stance;
use super::slot::Slot;
use super::survey::{Survey, SurveyedHook};
use crate::model::{EventOffset, Gap, HookId, Moment, QueueKey, QueueStatus, WaitingPart, WaitingQuery};
use crate::queues::rules::replay::ReplayRun;

impl Engine {
    /// Carries a command out and answers it. A caller that has gone gets no answer.
    pub(super) fn command(&mut self, command: Command) {
        // A caller who was answered a change of a hook and then asks for a replay means the changed hook. With its former
        // settings the replay could end without the events that the caller wants. `gain` relies on this, too.
        self.take_changes();
        let _gone = match command {
            Command::Status(hook, answer) => answer.send(self.status(hook)).is_err(),
            Command::Statuses(hooks, answer) => {
                let statuses = hooks.into_iter().map(|hook| self.status(hook)).collect();
                answer.send(statuses).is_err()
            }
            Command::Waiting(query, answer) => answer.send(self.waiting(&query)).is_err(),
            Command::Survey(answer) => answer.send(self.survey()).is_err(),
            Command::Replay(job, failed, answer) => {
                let begun = self.begin_replay(job.hook, ReplayRun::new(job, failed));
                answer.send(begun).is_err()
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
            Command::DeadOfReplays(hooks, answer) => {
                for hook in &hooks {
                    self.had_dead_of_replays(*hook);
                }
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

    /// Forgets the recent failures of hooks; returns how many hooks had some. A restart brings back the failures that are
    /// younger than the window, because they are in the ledger.
    fn reset_failures(&mut self, hooks: &[HookId]) -> usize {
        let now = self.desk.time.now();
        let keys = hooks.iter().map(|hook| QueueKey::Hook(*hook));
        let ids: Vec<_> = keys.filter_map(|key| self.slots.owner(key)).collect();
        let mut reset =
            |id| self.slots.touch(&mut self.desk, id, |_, slot| slot.reset_failures(now)) == Some(true);
        ids.into_iter().filter(|id| reset(*id)).count()
    }

    /// An ended replay of the hook has left dead deliveries. Another shard may have the hook.
    fn had_dead_of_replays(&mut self, hook: HookId) {
        if let Some(id) = self.slots.owner(QueueKey::Hook(hook)) {
            self.slots.touch(&mut self.desk, id, |_, slot| slot.note_dead_of_replays());
        }
    }

    /// Makes the probe of a disabled hook due now. False: it has none.
    fn probe_now(&mut self, hook: HookId) -> bool {
        let Some(id) = self.slots.owner(QueueKey::Hook(hook)) else { return false };
        let now = self.desk.time.now();
        self.slots.touch(&mut self.desk, id, |_, slot| slot.probe_now(now)) == Some(true)
    }

    /// What a hook still has to get, from an offset on. `None`: it has no queue.
    fn waiting(&self, query: &WaitingQuery) -> Option<WaitingPart> {
        let slot = self.slots.of(QueueKey::Hook(query.hook)).filter(|slot| !slot.is_gone())?;
        let mut part = slot.live_line().queue().waiting(query.start, query.limit);
        if let Some(routed) = self.seen_all_until(slot) {
            // The queue itself knows only the last event that it took, and that may be long ago.
            part.rest = part.rest.max(routed);
        }
        Some(part)
    }

    /// The end of what has been routed, if the queue has looked at all of it and nothing is unsettled.
    fn seen_all_until(&self, slot: &Slot) -> Option<EventOffset> {
        let (line, queue) = (slot.live_line(), slot.live_line().queue());
        let has_seen_all = line.is_live() && queue.is_empty() && !queue.has_spilled();
        has_seen_all.then(|| self.desk.owned.routed_to(slot.partition()))
    }

    /// How the queue of a hook stands. `None`: it has none.
    pub(super) fn status(&self, hook: HookId) -> Option<RawStatus> {
        let slot = self.slots.of(QueueKey::Hook(hook)).filter(|slot| !slot.is_gone())?;
        Some(self.status_of(slot))
    }

    fn status_of(&self, slot: &Slot) -> RawStatus {
        let (line, queue) = (slot.live_line(), slot.live_line().queue());
        let (waiting, routed) = (line.waiting(), self.desk.owned.routed_to(slot.partition()));
        let oldest = queue.oldest().map(|(offset, _)| offset);
        // Retention may have dropped events of unsettled deliveries, and no read has found that out yet.
        let (first, end) = (self.desk.events.first(), self.desk.events.end());
        let lowest = oldest.unwrap_or(queue.next());
        let dropped = (waiting > 0 && lowest < first).then_some(Gap { from: lowest, until: first });
        // Events between the queue's position and `uncounted_until` are counted when they are read.
        // Events that are not routed yet are not counted either, so the number is exact only at the end of the
        // log.
        let is_counted = routed >= end && line.uncounted_until() <= queue.next();
        let status = QueueStatus {
            state: slot.state(),
            paused: slot.hook().paused,
            // With nothing unsettled, the cursor follows the router even when no event was for this hook.
            cursor: queue.cursor().max(self.seen_all_until(slot).unwrap_or_default()),
            log_end: end,
            waiting,
            waiting_exact: is_counted && dropped.is_none(),
            in_flight: slot.claim().held(),
            dead: line.totals().dead,
            had_dead: line.totals().dead > 0 || slot.has_dead_of_replays(),
            recent_failures: slot.recent_failures(self.desk.time.now()),
            oldest_waiting_age_ms: None,
            next_try_at_us: slot.next_try().map(Moment::micros),
            disable_reason: slot.hook().disable_reason.clone(),
            gap: dropped.or(line.gap()),
        };
        RawStatus { status, oldest: oldest.or_else(|| (waiting > 0).then(|| queue.next())) }
    }

    fn survey(&self) -> Survey {
        let mut survey = Survey {
            in_flight: self.desk.permits.in_flight(),
            routed: self.desk.owned.routed(),
            hooks: Vec::with_capacity(self.slots.queues()),
            ..Survey::default()
        };
        for (_, slot) in self.slots.iter().filter(|(_, slot)| !slot.is_gone()) {
            if slot.hook().one_shot {
                survey.one_shots_waiting += slot.live_line().waiting();
                continue;
            }
            let RawStatus { status, oldest } = self.status_of(slot);
            survey.hooks.push(SurveyedHook { hook: slot.hook().clone(), status, oldest });
            let running = slot.replay_statuses().into_iter();
            survey.replays.extend(running.map(|replay| (slot.hook().account, replay)));
        }
        survey
    }

    /// The engine with the stance that holds at the start.
    #[must_use]
    pub fn with_stance(mut self, stance: Stance) -> Self {
        self.stance = stance;
        self
    }

    /// Routes no event that comes after this until the next stance. Returns the log's end of this moment.
    fn hold_events(&mut self) -> EventOffset {
        let end = self.desk.events.end();
        self.stance.hold_from = Some(self.stance.end(end));
        end
    }
}
