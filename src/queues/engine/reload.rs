//! Other limits and policies for queues at work: nothing under way is touched, and whoever may start more now does.
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
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut).filter(|slot| !slot.gone) else {
                continue;
            };
            slot.follow_probing(first_probe);
            self.permits.ask_again(at, &mut slot.claim);
            let account = slot.hook.account;
            self.follow_account(at, account);
            // A slot that stood at its own limit is on no list: only this brings it back.
            self.list(at);
            self.schedule(at);
        }
    }
}
