//! One attempt: builds the request, checks the address, reads the answer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Outgoing;
use super::request::{NoRequest, Surroundings, Target, one_shot_target};
use super::room::{LARGE, Reservation, Room};
use super::send::{Caps, Exchange, Sender};
use super::shadow::{Sink, Unsent, shadow};
use super::spans::Tracing;
use super::transport::Transport;
use crate::log::{ReadError, ReaderOf};
use crate::model::{
    Attempt, AttemptResult, AttemptSpan, Clock, DeliveryId, Duty, Event, EventOffset, Failure, Job, LogIds,
    OwnFault, Phases, Sent, TransportError, Unsendable,
};
use crate::state::State;

/// Everything that attempts need.
#[derive(Clone)]
pub(super) struct Maker {
    pub(super) transport: Transport,
    /// Receives the spans of attempts whose trace is recorded.
    pub(super) spans: Option<mpsc::Sender<AttemptSpan>>,
    /// Decides which deliveries are sent.
    pub(super) duty: Duty,
    /// Receives the deliveries that are not sent.
    pub(super) sink: Sink,
    pub(super) clock: Clock,
    pub(super) events: ReaderOf<EventOffset>,
    pub(super) state: State,
    pub(super) cluster_id: Arc<str>,
    pub(super) log_ids: LogIds,
    pub(super) room: Arc<Room>,
}

/// The outcome of an attempt.
struct Made {
    result: AttemptResult,
    max_tries: Option<u16>,
    request: Option<Requested>,
    phases: Phases,
}

/// A request, whether or not the receiver got it.
struct Requested {
    at_us: u64,
    span_id: Option<u64>,
}

impl Requested {
    fn sent(&self, ended_us: u64) -> Sent {
        let ago_s = (ended_us / 1_000_000).saturating_sub(self.at_us / 1_000_000);
        Sent { ago_s, span_id: self.span_id }
    }
}

/// An event's record, or the result of the attempt when there is no record.
pub(super) type Fetched = Result<Bytes, AttemptResult>;

/// Reads the record of an event; `Expired` when retention has removed it. Blocks.
pub(super) fn fetch(events: &ReaderOf<EventOffset>, offset: EventOffset) -> Fetched {
    match events.get(offset) {
        Ok(record) => record.map(|r| r.payload).ok_or(AttemptResult::Expired),
        Err(error) => {
            tracing::error!(offset = offset.0, %error, "cannot read an event from the log");
            Err(match error {
                // Damage is permanent: every later attempt would read the same bytes.
                ReadError::Damaged { .. } => AttemptResult::Unsendable(Unsendable::Damaged),
                _ => UNREADABLE,
            })
        }
    }
}

/// The log could not be read.
const UNREADABLE: AttemptResult = AttemptResult::Ours(OwnFault::LogUnreadable);

impl Maker {
    /// Makes the attempt.
    pub(super) async fn attempt(
        self: Arc<Self>,
        job: Job,
        record: Fetched,
        target: Option<Arc<Target>>,
    ) -> Attempt {
        let mut started = Instant::now();
        let Made { result, max_tries, request, phases } = match record {
            Ok(record) => self.make(&job, record, target, &mut started).await,
            Err(result) => Made { result, max_tries: None, request: None, phases: Phases::default() },
        };
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        log(&job, &result, duration_us);
        let ended_us = self.clock.now_us();
        let sent = request.map(|request| request.sent(ended_us));
        let generation = job.hook.generation();
        Attempt { key: job.key, generation, sent, max_tries, result, duration_us, phases, ended_us }
    }

    async fn make(
        &self,
        job: &Job,
        mut record: Bytes,
        target: Option<Arc<Target>>,
        started: &mut Instant,
    ) -> Made {
        let one_shot = target.is_none();
        let without =
            |result, max_tries| Made { result, max_tries, request: None, phases: Phases::default() };
        let target = match target.map_or_else(|| one_shot_target(&record).map(Arc::new), Ok) {
            Ok(target) => target,
            Err(reason) => return without(unsent(job, &reason), None),
        };
        let max_tries = one_shot.then(|| target.hook.max_tries());
        let mut taken = None;
        if target.payload_bytes(record.len()) > LARGE {
            // The record is given back before the wait. Otherwise the attempts that wait for memory would hold the
            // most of it.
            let bytes = target.needs(record.len());
            drop(record);
            // Boxed: few attempts need this future, but its size would be part of every attempt's.
            let (room, fetched) = Box::pin(self.large(&target, bytes, job.key.offset)).await;
            record = match fetched {
                Ok(record) => record,
                Err(result) => return without(result, max_tries),
            };
            taken = room;
        }
        // The wait for memory is not the receiver's time.
        *started = Instant::now();
        let now_us = self.clock.now_us();
        let delivery = DeliveryId { event: self.log_ids.event_id(job.key.offset), hook: job.hook.id };
        let span_id = rand::random();
        let tracing = Tracing::begin(self.spans.as_ref(), &record, span_id);
        let surroundings = Surroundings {
            delivery,
            now_us,
            span_id,
            cluster_id: &self.cluster_id,
            reseller_of: &|account| self.state.reseller_of(account),
        };
        if self.is_out_of_reach(job, &record) {
            return without(AttemptResult::NothingToSend, max_tries);
        }
        // Decided as late as possible: the mode may have changed while the delivery waited.
        let is_sent = self.duty.now().sends(job.key.queue, job.key.offset);
        let request = match self.request(job, &target, &record, &surroundings) {
            Ok(request) => request,
            Err(failed @ AttemptResult::Failed(_)) if !is_sent => return without(shadow(failed), max_tries),
            Err(result) => return without(result, max_tries),
        };
        // The request has its own copy of the body, so the record is not kept while the receiver takes its time.
        let requested = Requested { at_us: now_us, span_id: request.span_id };
        drop(record);
        let sending = self.transport.current();
        let caps = Caps::of(&sending.limits);
        let Exchange { result, phases } = if is_sent {
            let sender = Sender { client: &sending.client, inbox: &self.transport.inbox, caps };
            sender.send(request, now_us).await
        } else {
            let unsent = Unsent { guard: &self.transport.guard, client: &sending.client, caps, now_us };
            // Boxed, to keep the future of an attempt small.
            Box::pin(unsent.end(request, &target.hook, &self.sink)).await
        };
        drop(taken);
        if let Some(tracing) = tracing {
            tracing.end(job, delivery, &result, (now_us, self.clock.now_us()));
        }
        Made { result, max_tries, request: Some(requested), phases }
    }

    /// Builds the request, unless it can never be sent or its URI names a forbidden address.
    fn request(
        &self,
        job: &Job,
        target: &Target,
        record: &[u8],
        surroundings: &Surroundings<'_>,
    ) -> Result<Outgoing, AttemptResult> {
        let request = target.request(job, record, surroundings).map_err(|reason| unsent(job, &reason))?;
        if self.transport.guard.forbids(&request.address.url) {
            return Err(AttemptResult::failed(TransportError::ForbiddenAddress));
        }
        Ok(request)
    }

    /// Whether the event's account has been moved out of the tree below the hook's account since the event was
    /// routed. The hook's owner may not see such an event any more.
    fn is_out_of_reach(&self, job: &Job, record: &[u8]) -> bool {
        let owner = job.hook.account;
        job.hook.include_subaccounts
            && Event::decode(record)
                .ok()
                .and_then(|event| event.account.filter(|account| *account != owner))
                .and_then(|account| self.state.account(account))
                .is_some_and(|account| !account.tree.contains(&owner))
    }

    /// Waits for memory for an attempt at a large event, and only then reads the event.
    async fn large<'a>(
        &'a self,
        target: &'a Target,
        bytes: usize,
        offset: EventOffset,
    ) -> (Option<Reservation<'a>>, Fetched) {
        let share = target.share.get_or_init(|| self.room.share());
        let taken = self.room.take(share, bytes).await;
        (taken, self.fetch(offset).await)
    }

    /// Reads a record on another thread than that of the attempts.
    async fn fetch(&self, offset: EventOffset) -> Fetched {
        let (events, mut reading) = (self.events.clone(), JoinSet::new());
        reading.spawn_blocking(move || fetch(&events, offset));
        // A read ends without an answer only if it panics.
        reading.join_next().await.and_then(Result::ok).unwrap_or(Err(UNREADABLE))
    }
}

fn unsent(job: &Job, reason: &NoRequest) -> AttemptResult {
    match reason {
        NoRequest::Filtered => AttemptResult::NothingToSend,
        // The event itself contains the URI, so this says nothing about other events of the hook.
        NoRequest::InvalidUri if job.hook.one_shot => {
            tracing::warn!(hook_id = %job.hook.id, offset = job.key.offset.0, %reason, "event can never be sent");
            AttemptResult::Unsendable(Unsendable::UnusableUri)
        }
        NoRequest::InvalidUri => AttemptResult::failed(TransportError::InvalidUri),
        NoRequest::Unsendable(why) => {
            tracing::warn!(hook_id = %job.hook.id, offset = job.key.offset.0, %reason, "event can never be sent");
            AttemptResult::Unsendable(*why)
        }
    }
}

fn log(job: &Job, result: &AttemptResult, duration_us: u64) {
    let (hook_id, offset, ms) = (job.hook.id, job.key.offset.0, duration_us / 1000);
    match result {
        AttemptResult::Answered(response) if (200..300).contains(&response.status) => {
            tracing::debug!(%hook_id, offset, attempt = job.attempt, duration_ms = ms, status = response.status, "delivered");
        }
        AttemptResult::Answered(response) => {
            tracing::info!(%hook_id, offset, attempt = job.attempt, duration_ms = ms, status = response.status, "attempt failed");
        }
        AttemptResult::Failed(Failure { error, detail }) => {
            tracing::info!(
                %hook_id, offset, attempt = job.attempt, duration_ms = ms, error = error.text(), detail,
                "attempt failed"
            );
        }
        AttemptResult::Ours(fault) => {
            tracing::warn!(
                %hook_id, offset, attempt = job.attempt, error = fault.text(),
                "attempt could not be made: this machine lacks a resource; the receiver is not charged"
            );
        }
        AttemptResult::Shadow(_) => {
            tracing::debug!(%hook_id, offset, attempt = job.attempt, error = result.client_error(), "shadow: not sent");
        }
        // Already logged by `unsent` or `fetch`.
        AttemptResult::Unsendable(_) => {}
        AttemptResult::NothingToSend | AttemptResult::Expired => {
            tracing::debug!(%hook_id, offset, attempt = job.attempt, "nothing to send");
        }
    }
}
