//! The steps of the simulated world: events arrive, people change hooks and accounts, receivers change, and the process
//! dies. Replays, the operator, moving partitions and unknown accounts have their own files.

use std::sync::Arc;
use std::time::Duration;

use super::life::Died;
use super::oracle::wants;
use super::receivers::{HOSTS, uri};
use super::world::World;
use crate::log::NewRecord;
use crate::model::{
    Account, AccountId, Birth, Encoding, Event, EventOffset, FailureLimits, Family, Format, Hook, HookId,
    Mended, Ordering, QueueId, QueueKey, ReplayId, Source, Trigger,
};
use crate::queues::{Command, Directory, Partition, Partitions};
use crate::state::Change;

const MOST_HOOKS: usize = 6;
const FAMILIES: [Family; 3] = [Family::ChannelCreate, Family::ChannelAnswer, Family::ChannelDestroy];
const ORDERINGS: [Ordering; 4] = [Ordering::Subject, Ordering::Subject, Ordering::Hook, Ordering::None];

impl World {
    /// A random step.
    pub(super) fn happen(&mut self) -> Result<(), Died> {
        match self.random.below(100) {
            0..=39 => self.events_arrive()?,
            40..=47 => {
                let (host, mood) = self.receivers.change(&mut self.random);
                self.say(|_| format!("host {host} is {mood:?}"));
            }
            48..=50 => self.new_hook(),
            51..=60 => self.change_hook(),
            61..=64 => self.disable_or_enable(),
            65 => self.delete_hook(),
            66..=68 => self.change_account(),
            69 => self.account_becomes_known(),
            70..=73 => self.begin_replay(),
            74..=77 => self.change_replay(),
            78..=80 => self.retain()?,
            81..=83 => self.reload(),
            84..=86 => {
                let length = Duration::from_millis(self.random.between(1, 90_000));
                self.say(|_| format!("{length:?} pass"));
                self.time.pass(length);
            }
            87..=89 => {
                let operations = self.random.below(14);
                self.say(|_| format!("the power goes in {operations} operations"));
                self.setup.disk.cut_at(operations);
            }
            90 => return Err(Died("killed".into())),
            91 => return self.stop(),
            92 => {
                let free = if self.random.percent(50) { Some(self.random.below(400)) } else { None };
                self.say(|_| format!("{free:?} bytes are free"));
                self.setup.disk.set_free(free);
            }
            93..=95 => self.begin_to_move(),
            96..=97 => self.intervene(),
            98 => {
                let by_s = self.random.pick(&[-86_400, -3_600, -60, 60, 3_600, 864_000]).unwrap_or(0);
                self.say(|_| format!("the clock is set by {by_s} s"));
                self.time.set_clock(by_s);
            }
            _ => self.resume_replays(),
        }
        Ok(())
    }

    fn events_arrive(&mut self) -> Result<(), Died> {
        let count = self.random.count(1, 5);
        let mut records = Vec::new();
        let mut events = Vec::new();
        for _ in 0..count {
            let accounts = self.tenants.all();
            let known = self.random.pick(&accounts).filter(|_| self.random.percent(92));
            let account = known.as_ref().map_or_else(|| self.unknown_account(), |account| account.id);
            if account == AccountId(1) {
                continue;
            }
            let record = self.event(account);
            let asked = known.map(|account| self.asked(&account, &record)).unwrap_or_default();
            let time_us = self.setup.clock.now_us();
            records.push(NewRecord { tag: account.tag(), flags: 0, time_us, payload: record.clone() });
            events.push((record, asked));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.say(|_| format!("{} events", records.len()));
        let synced = self.life.events.submit(records)?;
        self.offered.push((synced, events));
        Ok(())
    }

    fn event(&mut self, account: AccountId) -> bytes::Bytes {
        let family =
            if self.random.percent(8) { Some(Family::Callflow) } else { self.random.pick(&FAMILIES) };
        let subject = format!("call-{}", self.random.below(4));
        let body = vec![b'x'; self.random.count(0, 120)];
        let event = Event {
            source: Source::Http,
            encoding: Encoding::Plain,
            family,
            account: Some(account),
            internal_leg: false,
            mended: Mended::default(),
            quarantine: None,
            handed_in: None,
            category: "call_event",
            name: "X",
            subject: &subject,
            msg_id: "",
            detail: "",
            exchange: "",
            routing_key: "",
            trace: None,
            trace_state: "",
            body: &body,
        };
        event.encode().into()
    }

    /// The queues that have to get an event, and the number of versions that their hooks have had.
    fn asked(&self, account: &Account, record: &[u8]) -> Vec<(QueueId, usize)> {
        let event = Event::decode(record).unwrap();
        if event.family == Some(Family::Callflow) {
            return vec![(account.id.one_shot().into(), 0)];
        }
        let hooks = self.hooks.values().filter(|hook| wants(hook, account, &event));
        hooks.map(|hook| (hook.id.into(), self.oracle.versions_of(hook.id))).collect()
    }

    fn tell(&mut self, change: &Change) {
        for shard in 0..self.life.shards.len() {
            while self.life.shards[shard].changes.try_send(change.clone()).is_err() {
                self.take_change(shard);
            }
        }
    }

    fn put_hook(&mut self, hook: Hook) {
        let hook = Arc::new(hook);
        let before = self.hooks.insert(hook.id, hook.clone());
        let tenants = self.tenants.clone();
        tenants.put_hook(&hook);
        self.oracle.hook_put(&hook, |id| tenants.account(id));
        if before.is_some_and(|before| before.ordering != hook.ordering) {
            self.forget_order(&hook);
        }
        // When a hook is enabled, its probe under way becomes an ordinary attempt.
        for flight in self
            .flights
            .iter_mut()
            .filter(|flight| hook.enabled && flight.key.queue == QueueKey::Hook(hook.id))
        {
            flight.probe = false;
        }
        let running: Vec<ReplayId> =
            self.replays.values().filter(|job| job.hook == hook.id).map(|job| job.id).collect();
        for replay in running {
            self.oracle.narrow(replay, &hook, |id| tenants.account(id));
        }
        self.tell(&Change::HookPut(hook));
    }

    /// When a hook's ordering changes, the order of the deliveries in its queues cannot be checked from outside.
    fn forget_order(&mut self, hook: &Hook) {
        let replays = self.replays.values().filter(|job| job.hook == hook.id).map(|job| job.id.into());
        for queue in replays.chain([hook.id.into()]) {
            self.order.remove(&queue);
        }
    }

    /// Changes a hook's document.
    pub(super) fn edit(&mut self, id: HookId, edit: impl FnOnce(&mut Hook)) {
        let Some(hook) = self.hooks.get(&id) else { return };
        let mut changed = (**hook).clone();
        edit(&mut changed);
        if changed != **hook {
            self.say(|_| format!("hook {id}: {changed:?}"));
            self.put_hook(changed);
        }
    }

    /// A number that is not used as an id yet.
    pub(super) fn new_id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn new_hook(&mut self) {
        let accounts = self.tenants.all();
        let Some(account) = self.random.pick(&accounts).filter(|_| self.hooks.len() < MOST_HOOKS) else {
            return;
        };
        let (host, start) = (self.random.below(HOSTS), self.start_of_hook(account.id));
        let is_late = start < self.life.events.reader.end();
        let deleted = self.random.pick(&self.deleted).filter(|_| !is_late && self.random.percent(60));
        let id = deleted.unwrap_or_else(|| HookId(self.new_id()));
        self.deleted.retain(|other| *other != id);
        self.oracle.hook_made(id);
        let ledger = self.life.ledger.reader.end();
        let trigger = self.trigger();
        let mut hook = Hook {
            format: Format::Json,
            start_offset: start,
            birth: Birth { ledger, events: start, is_late },
            include_subaccounts: self.random.percent(30),
            ..Hook::new(id, account.id, trigger, uri(host))
        };
        self.vary(&mut hook);
        self.say(|_| format!("new hook {id}: {hook:?}"));
        self.put_hook(hook);
        if is_late {
            // The hook begins at an event that waited for its account, and gets everything from there on.
            let since: Vec<EventOffset> =
                self.oracle.events.range(start..).map(|(offset, _)| *offset).collect();
            for offset in since {
                self.wanted_late(offset, Some(id));
            }
        }
    }

    fn trigger(&mut self) -> Trigger {
        match self.random.pick(&FAMILIES) {
            Some(family) if self.random.percent(40) => Trigger::Family(family),
            _ => Trigger::All,
        }
    }

    fn vary(&mut self, hook: &mut Hook) {
        hook.ordering = self.random.pick(&ORDERINGS).unwrap_or(Ordering::Subject);
        hook.tries = u16::try_from(self.random.between(1, 4)).unwrap_or(1);
        let most = u32::try_from(self.random.between(1, 6)).unwrap_or(1);
        hook.max_in_flight = self.random.percent(40).then_some(most);
        hook.rate_limit_per_s = self.random.percent(15).then_some(most);
    }

    pub(super) fn any_hook(&mut self) -> Option<Arc<Hook>> {
        let hooks: Vec<_> = self.hooks.values().cloned().collect();
        self.random.pick(&hooks)
    }

    fn change_hook(&mut self) {
        if let Some(hook) = self.any_hook() {
            self.change(&hook);
        }
    }

    /// A person changes a hook of these partitions a few times, one change after the other.
    pub(super) fn change_in_a_hurry(&mut self, set: Partitions) {
        let ids: Vec<_> = self.hooks.keys().copied().filter(|id| set.contains(Partition::of(*id))).collect();
        let Some(id) = self.random.pick(&ids) else { return };
        for _ in 0..self.random.count(2, 4) {
            if let Some(hook) = self.hooks.get(&id).cloned() {
                self.change(&hook);
            }
        }
    }

    fn change(&mut self, hook: &Hook) {
        let mut changed = hook.clone();
        match self.random.below(6) {
            0 => changed.uri = uri(self.random.below(HOSTS)),
            1 => changed.trigger = self.trigger(),
            2 => changed.include_subaccounts ^= true,
            3 | 4 => changed.paused ^= true,
            _ => self.vary(&mut changed),
        }
        self.edit(hook.id, |hook| *hook = changed);
    }

    /// A person disables a hook, or enables it: for new events only, or where it stopped.
    fn disable_or_enable(&mut self) {
        let Some(hook) = self.any_hook() else { return };
        let (now_on, end) = (self.random.percent(50), self.life.events.reader.end());
        self.edit(hook.id, |hook| {
            if !hook.enabled && hook.disable_reason.is_none() && now_on {
                hook.start_offset = end;
            }
            hook.enabled ^= true;
            hook.disable_reason = None;
        });
    }

    /// A person acts on a hook with attempts under way: they disable and enable it, or have it probed now.
    fn intervene(&mut self) {
        let queues = self.flights.iter().map(|flight| flight.key.queue.id().as_hook());
        let hooks: Vec<HookId> = queues.filter(|id| self.hooks.contains_key(id)).collect();
        let Some(hook) = self.random.pick(&hooks) else { return };
        if self.random.percent(60) {
            self.edit(hook, |hook| hook.enabled = false);
            self.edit(hook, |hook| {
                hook.enabled = true;
                hook.disable_reason = None;
            });
        } else {
            let probed = self.ask(hook, |answer| Command::Probe(hook, answer));
            self.say(|_| format!("probe {hook} now: {probed:?}"));
        }
    }

    fn delete_hook(&mut self) {
        let Some(hook) = self.any_hook() else { return };
        self.say(|_| format!("hook {} is deleted", hook.id));
        self.hook_gone(&hook);
    }

    fn hook_gone(&mut self, hook: &Hook) {
        self.hooks.remove(&hook.id);
        self.deleted.push(hook.id);
        self.order.remove(&hook.id.into());
        self.tenants.remove_hook(hook.id);
        self.oracle.queue_gone(hook.id.into());
        for job in self.replays.values().filter(|job| job.hook == hook.id) {
            self.oracle.queue_gone(job.id.into());
        }
        self.tell(&Change::HookGone(hook.id, hook.account));
    }

    fn change_account(&mut self) {
        let accounts = self.tenants.all();
        let Some(before) = self.random.pick(&accounts).filter(|account| account.id != AccountId(1)) else {
            return;
        };
        let mut now = (*before).clone();
        match self.random.below(20) {
            0 if accounts.len() > 2 => return self.delete_account(now.id),
            1..=4 => {
                let count = self.random.pick(&[None, Some(0), Some(2)]).flatten();
                now.failure_limits = FailureLimits { count, window_ms: None };
            }
            5 => now.is_reseller ^= true,
            _ => now.enabled ^= true,
        }
        self.put_account(now);
    }

    pub(super) fn put_account(&mut self, now: Account) {
        self.say(|_| format!("account {now:?}"));
        let before = self.tenants.put(now.clone());
        self.tell(&Change::AccountPut { now: Arc::new(now), before });
    }

    fn delete_account(&mut self, id: AccountId) {
        let is_leaf = self.tenants.all().iter().all(|account| !account.tree.contains(&id));
        if !is_leaf {
            return;
        }
        self.say(|_| format!("account {id} is deleted"));
        let hooks: Vec<_> = self.hooks.values().filter(|hook| hook.account == id).cloned().collect();
        self.tenants.remove(id);
        self.oracle.account_gone(id);
        for hook in hooks {
            self.hook_gone(&hook);
        }
        self.tell(&Change::AccountGone(id));
    }
}
