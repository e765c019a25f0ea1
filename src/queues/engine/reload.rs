//! A reload of the configuration: other limits and policies. Nothing that is under way is touched, hooks that may start more
//! attempts now do so, and a retry or a probe that has its time keeps it.

use super::Engine;
use super::options::QueueOptions;

impl Engine {
    /// Takes new options. What queues are made with (windows, memory, grace) must be as before.
    pub(super) fn reload(&mut self, options: QueueOptions) {
        self.desk.permits.limit_to(options.max_in_flight, options.per_host_in_flight);
        self.desk.options = options;
        let first_probe = self.desk.first_probe();
        for id in self.slots.which(|slot| !slot.is_gone()) {
            self.slots.touch(&mut self.desk, id, |desk, slot| {
                slot.follow_probing(first_probe);
                desk.permits.ask_again(id, slot.claim_mut());
                desk.follow_account(slot);
            });
        }
    }
}
