//! What ingest remembers of the recent past: messages that were taken, and the accounts of calls.
//!
//! All of it can be read again from the log's tail, so a restart knows what the program knew before.

use super::keys::Requests;
use super::prepare::Incoming;
use super::window::Window;
use crate::kazoo::Facts;
use crate::log::{ReadError, Reader};
use crate::model::{AccountId, Event, Origin, Source};

/// KAZOO's category of what happens to a call leg; its events' subject is the call.
const CALL_EVENT: &str = "call_event";
/// The last event of a call leg.
const CALL_ENDED: &str = "CHANNEL_DESTROY";
/// Likewise of conferences; commands to one name no account.
const CONFERENCE: &str = "conference";
/// How much of the log is read at once when the windows are rebuilt.
pub(super) const TAIL_RECORDS: usize = 4096;
const TAIL_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Windows {
    /// Messages that are in the log or on their way there, of all brokers.
    pub(super) seen: Window<Seen>,
    /// Each recent call and conference, as the broker's events told it. HTTP clients neither write nor read it: nobody learns
    /// or claims another tenant's call by naming its id.
    pub(super) calls: Window<KnownCall>,
    /// When the last event from the broker was stored.
    pub(super) from_broker_us: Option<u64>,
}

/// A message that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The broker that it came from first; `None` after a restart.
    pub(super) origin: Option<Origin>,
    /// Whether it is in the log.
    pub(super) stored: bool,
}

/// What the broker's events told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCall {
    /// Whose it was last said to be.
    pub account: AccountId,
    /// Whether every event said so and none said that it has ended. Call ids are chosen by phones: two tenants
    /// may use the same one.
    pub certain: bool,
    /// The zone of the broker that its last event came from; `None` with one broker, and after a restart.
    pub zone: Option<u16>,
}

impl Windows {
    /// Windows of `size` messages and calls that know nothing yet.
    pub(super) fn new(size: usize) -> Self {
        Self { seen: Window::new(size), calls: Window::new(size), from_broker_us: None }
    }

    pub(super) fn rebuild(
        &mut self,
        reader: &Reader,
        window: usize,
        requests: &Requests,
    ) -> Result<(), ReadError> {
        let end = reader.end();
        let mut from = end.saturating_sub(u64::try_from(window).unwrap_or(u64::MAX)).max(reader.first());
        while from < end {
            let batch = reader.read(from, TAIL_RECORDS, TAIL_BYTES)?;
            for record in &batch.records {
                // Records of a later version say nothing to us here; delivery reports them.
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
        if event.source == Source::Http || event.quarantine.is_some() {
            return;
        }
        if let Some(key) = self.seen_key(event.msg_id, event.name, event.subject) {
            self.seen.put(key, Seen { origin: None, stored: true });
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

    /// The key of a message; one without `Msg-ID` cannot be told from another.
    pub(super) fn seen_key(&self, msg_id: &str, name: &str, subject: &str) -> Option<u64> {
        (!msg_id.is_empty()).then(|| self.seen.key((msg_id, name, subject)))
    }

    /// Whether a message is in the log already or on its way there. A broker may hand a message out again; and what each
    /// of several switches tells may come from several brokers, each of which hands out its copy once.
    pub(super) fn is_copy(&mut self, key: u64, incoming: &Incoming, several_brokers: bool) -> bool {
        let Some(seen) = self.seen.get(key) else {
            self.seen.put(key, Seen { origin: incoming.origin, stored: false });
            return false;
        };
        let is_from_elsewhere = several_brokers && seen.origin != incoming.origin;
        if seen.stored {
            incoming.redelivered || is_from_elsewhere
        } else {
            // One that is handed out again, and is not in the log, may have been given up where it was taken first.
            is_from_elsewhere && !incoming.redelivered
        }
    }

    /// An event of a call says whose it is, and where.
    pub(super) fn learn(&mut self, call: u64, account: AccountId, event: &str, origin: Option<Origin>) {
        let before = self.calls.get(call);
        let agrees = before.is_none_or(|before| before.certain && before.account == account);
        let zone = origin.map(|origin| origin.zone).or_else(|| before?.zone);
        self.calls.put(call, KnownCall { account, certain: agrees && event != CALL_ENDED, zone });
    }

    /// The account that the event names, else the one that its call was last known to belong to.
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
