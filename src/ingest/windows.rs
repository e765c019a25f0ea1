//! The memory of recent events: which messages were taken, and which account each call belongs to.
//!
//! Everything here is restored from the end of the log after a restart.

use super::keys::Requests;
use super::prepare::Incoming;
use super::window::Window;
use crate::kazoo::Facts;
use crate::log::{ReadError, ReaderOf};
use crate::model::{AccountId, Event, EventOffset, Origin, Source};

/// The category of KAZOO's events of a call leg. Their subject is the call.
const CALL_EVENT: &str = "call_event";
/// The name of the last event of a call leg.
const CALL_ENDED: &str = "CHANNEL_DESTROY";
/// The category of conference events. Commands to a conference name no account, so it is remembered too.
const CONFERENCE: &str = "conference";
/// How many records are read at once to restore the windows.
pub(super) const TAIL_RECORDS: usize = 4096;
const TAIL_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Windows {
    /// Messages from all brokers that are in the log or on their way there.
    pub(super) seen: Window<SeenMessage>,
    /// Recent calls and conferences, learned from the broker's events alone. Events of HTTP clients neither write nor
    /// read it, so no client can learn or claim another tenant's call by naming its id.
    pub(super) calls: Window<KnownCall>,
    /// When the last event from the broker was stored.
    pub(super) from_broker_us: Option<u64>,
}

/// A message that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenMessage {
    /// The broker that handed it out first; `None` after a restart.
    pub(super) origin: Option<Origin>,
    /// Whether it is in the log. Otherwise it is on its way there.
    pub(super) stored: bool,
}

/// What the broker's events said about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCall {
    /// The account that the latest event named.
    pub account: AccountId,
    /// Whether all events named the same account and the call has not ended. Phones choose call ids, so two tenants
    /// may use the same id.
    pub certain: bool,
    /// The zone of the broker that sent its last event; `None` with a single broker, and after a restart.
    pub zone: Option<u16>,
}

impl Windows {
    /// Empty windows for `size` messages and `size` calls.
    pub(super) fn new(size: usize) -> Self {
        Self { seen: Window::new(size), calls: Window::new(size), from_broker_us: None }
    }

    pub(super) fn rebuild(
        &mut self,
        reader: &ReaderOf<EventOffset>,
        window: usize,
        requests: &Requests,
    ) -> Result<(), ReadError> {
        let end = reader.end();
        let mut from = (end - u64::try_from(window).unwrap_or(u64::MAX)).max(reader.first());
        while from < end {
            let batch = reader.read(from, TAIL_RECORDS, TAIL_BYTES)?;
            for record in &batch.records {
                // A record of a later version is skipped here. Delivery reports it.
                if let Ok(event) = Event::decode(&record.payload) {
                    self.relearn(&event);
                    if event.source == Source::Amqp {
                        self.from_broker_us = Some(record.time_us);
                    }
                    if let Some(request) = &event.handed_in {
                        requests.learn(request, record.offset, record.time_us);
                    }
                }
            }
            if batch.next <= from {
                break;
            }
            from = batch.next;
        }
        Ok(())
    }

    fn relearn(&mut self, event: &Event<'_>) {
        // As while the program ran: neither was entered in the windows.
        if event.source == Source::Http || event.quarantine.is_some() {
            return;
        }
        if let Some(key) = self.seen_key(event.msg_id, event.name, event.subject) {
            self.seen.put(key, SeenMessage { origin: None, stored: true });
        }
        match (event.account, event.category) {
            (Some(account), CALL_EVENT) => {
                let key = self.calls.key(event.subject);
                self.learn(key, account, event.name, None);
            }
            (Some(account), CONFERENCE) => {
                let key = self.calls.key((CONFERENCE, event.subject));
                self.learn(key, account, event.name, None);
            }
            _ => {}
        }
    }

    /// The key of a message. A message without `Msg-ID` has none, because it cannot be recognised.
    pub(super) fn seen_key(&self, msg_id: &str, name: &str, subject: &str) -> Option<u64> {
        (!msg_id.is_empty()).then(|| self.seen.key((msg_id, name, subject)))
    }

    /// Whether a message is a copy of one that is in the log or on its way there. There are two causes: a broker may
    /// hand a message out again, and with several brokers each may hand out its own copy.
    pub(super) fn is_copy(&mut self, key: u64, incoming: &Incoming, several_brokers: bool) -> bool {
        let Some(seen) = self.seen.get(key) else {
            self.seen.put(key, SeenMessage { origin: incoming.origin, stored: false });
            return false;
        };
        let is_from_elsewhere = several_brokers && seen.origin != incoming.origin;
        if seen.stored {
            incoming.redelivered || is_from_elsewhere
        } else {
            // A redelivered message that is not in the log may have been dropped on its way there, so it is taken.
            is_from_elsewhere && !incoming.redelivered
        }
    }

    /// Learns the account and zone of a call from one of its events.
    pub(super) fn learn(&mut self, call: u64, account: AccountId, event: &str, origin: Option<Origin>) {
        let before = self.calls.get(call);
        let agrees = before.is_none_or(|before| before.certain && before.account == account);
        let zone = origin.map(|origin| origin.zone).or_else(|| before?.zone);
        // After the last event of a call, another call may have its id. The account is still the best guess for
        // late events.
        self.calls.put(call, KnownCall { account, certain: agrees && event != CALL_ENDED, zone });
    }

    /// The account that the event names, otherwise the account of its call.
    pub(super) fn account_of(&mut self, facts: &Facts, origin: Option<Origin>) -> Option<AccountId> {
        let call = match facts.category.as_str() {
            CONFERENCE => Some(self.calls.key((CONFERENCE, facts.subject.as_str()))),
            _ => facts.call_id.as_deref().map(|call| self.calls.key(call)),
        };
        match (facts.account, call) {
            (Some(account), Some(call)) => {
                self.learn(call, account, &facts.name, origin);
                Some(account)
            }
            (Some(account), None) => Some(account),
            (None, Some(call)) => {
                let account = self.calls.get(call)?.account;
                self.learn(call, account, &facts.name, origin);
                Some(account)
            }
            (None, None) => None,
        }
    }
}
