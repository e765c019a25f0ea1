//! Finds out from the limits alone what a slot could start. The engine finds the same through sets of waiting slots, so this
//! finds a slot that is missing in them.

use super::super::Engine;
use super::super::slot::Slot;
use crate::model::{EventOffset, QueueKey};
use crate::queues::rules::pace::Pace;
use crate::queues::rules::replay::SHARE;

/// The delivery that a slot could start now. No set of waiting slots or lanes is used.
pub(super) fn would_start(engine: &Engine, slot: &Slot) -> Option<(QueueKey, EventOffset)> {
    let now = engine.desk.time.now();
    let own = slot.hook().max_in_flight.unwrap_or(engine.desk.options.per_hook_in_flight).max(1);
    let paced = |pace: &Pace| !{ *pace }.admits(now);
    let held_back = slot.is_held_back(now);
    if engine.desk.ledger.stalled()
        || !slot.is_open()
        || slot.claim().held() >= own
        || paced(&slot.pace())
        || held_back
    {
        return None;
    }
    let admitted = engine.desk.permits.admit(slot.claim(), slot.hook().one_shot, now).is_ok();
    let replaying: u32 = slot.replays().iter().map(|line| line.queue().in_flight()).sum();
    let eligible = slot.lines().filter(|line| {
        line.replay()
            .is_none_or(|replay| replay.runs() && replaying < (own / SHARE).max(1) && !paced(&replay.pace))
    });
    let waiting =
        eligible.filter_map(|line| line.queue().startable(now).min().map(|offset| (line.key(), offset)));
    waiting.filter(|_| admitted).min_by_key(|(_, offset)| *offset)
}
