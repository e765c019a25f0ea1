//! Other limits and policies for queues at work: nothing under way is touched, and hooks that may start more attempts now do so.
//!
//! A retry or a probe that has its time keeps it.

use super::Engine;
use super::options::Options;

impl Engine {
    /// Takes them. What queues are made with has to be as before.
    pub(super) fn reload(&mut self, options: Options) {
        self.permits.limit_to(options.max_in_flight, options.per_host_in_flight);
        self.options = options;
        let first_probe = self.first_probe_us();
        for id in self.slots.which(|slot| !slot.gone) {
            self.touch(id, |engine, slot| {
                slot.follow_probing(first_probe);
                engine.permits.ask_again(id.number(), &mut slot.claim);
                engine.follow_account(slot);
            });
        }
    }
}
