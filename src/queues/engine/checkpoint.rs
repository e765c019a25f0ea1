//! Checkpoints: where every queue stands, for the ledger. A queue that has looked at everything which was routed, and has
//! nothing unsettled, is not named.

use super::desk::Desk;
use super::slots::Slots;
use super::unknown::Unknown;
use crate::queues::ledger::record::{HeldEvent, QueueImage};
use crate::queues::ledger::writer::Checkpoint;
use crate::queues::rules::partitions::Partitions;

/// Writes checkpoints of some partitions into the ledger: one for all partitions to which events have been routed equally far.
pub(super) fn write(partitions: Partitions, slots: &Slots, unknown: &Unknown, desk: &mut Desk) {
    desk.unclaimed.forget_ended(&*desk.directory);
    let time_us = desk.time.wall();
    // Made once for all checkpoints below: each takes out the images of its own partitions.
    let (held, mut images) = (unknown.image(), images(slots, desk));
    // A checkpoint states one position of the router. Partitions that were gained later may be behind the others
    // for a while, so they need a separate checkpoint.
    for (router, of_router) in desk.owned.by_routed() {
        let covers = of_router.within(partitions);
        if covers.is_empty() {
            continue;
        }
        let is_covered = |image: &QueueImage| image.partition.is_some_and(|of| covers.contains(of));
        let images = images.extract_if(.., |image| is_covered(image)).collect();
        let held = held.iter().filter_map(|event| {
            let awaited_by = event.awaited_by.within(covers);
            (!awaited_by.is_empty()).then_some(HeldEvent { awaited_by, ..*event })
        });
        desk.ledger.checkpoint(Checkpoint { covers, router, held: held.collect(), images }, time_us);
    }
}

/// One image for each queue that a restart could not restore without it. Deleted hooks are forgotten.
fn images(slots: &Slots, desk: &Desk) -> Vec<QueueImage> {
    let slots = slots.iter().map(|(_, slot)| slot).filter(|slot| !slot.is_gone());
    let of_slots = slots.flat_map(|slot| slot.images(desk.owned.routed_to(slot.partition())));
    of_slots.chain(desk.unclaimed.images(&*desk.directory)).collect()
}
