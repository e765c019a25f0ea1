//! Whose turn it is, among the slots of all shards: a shard takes its own slots, and offers to the others what is free for
//! theirs.

use super::Permits;
use super::of_shard::Back;

impl Permits {
    /// The slot of a shard whose turn it is: first one that waited for a permit that is free for it now, last one that
    /// holds its share already. It has to be given to `turn_of` before anything else. Slots of other shards that come
    /// first are offered to these (`woken`).
    pub(in crate::queues) fn next(&mut self, shard: usize) -> Option<usize> {
        if let Some(Back { slot, .. }) = self.shards.get_mut(shard)?.offered.pop_front() {
            self.promised = self.promised.saturating_sub(1);
            return Some(slot);
        }
        // What waited for a host's permit goes before the slot that gave it back.
        let first =
            self.first_of(shard, Self::back).or_else(|| self.shards.get_mut(shard)?.ready.pop_front());
        first.or_else(|| self.first_of(shard, Self::back_over_share))
    }

    /// Goes through the slots that come back until one is of this shard.
    fn first_of(&mut self, shard: usize, come_back: impl Fn(&mut Self) -> Option<Back>) -> Option<usize> {
        while let Some(back) = come_back(self) {
            if back.slot % self.shards.len() == shard {
                return Some(back.slot);
            }
            self.offer(back);
        }
        None
    }

    fn back(&mut self) -> Option<Back> {
        let free = self.unpromised();
        let waited = self.tenants.unpark(free).or_else(|| self.accounts.unpark(free));
        let waited = waited.map(|slot| Back { slot, host: None });
        waited.or_else(|| self.hosts.unpark().map(|(slot, host)| Back { slot, host: Some(host) }))
    }

    fn back_over_share(&mut self) -> Option<Back> {
        let slot = self.over_share.pop(self.unpromised(), &self.accounts)?;
        Some(Back { slot, host: None })
    }

    /// Another shard's slot may have a permit. Its host is looked at again after its turn, as after every turn (`pass_on`).
    fn offer(&mut self, back: Back) {
        if let Some(host) = back.host {
            self.hosts.look_later(host);
        }
        self.promised += 1;
        let shard = back.slot % self.shards.len();
        if let Some(of) = self.shards.get_mut(shard) {
            of.offered.push_back(back);
        }
        if !self.woken.contains(&shard) {
            self.woken.push(shard);
        }
    }

    /// The shards to be woken, because something was offered to them.
    pub(in crate::queues) fn woken(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.woken)
    }

    /// Whether a shard has been offered something that it has not taken yet.
    #[cfg(test)]
    pub(in crate::queues) fn has_offers(&self, shard: usize) -> bool {
        self.shards.get(shard).is_some_and(|of| !of.offered.is_empty())
    }

    /// A shard starts nothing at present: what was offered to it is free for the others, and what they wait for is
    /// offered to them.
    pub(in crate::queues) fn decline(&mut self, shard: usize) {
        let offered =
            self.shards.get_mut(shard).map(|of| std::mem::take(&mut of.offered)).unwrap_or_default();
        for Back { slot, host } in offered {
            self.promised = self.promised.saturating_sub(1);
            self.push_ready(slot);
            if let Some(host) = host {
                self.hosts.look_again(host);
            }
        }
        for come_back in [Self::back, Self::back_over_share] {
            while let Some(slot) = self.first_of(shard, come_back) {
                self.push_ready(slot);
            }
        }
    }
}
