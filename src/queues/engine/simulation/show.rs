//! What a failed simulation shows: the state of every queue.

use super::super::line::Line;
use super::super::slot::Slot;
use super::super::slots::SlotId;
use super::world::World;
use crate::queues::EntryState;

impl World {
    /// Where every queue stands, to be shown.
    pub(super) fn standing(&self) -> String {
        let slots = self.life.engines().flat_map(|engine| engine.slots.iter());
        let lines = slots.flat_map(|(at, slot)| slot.lines().map(move |line| (at, slot, line)));
        let line = |(at, slot, line): (SlotId, &Slot, &Line)| {
            let queue = line.queue();
            let entries: Vec<_> =
                queue.entries().map(|(o, e)| format!("{o}:{}{}", e.tries, state(e.state))).collect();
            let spilled: Vec<_> = queue.spilled_lanes().map(|(_, from)| from).collect();
            format!(
                "\n              {at:?} {} open {} live {} reading {} next {} entries {} spilled {spilled:?} settled {:?} past {:?}",
                line.key().id(),
                slot.is_open(),
                line.is_live(),
                line.is_reading(),
                queue.next(),
                entries.join(" "),
                queue.settled().collect::<Vec<_>>(),
                queue.past().map(|(offset, _)| offset).collect::<Vec<_>>(),
            )
        };
        let unclaimed: Vec<_> = self
            .life
            .engines()
            .flat_map(|engine| engine.desk.unclaimed.queues())
            .map(|queue| {
                format!(
                    "\n              unclaimed {} placed {} next {} entries {:?} settled {:?}",
                    queue.image.queue,
                    queue.placed,
                    queue.image.next,
                    queue.image.entries.iter().map(|e| e.0).collect::<Vec<_>>(),
                    queue.image.settled
                )
            })
            .collect();
        lines.map(line).chain(unclaimed).collect()
    }
}

fn state(state: EntryState) -> &'static str {
    match state {
        EntryState::Waiting => "w",
        EntryState::InFlight => "f",
        EntryState::Suspect { .. } => "s",
    }
}
