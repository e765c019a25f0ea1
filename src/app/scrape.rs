//! The page of metrics, gathered from the counters of each step. `docs/reference/metrics.md` lists the names; a test
//! compares the two.
//!
//! Label values come from short fixed lists, with one exception: the hooks and replays that fail or lag most have
//! their own series, at most `metrics.hook_series`.

use super::operator::Operator;
use crate::amqp::BrokerStatus;
use crate::http::{BrokerSeen, Visitor};
use crate::metrics::{Family, Page, labels};
use crate::model::{Mode, QueueState};
use crate::onboarding::sync::{Doing, SyncWatch};
use crate::queues::Survey;

pub(super) fn page(from: &Operator, survey: Option<Survey>, to: Visitor) -> Page {
    let mut page = Page::new();
    program(&mut page, from);
    ingest(&mut page, from);
    alarm(&mut page, from);
    logs(&mut page, from);
    unknown(&mut page, from);
    sync(&mut page, from);
    deliveries(&mut page, from);
    if let Some(survey) = survey {
        queues(&mut page, from, &survey);
        if to == Visitor::Known {
            hooks(&mut page, survey, from.hook_series);
        }
    }
    page
}

fn program(page: &mut Page, from: &Operator) {
    let version = env!("CARGO_PKG_VERSION");
    page.add(Family::gauge("build_info", "Always 1").with(&[("version", &version)], 1));
    let started = Family::gauge("start_time_seconds", "When the program was started, seconds since 1970");
    page.add(started.with(&[], from.started_us / 1_000_000));
    let ownership = from.modes.duty().now();
    let mut mode = Family::gauge("mode", "1 for the present mode of deliveries (kazoo.mode)");
    for each in Mode::ALL {
        mode.put(&[("mode", &each)], u64::from(each == ownership.mode()));
    }
    page.add(mode);
    let end = from.logs.iter().find(|(name, _)| *name == "events").map_or(0, |(_, log)| log.end());
    let held = ownership.waits_from().map_or(0, |waits_from| end.saturating_sub(waits_from.0));
    page.add(Family::gauge("held_events", "Events that wait in a handover").with(&[], held));
    let lost = Family::counter("log_lines_lost", "Log lines dropped because nobody read them in time");
    page.add(lost.with(&[], from.lost_lines.count()));
    let sessions = Family::gauge("websocket_sessions", "Websocket sessions");
    page.add(sessions.with(&[], from.sessions.count() as u64));
}

/// Whether the broker blocks publishers, which stops the whole telephony platform.
fn alarm(page: &mut Page, from: &Operator) {
    let mut blocked = Family::gauge(
        "broker_blocked",
        "Whether the broker blocks publishers: it is short of memory or disk",
    );
    for watched in &from.brokers {
        if let BrokerStatus::Connected { queue, .. } = &*watched.publishing.borrow() {
            let labels: [(&str, &dyn std::fmt::Display); 2] =
                [("zone", &watched.zone), ("broker", &watched.host)];
            blocked.put(if is_only(from) { &labels[..0] } else { &labels[..] }, u64::from(queue.blocked));
        }
    }
    page.add(blocked);
}

/// Whether there is one broker in a zone without a name. Then its series need no labels.
fn is_only(from: &Operator) -> bool {
    matches!(from.brokers.as_slice(), [only] if only.zone.is_empty())
}

fn sync(page: &mut Page, from: &Operator) {
    let Some(status) = from.synced.as_ref().map(SyncWatch::now) else { return };
    let current =
        Family::gauge("kazoo_sync_current", "Whether the last attempt to follow the KAZOO succeeded");
    page.add(current.with(&[], u64::from(status.state == Doing::Current)));
    let last = Family::gauge(
        "kazoo_sync_last_full_reading_seconds",
        "When all of it was read last, since 1970; 0: never",
    );
    page.add(last.with(&[], status.last_full_reading_s.unwrap_or(0)));
    let pending = Family::gauge("kazoo_sync_pending", "Accounts and hooks that are to be read again");
    page.add(pending.with(&[], status.pending as u64));
    let mut changes =
        Family::counter("kazoo_sync_changes", "Accounts and hooks that were changed or deleted");
    changes.put(&[("change", &"written")], status.changes);
    changes.put(&[("change", &"deleted")], status.deleted);
    page.add(changes);
    let failures = Family::counter("kazoo_sync_failures", "Attempts to read the KAZOO that failed");
    page.add(failures.with(&[], status.failures));
}

fn ingest(page: &mut Page, from: &Operator) {
    let mut events = Family::counter("ingest_events", "Events that came in");
    for (source, result, count) in from.ingest.counts().all() {
        events.put(&[("source", &source), ("result", &result)], count);
    }
    page.add(events);
    if from.brokers.is_empty() {
        return;
    }
    let mut connected = Family::gauge("broker_connected", "Whether events are consumed from the broker");
    let mut waiting = Family::gauge("broker_queue_messages", "Messages in our queue at the last check");
    let mut age = Family::gauge("broker_event_age_seconds", "Age of the latest event when it arrived");
    let mut missing =
        Family::gauge("broker_bindings_missing", "Whether exchanges or bindings cannot be declared");
    for watched in &from.brokers {
        let BrokerSeen { zone, broker, status } = watched.seen();
        let labels: [(&str, &dyn std::fmt::Display); 2] = [("zone", &zone), ("broker", &broker)];
        let labels = if is_only(from) { &labels[..0] } else { &labels[..] };
        connected.put(labels, u64::from(matches!(status, BrokerStatus::Connected { .. })));
        if let BrokerStatus::Connected { queue, .. } = status
            && let Some(messages) = queue.waiting
        {
            waiting.put(labels, messages);
            age.put(labels, queue.event_age_ms.unwrap_or(0) / 1000);
            missing.put(labels, u64::from(queue.fault.is_some()));
        }
    }
    page.extend([connected, waiting, age, missing]);
}

fn logs(page: &mut Page, from: &Operator) {
    let mut first = Family::gauge("log_first_offset", "Oldest record kept");
    let mut end = Family::gauge("log_end_offset", "Offset that the next record gets");
    let mut bytes = Family::gauge("log_bytes", "Bytes of all segments");
    let mut segments = Family::gauge("log_segments", "Segments");
    let mut damage = Family::gauge("log_damaged_places", "Places of damage found since the start");
    let mut refuses = Family::gauge("log_refuses", "Whether appends are refused: no room, or a failed write");
    let mut syncs = Family::histogram("log_sync_seconds", "How long syncs of a log took");
    for (name, log) in &from.logs {
        let (stats, label) = (log.stats(), [("log", name as &dyn std::fmt::Display)]);
        first.put(&label, stats.first);
        end.put(&label, stats.end);
        bytes.put(&label, stats.bytes);
        segments.put(&label, stats.segments as u64);
        damage.put(&label, stats.health.damage.len() as u64);
        refuses.put(&label, u64::from(stats.health.full || stats.health.poisoned.is_some()));
        syncs.put(&label, log.syncs());
    }
    page.extend([first, end, bytes, segments, damage, refuses, syncs]);
    if let Some(free) = from.free_bytes() {
        page.add(Family::gauge("disk_free_bytes", "Free bytes where the logs lie").with(&[], free));
    }
}

fn unknown(page: &mut Page, from: &Operator) {
    let counts = from.queues.unknown_counts();
    let waiting = Family::gauge("unknown_account_waiting_events", "Events that wait for their account");
    page.add(waiting.with(&[], counts.waiting));
    let bytes =
        Family::gauge("unknown_account_waiting_bytes", "Bytes of the events that wait for their account");
    page.add(bytes.with(&[], counts.bytes));
    let mut events =
        Family::counter("unknown_account_events", "Events that waited for their account, by result");
    let results = [
        ("routed", counts.routed),
        ("expired", counts.expired),
        ("no_room", counts.no_room),
        ("gone", counts.gone),
    ];
    for (result, count) in results {
        events.put(&[("result", &result)], count);
    }
    page.add(events);
}

fn deliveries(page: &mut Page, from: &Operator) {
    let tally = from.queues.tally();
    let mut deliveries = Family::counter("deliveries", "Deliveries that ended");
    tally.deliveries().for_each(|(outcome, count)| deliveries.put(&[("outcome", &outcome)], count));
    let mut attempts =
        Family::counter("attempts", "Attempts, by the class of the response or the reason why there is none");
    tally.attempts().for_each(|(result, count)| attempts.put(&[("result", &result)], count));
    let retries = Family::counter("retries", "Failed attempts after which another one was due");
    let durations = Family::histogram("attempt_duration_seconds", "How long attempts took");
    page.add(deliveries);
    page.add(attempts);
    page.add(retries.with(&[], tally.retries()));
    page.add(durations.with(&[], tally.durations()));
    let defects = Family::counter("queue_defects", "Defects of the program that the queues have met");
    page.add(defects.with(&[], tally.defects()));
}

fn queues(page: &mut Page, from: &Operator, survey: &Survey) {
    let mut hooks = Family::gauge("hooks", "Hooks by the state of their queue");
    for state in QueueState::ALL {
        hooks.put(&[("state", &state.id())], survey.in_state(state));
    }
    page.add(hooks);
    let events = from.logs.iter().find(|(name, _)| *name == "events").map_or(0, |(_, log)| log.end());
    let unrouted = events.saturating_sub(survey.routed.0);
    page.add(
        Family::gauge("unrouted_events", "Events that the queues have not routed yet").with(&[], unrouted),
    );
    let in_flight = Family::gauge("attempts_in_flight", "Attempts under way");
    page.add(in_flight.with(&[], survey.in_flight as u64));
    let waiting = Family::gauge("waiting_deliveries", "Unsettled deliveries of all hooks");
    page.add(waiting.with(&[], survey.waiting()));
    let oldest =
        Family::gauge("oldest_waiting_seconds", "Age of the oldest unsettled delivery; 0 without one");
    page.add(oldest.with(&[], seconds(survey.oldest_age_ms().unwrap_or(0))));
    let running = Family::gauge("replays_running", "Replays under way");
    page.add(running.with(&[], survey.replays.len() as u64));
}

fn hooks(page: &mut Page, mut survey: Survey, most: usize) {
    let mut waiting = Family::gauge("hook_waiting_deliveries", "Unsettled deliveries of a hook");
    let mut oldest =
        Family::gauge("hook_oldest_waiting_seconds", "Age of the hook's oldest unsettled delivery");
    survey.hooks.sort_unstable_by_key(|hook| {
        (std::cmp::Reverse((hook.is_failing(), hook.status.waiting)), hook.hook.id)
    });
    for hook in survey.hooks.iter().take(most) {
        let labels = labels(&[("account_id", &hook.hook.account), ("hook_id", &hook.hook.id)]);
        waiting.put_shared(&labels, hook.status.waiting);
        oldest.put_shared(&labels, seconds(hook.status.oldest_waiting_age_ms.unwrap_or(0)));
    }
    let mut left =
        Family::gauge("replay_remaining_events", "Offsets of a replay's range that are not settled");
    let mut delivered = Family::gauge("replay_delivered", "Deliveries that a replay has made");
    for (account, replay) in survey.replays.iter().take(most) {
        let labels =
            labels(&[("account_id", account), ("hook_id", &replay.hook_id), ("replay_id", &replay.id)]);
        left.put_shared(&labels, replay.until_offset.since(replay.next_offset));
        delivered.put_shared(&labels, replay.delivered);
    }
    page.extend([waiting, oldest, left, delivered]);
}

#[expect(clippy::cast_precision_loss, reason = "an age in milliseconds is exact for 285,000 years")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}
