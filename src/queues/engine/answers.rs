//! The engine answers what it is asked: how queues stand, and orders that need no file of their own.

use super::Engine;
use super::command::{Command, RawStatus};
use super::shadow::Stance;
use super::slot::Slot;
use super::survey::{Survey, SurveyedHook};
use crate::model::{Gap, HookId, QueueKey, QueueState, QueueStatus};
use crate::queues::rules::replay::ReplayRun;

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
        for id in hooks.iter().filter_map(|hook| self.slots.owner(QueueKey::Hook(*hook))).collect::<Vec<_>>()
        {
            self.touch(id, |_, slot| {
                if slot.health.recent(&slot.policy, now) > 0 {
                    slot.health.reset();
                    count += 1;
                }
            });
        }
        count
    }

    fn probe_now(&mut self, hook: HookId) -> bool {
        let Some(id) = self.slots.owner(QueueKey::Hook(hook)) else { return false };
        let probed = self.touch(id, |engine, slot| {
            let is_probed = slot.has_failed() && !slot.hook.paused && slot.account_enabled;
            if is_probed {
                slot.probe.due_us = Some(engine.now_us());
            }
            is_probed
        });
        probed.unwrap_or(false)
    }

    pub(super) fn status(&self, hook: HookId) -> Option<RawStatus> {
        let slot = self.slots.of(QueueKey::Hook(hook)).filter(|slot| !slot.gone)?;
        Some(self.status_of(slot))
    }

    /// How the queue of a hook stands.
    fn status_of(&self, slot: &Slot) -> RawStatus {
        let line = &slot.live_line;
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
        let routed = self.routed_to(slot.hook.id);
        let seen_all = line.live && line.queue.is_empty() && !line.queue.has_spilled();
        let cursor = line.queue.cursor().max(if seen_all { routed } else { 0 });
        // Unsettled deliveries whose events retention has dropped, before anybody has tried to read them.
        let first = self.events.first();
        let lowest = line.queue.oldest().map_or(line.queue.next(), |(offset, _)| offset);
        let dropped = (waiting > 0 && lowest < first).then_some((lowest, first));
        let gap = dropped.or(line.gap);
        let is_counted = routed >= self.events.end() && line.uncounted_until <= line.queue.next();
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
        RawStatus { status, oldest }
    }

    fn survey(&self) -> Survey {
        let mut survey = Survey {
            in_flight: self.permits.in_flight(),
            routed: self.routed,
            hooks: Vec::with_capacity(self.slots.queues()),
            ..Survey::default()
        };
        for (_, slot) in self.slots.iter().filter(|(_, slot)| !slot.gone) {
            if slot.hook.one_shot {
                survey.one_shots_waiting += slot.live_line.waiting();
                continue;
            }
            let RawStatus { status, oldest } = self.status_of(slot);
            survey.hooks.push(SurveyedHook { hook: slot.hook.clone(), status, oldest });
            let running = slot.replay_statuses().into_iter();
            survey.replays.extend(running.map(|replay| (slot.hook.account, replay)));
        }
        survey
    }

    /// The same with what holds at the start.
    #[must_use]
    pub fn with_stance(mut self, stance: Stance) -> Self {
        self.stance = stance;
        self
    }

    /// Routes nothing that comes after this until the next stance; the log's end as of now.
    pub(super) fn hold_events(&mut self) -> u64 {
        let end = self.events.end();
        self.stance.hold_from = Some(self.stance.end(end));
        end
    }
}
