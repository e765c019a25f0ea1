//! What happens in the simulated world from outside: events arrive, people change hooks, accounts and replays, the
//! operator changes permits and applies retention, and the process dies.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::life::Died;
use super::oracle::{Unsynced, wants};
use super::receivers::{HOSTS, uri};
use super::world::{World, options};
use crate::log::NewRecord;
use crate::model::{
    Account, AccountId, Encoding, Event, EventFilter, FailureLimits, Family, Format, Hook, Id, Mended,
    Ordering, QueueKey, ReplayOnly, ReplayPoint, ReplayRequest, ReplayState, Source, Trigger,
};
use crate::queues::{Command, Directory, Options, ReplayJob, last_checkpoint};
use crate::state::Change;

const MOST_HOOKS: usize = 6;
const FAMILIES: [Family; 3] = [Family::ChannelCreate, Family::ChannelAnswer, Family::ChannelDestroy];
const ORDERINGS: [Ordering; 4] = [Ordering::Subject, Ordering::Subject, Ordering::Hook, Ordering::None];

impl World {
    /// One thing that happens, chosen by chance.
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
            66..=69 => self.change_account(),
            70..=73 => self.begin_replay(),
            74..=77 => self.change_replay(),
            78..=80 => self.retain()?,
            81..=83 => self.reload(),
            84..=86 => {
                let us = self.random.between(1_000, 90_000_000);
                self.say(|_| format!("{us} µs pass"));
                self.pass_time(us);
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
            let Some(account) = self.random.pick(&accounts).filter(|account| account.id != Id(1)) else {
                continue;
            };
            let record = self.event(account.id);
            let asked = self.asked(&account, &record);
            let time_us = self.now_us();
            records.push(NewRecord { tag: account.id.tag(), flags: 0, time_us, payload: record.clone() });
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

    /// Which queues have to get an event, and the number of versions that their hooks have had.
    fn asked(&self, account: &Account, record: &[u8]) -> Vec<(Id, usize)> {
        let event = Event::decode(record).unwrap();
        if event.family == Some(Family::Callflow) {
            return vec![(account.id.one_shot(), 0)];
        }
        let hooks = self.hooks.values().filter(|hook| wants(hook, account, &event));
        hooks.map(|hook| (hook.id, self.oracle.versions_of(hook.id))).collect()
    }

    fn tell(&mut self, change: &Change) {
        while self.life.changes.try_send(change.clone()).is_err() {
            self.take_change();
        }
    }

    fn put_hook(&mut self, hook: Hook) {
        let hook = Arc::new(hook);
        let before = self.hooks.insert(hook.id, hook.clone());
        let tenants = self.tenants.clone();
        self.oracle.hook_put(&hook, |id| tenants.account(id));
        if before.is_some_and(|before| before.ordering != hook.ordering) {
            self.forget_order(&hook);
        }
        let running: Vec<Id> =
            self.replays.values().filter(|job| job.hook == hook.id).map(|job| job.id).collect();
        for replay in running {
            self.oracle.narrow(replay, &hook, |id| tenants.account(id));
        }
        self.tell(&Change::HookPut(hook));
    }

    /// What is in a queue when its hook's ordering changes keeps no order that could be told from outside.
    fn forget_order(&mut self, hook: &Hook) {
        let replays = self.replays.values().filter(|job| job.hook == hook.id).map(|job| job.id);
        for queue in replays.chain([hook.id]) {
            self.order.remove(&queue);
        }
    }

    /// Changes a hook's document in place.
    pub(super) fn edit(&mut self, id: Id, edit: impl FnOnce(&mut Hook)) {
        let Some(hook) = self.hooks.get(&id) else { return };
        let mut changed = (**hook).clone();
        edit(&mut changed);
        if changed != **hook {
            self.say(|_| format!("hook {id}: {changed:?}"));
            self.put_hook(changed);
        }
    }

    pub(super) fn new_id(&mut self) -> Id {
        self.ids += 1;
        Id(self.ids)
    }

    pub(super) fn new_hook(&mut self) {
        let accounts = self.tenants.all();
        let Some(account) = self.random.pick(&accounts).filter(|_| self.hooks.len() < MOST_HOOKS) else {
            return;
        };
        let (id, host) = (self.new_id(), self.random.below(HOSTS));
        let end = self.life.events.reader.end();
        let trigger = self.trigger();
        let mut hook = Hook {
            format: Format::Json,
            start_offset: end,
            include_subaccounts: self.random.percent(30),
            ..Hook::new(id, account.id, trigger, uri(host))
        };
        self.vary(&mut hook);
        self.say(|_| format!("new hook {id}: {hook:?}"));
        self.put_hook(hook);
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
        let Some(hook) = self.any_hook() else { return };
        let mut changed = (*hook).clone();
        match self.random.below(6) {
            0 => changed.uri = uri(self.random.below(HOSTS)),
            1 => changed.trigger = self.trigger(),
            2 => changed.include_subaccounts ^= true,
            3 | 4 => changed.paused ^= true,
            _ => self.vary(&mut changed),
        }
        self.edit(hook.id, |hook| *hook = changed);
    }

    /// A person disables a hook, or enables it: from now on or from where it stopped.
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

    fn delete_hook(&mut self) {
        let Some(hook) = self.any_hook() else { return };
        self.say(|_| format!("hook {} is deleted", hook.id));
        self.hook_gone(&hook);
    }

    fn hook_gone(&mut self, hook: &Hook) {
        self.hooks.remove(&hook.id);
        self.oracle.queue_gone(hook.id);
        for job in self.replays.values().filter(|job| job.hook == hook.id) {
            self.oracle.queue_gone(job.id);
        }
        self.tell(&Change::HookGone(hook.id, hook.account));
    }

    fn change_account(&mut self) {
        let accounts = self.tenants.all();
        let Some(before) = self.random.pick(&accounts).filter(|account| account.id != Id(1)) else { return };
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

    fn begin_replay(&mut self) {
        let Some(hook) = self.any_hook() else { return };
        let events = &self.life.events.reader;
        let (first, end) = (events.first(), events.end());
        let may = self.ask(|answer| Command::OneMoreReplay(hook.id, answer));
        if first >= end || may.is_err() || !self.to_resume.is_empty() {
            return;
        }
        let from = self.random.between(first, end - 1);
        let until = self.random.between(from + 1, end);
        let only = if self.random.percent(70) { ReplayOnly::All } else { ReplayOnly::Chosen };
        let offsets = (from..until).filter(|_| self.random.percent(40)).collect();
        let request = ReplayRequest {
            id: self.new_id(),
            hook: hook.id,
            account: hook.account,
            from: ReplayPoint::Offset(from),
            until: Some(ReplayPoint::Offset(until)),
            only,
            offsets,
            filter: EventFilter::default(),
            dry_run: false,
            rate: self.random.percent(20).then_some(2),
            by: None,
        };
        let job = ReplayJob::new(request, from, until, self.now_us());
        self.say(|_| format!("replay {} of {} over {from}..{until} {only:?}", job.id, hook.id));
        self.tenants.note_replay(job.id, true);
        let tenants = self.tenants.clone();
        self.oracle.replay(&job, &hook, |id| tenants.account(id));
        let job = Arc::new(job);
        self.replays.insert(job.id, job.clone());
        self.hand_over(&job);
    }

    fn hand_over(&mut self, job: &Arc<ReplayJob>) {
        let chosen = (job.only == ReplayOnly::Chosen)
            .then(|| Arc::new(job.offsets.iter().copied().collect::<BTreeSet<u64>>()));
        let begun = self.ask(|answer| Command::Replay(job.clone(), chosen, answer));
        if !begun {
            self.forget_replay(job.id);
        }
    }

    pub(super) fn forget_replay(&mut self, id: Id) {
        self.replays.remove(&id);
        self.tenants.note_replay(id, false);
        self.oracle.queue_gone(id);
    }

    /// After a start: what ran then goes on.
    pub(super) fn resume_replays(&mut self) {
        for id in std::mem::take(&mut self.to_resume) {
            if let Some(job) = self.replays.get(&id).filter(|job| !job.has_ended()).cloned() {
                self.say(|_| format!("replay {id} is resumed"));
                self.hand_over(&job);
            }
        }
    }

    /// A replay is cancelled, held back, or goes on.
    fn change_replay(&mut self) {
        self.resume_replays();
        let running: Vec<_> = self.replays.values().filter(|job| !job.has_ended()).cloned().collect();
        let Some(job) = self.random.pick(&running) else { return };
        if self.random.percent(40) {
            let ended = self.ask(|answer| Command::Cancel(job.hook, job.id, answer));
            self.say(|_| format!("replay {} is cancelled", job.id));
            if let Some((_, job)) = ended {
                self.tenants.note_replay(job.id, false);
                self.oracle.queue_gone(job.id);
                self.replays.insert(job.id, job);
            }
        } else {
            let state =
                if job.state == ReplayState::Paused { ReplayState::Running } else { ReplayState::Paused };
            self.hold_replay(&job, state);
        }
    }

    pub(super) fn hold_replay(&mut self, job: &ReplayJob, state: ReplayState) {
        self.say(|_| format!("replay {} is {state:?}", job.id));
        let job = Arc::new(ReplayJob { state, ..job.clone() });
        self.replays.insert(job.id, job.clone());
        self.ask(|answer| Command::Hold(job, answer));
    }

    /// The engine says that a replay is over; its document is to say so.
    pub(super) fn replay_ended(&mut self, job: &Arc<ReplayJob>) {
        if job.state == ReplayState::Done {
            let unsynced = Unsynced::of(self.life.engine.ledger.unsynced());
            self.check_settled(
                QueueKey::Replay(job.id).id(),
                &unsynced,
                "a replay is done when all of it is settled",
            );
        }
        self.oracle.queue_gone(job.id);
        self.tenants.note_replay(job.id, false);
        if let Some(kept) = self.replays.get_mut(&job.id) {
            *kept = job.clone();
        }
    }

    /// What the program's retention does, every ten minutes and when the operator asks for it.
    fn retain(&mut self) -> Result<(), Died> {
        self.say(|_| "retention".into());
        let events = self.life.events.carry_out(async |events| {
            if events.retain_now().await.is_ok() { events.roll().await } else { Ok(0) }
        });
        self.hear_of_events();
        // A disk that is full answers so, and the process goes on.
        if let Err(died) = events
            && !died.0.contains("full")
        {
            return Err(died);
        }
        let ledger = &self.life.ledger.reader;
        let Some(checkpoint) = last_checkpoint(ledger).map_err(|error| Died(error.to_string()))? else {
            return Ok(());
        };
        let begun = self.life.events.reader.segments().first().map_or(0, |segment| segment.created_us);
        let floor = ledger.open_at(begun, self.now_us()).min(checkpoint);
        self.life.ledger.carry_out(async |ledger| ledger.retain_from(floor).await).map(drop)
    }

    /// The operator changes limits and policies; what queues are made with stays.
    fn reload(&mut self) {
        let Options { window, lane, keep_bytes, checkpoint_records, max_reads, .. } = self.setup.options;
        let new = options(&mut self.random);
        let new = Options { window, lane, keep_bytes, checkpoint_records, max_reads, ..new };
        self.say(|_| format!("reload {new:?}"));
        self.setup.options = new.clone();
        self.ask(|answer| Command::Reload(Box::new(new), answer));
    }

    /// The program is told to stop: what is under way comes home for a while, and everything is written down.
    fn stop(&mut self) -> Result<(), Died> {
        self.say(|_| "stopping".into());
        let until = self.now_us() + 5_000_000;
        self.flights.sort_by_key(|flight| flight.done_us);
        while self.flights.first().is_some_and(|flight| flight.done_us <= until) {
            let flight = self.flights.remove(0);
            self.pass_time(flight.done_us.saturating_sub(self.now_us()));
            let now = self.now_us();
            self.finish_one(flight, now);
            self.life.flush(false)?;
        }
        self.life.flush(true)?;
        self.oracle.follow(&self.life.ledger.reader);
        loop {
            self.life.engine.act();
            let Ok(action) = self.life.actions.try_recv() else { break };
            self.carry_out(action);
        }
        while self.life.events.write()? {}
        self.hear_of_events();
        Err(Died("stopped".into()))
    }
}
