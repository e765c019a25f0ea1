//! Sends sample events immediately, without the queues. A test has the same request, guard and bounds as a delivery,
//! but its result does not count. The number of tests under way is limited.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::client::Outgoing;
use super::request::{NoRequest, Surroundings, Target};
use super::send::{Caps, Exchange, Sender};
use super::transport::Transport;
use crate::model::{
    AccountId, AttemptResult, Clock, DeliveryId, EventId, EventOffset, Hook, HookId, Job, JobKey,
    NumberedAttempt, Phases, QueueKey, Received, SentRequest, Tested, TransportError,
};
use crate::shares::Shares;
use crate::state::State;

/// Distinguishes a test's event id from those of events: no log reaches this offset.
const NO_EVENT: u64 = 1 << 63;

/// Sends samples. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tester(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    clock: Clock,
    state: State,
    permits: Semaphore,
    /// One tenant may use half of the permits.
    permits_of: Shares<AccountId>,
}

impl Tester {
    /// At most `at_once` tests are under way. Each uses a new connection.
    #[must_use]
    pub fn new(transport: Transport, at_once: usize, clock: Clock, state: State) -> Self {
        let permits_of = Shares::new(at_once.div_ceil(2));
        Self(Arc::new(Inner { transport, clock, state, permits: Semaphore::new(at_once), permits_of }))
    }

    /// Sends an event (a log record) to a hook's receiver once; `None` when too many tests of the hook's tenant, or
    /// in total, are under way.
    pub async fn test(&self, hook: Arc<Hook>, record: Bytes) -> Option<Tested> {
        let tenant = self.0.state.tenant_of(hook.account);
        let _own = self.0.permits_of.try_one(tenant)?;
        let _permit = self.0.permits.try_acquire().ok()?;
        Some(self.0.test(hook, &record).await)
    }

    /// What a hook of an account sent to the built-in receiver, newest first.
    #[must_use]
    pub fn received(&self, account: AccountId, hook: HookId) -> Vec<Received> {
        self.0.transport.inbox.of(account, hook)
    }

    /// The request that an attempt would have now, with a present signature; or why there is none.
    pub fn compose(
        &self,
        hook: Arc<Hook>,
        numbered: NumberedAttempt,
        record: &[u8],
    ) -> Result<SentRequest, String> {
        let NumberedAttempt { delivery, number } = numbered;
        let key = JobKey { queue: QueueKey::Hook(hook.id), offset: delivery.event.offset };
        let job = Job { key, hook: hook.clone(), record: None, attempt: number, replay: false };
        let request = self.0.request(&Target::new(hook), &job, delivery, record);
        request.map(|request| sent_request(&request)).map_err(|reason| reason.to_string())
    }
}

impl Inner {
    fn request(
        &self,
        target: &Target,
        job: &Job,
        delivery: DeliveryId,
        record: &[u8],
    ) -> Result<Outgoing, NoRequest> {
        let surroundings = Surroundings {
            delivery,
            now_us: self.clock.now_us(),
            span_id: rand::random(),
            cluster_id: &self.state.settings().cluster_id,
            reseller_of: &|account| self.state.reseller_of(account),
        };
        target.request(job, record, &surroundings)
    }

    async fn test(&self, hook: Arc<Hook>, record: &[u8]) -> Tested {
        let (settings, now_us) = (self.state.settings(), self.clock.now_us());
        let event =
            EventId { log: settings.log_ids.last(), offset: EventOffset(NO_EVENT | rand::random::<u64>()) };
        let delivery = DeliveryId { event, hook: hook.id };
        let key = JobKey { queue: QueueKey::Hook(hook.id), offset: event.offset };
        let job = Job { key, hook: hook.clone(), record: None, attempt: 1, replay: false };
        let tested = |request, result, duration_us| Tested {
            delivery_id: delivery.to_string(),
            request,
            result,
            duration_us,
            phases: Phases::default(),
        };
        let mut request = match self.request(&Target::new(hook), &job, delivery, record) {
            Ok(request) => request,
            Err(NoRequest::InvalidUri) => {
                return tested(None, AttemptResult::failed(TransportError::InvalidUri), 0);
            }
            Err(NoRequest::Filtered) => return tested(None, AttemptResult::NothingToSend, 0),
            Err(NoRequest::Unsendable(why)) => return tested(None, AttemptResult::Unsendable(why), 0),
        };
        request.headers.change(|headers| {
            headers.insert("x-test", HeaderValue::from_static("true"));
        });
        let shown = sent_request(&request);
        if self.transport.guard.forbids(&request.address.url) {
            return tested(Some(shown), AttemptResult::failed(TransportError::ForbiddenAddress), 0);
        }
        let sending = self.transport.current();
        let caps = Caps { always: true, ..Caps::of(&sending.limits) };
        let started = Instant::now();
        let sender = Sender { client: &sending.unpooled, inbox: &self.transport.inbox, caps };
        let Exchange { result, phases } = sender.send(request, now_us).await;
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Tested { phases, ..tested(Some(shown), result, duration_us) }
    }
}

fn sent_request(request: &Outgoing) -> SentRequest {
    SentRequest {
        method: request.method.to_string(),
        uri: request.address.url.to_string(),
        headers: request.headers.shown(),
        body: request.body.clone(),
    }
}
