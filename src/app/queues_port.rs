//! The port of the queues and of the history as the API uses them. It only translates and makes no decisions.

use std::sync::Arc;

use bytes::Bytes;

use crate::history::History;
use crate::http::{self, Answer, AttemptsError, ReplayError};
use crate::log::ReadError;
use crate::model::{
    AccountId, Actor, AttemptPage, AttemptQuery, Dead, DeadLeft, DeadList, DeadQuery, DeadRow,
    DeliveriesQuery, EventDeliveries, EventOffset, EventPage, EventQuery, EventRow, Hook, HookId,
    LedgerOffset, Minute, Pulse, QueueStatus, ReplayId, ReplayRequest, ReplayState, ReplayStatus,
    WaitingPage, WaitingQuery,
};
use crate::queues::{AskError, Queues, ReadingError};

/// The queues, and the results of their deliveries.
pub(super) struct QueuesPort {
    pub(super) queues: Queues,
    pub(super) history: History,
}

fn refused(error: &AskError) -> ReplayError {
    match error {
        AskError::NoHook => ReplayError::NoHook,
        AskError::TooMany(count) => ReplayError::TooMany(*count),
        AskError::Limit(limit) => ReplayError::Limit(limit.clone()),
        AskError::Reading(ReadingError::Busy) => ReplayError::Busy,
        AskError::EmptyRange { from, until } => ReplayError::EmptyRange { from: *from, until: *until },
        AskError::Ended | AskError::Reading(_) | AskError::State(_) => {
            ReplayError::Unavailable(error.to_string())
        }
    }
}

fn unread(error: &ReadingError) -> AttemptsError {
    match error {
        ReadingError::Read(ReadError::Damaged(damage)) => AttemptsError::Damaged(damage.to_string()),
        ReadingError::Busy => AttemptsError::Busy,
        ReadingError::Read(_) | ReadingError::Ended => AttemptsError::Unavailable(error.to_string()),
    }
}

fn unanswered(error: &AskError) -> AttemptsError {
    match error {
        AskError::Reading(error) => unread(error),
        _ => AttemptsError::Unavailable(error.to_string()),
    }
}

impl http::Queues for QueuesPort {
    fn ledger_end(&self) -> LedgerOffset {
        self.queues.ledger_end()
    }

    fn first_waiting(&self, account: AccountId) -> Option<EventOffset> {
        self.queues.first_waiting(account)
    }

    fn status(&self, hook: HookId) -> Answer<'_, Option<QueueStatus>> {
        Box::pin(async move {
            self.queues.status(hook).await.unwrap_or_else(|error| {
                tracing::warn!(hook_id = %hook, %error, "the status of a queue cannot be read");
                None
            })
        })
    }

    fn statuses<'a>(
        &'a self,
        hooks: &'a [Arc<Hook>],
    ) -> Answer<'a, Result<Vec<Option<QueueStatus>>, AttemptsError>> {
        Box::pin(async move { self.queues.statuses(hooks).await.map_err(|error| unanswered(&error)) })
    }

    fn pulse(&self, hook: HookId) -> Option<Pulse> {
        self.queues.pulse(hook)
    }

    fn hour(&self, hook: HookId) -> Vec<Minute> {
        self.queues.hour(hook)
    }

    fn replay(&self, request: ReplayRequest) -> Answer<'_, Result<ReplayStatus, ReplayError>> {
        Box::pin(async move { self.queues.replay(request).await.map_err(|error| refused(&error)) })
    }

    fn replays(&self, hook: HookId) -> Answer<'_, Vec<ReplayStatus>> {
        Box::pin(async move {
            self.queues.replays(hook).await.unwrap_or_else(|error| {
                tracing::warn!(hook_id = %hook, %error, "replays cannot be listed");
                Vec::new()
            })
        })
    }

    fn cancel(
        &self,
        hook: HookId,
        replay: ReplayId,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>> {
        Box::pin(async move { self.queues.cancel(hook, replay, by).await.map_err(|error| refused(&error)) })
    }

    fn hold(
        &self,
        hook: HookId,
        replay: ReplayId,
        state: ReplayState,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>> {
        Box::pin(
            async move { self.queues.hold(hook, replay, state, by).await.map_err(|error| refused(&error)) },
        )
    }

    fn record(&self, offset: EventOffset) -> Answer<'_, Result<Option<Bytes>, AttemptsError>> {
        Box::pin(async move { self.history.record(offset).await.map_err(|error| unread(&error)) })
    }

    fn reset_failures(&self, hooks: Vec<HookId>) -> Answer<'_, usize> {
        Box::pin(async move { self.queues.reset_failures(hooks).await.unwrap_or(0) })
    }

    fn probe(&self, hook: HookId) -> Answer<'_, bool> {
        Box::pin(async move { self.queues.probe(hook).await.unwrap_or(false) })
    }

    fn search(&self, query: EventQuery) -> Answer<'_, Result<EventPage, AttemptsError>> {
        Box::pin(async move { self.history.search(query).await.map_err(|error| unread(&error)) })
    }

    fn event(&self, offset: EventOffset) -> Answer<'_, Result<Option<EventRow>, AttemptsError>> {
        Box::pin(async move { self.history.event(offset).await.map_err(|error| unread(&error)) })
    }

    fn deliveries(&self, query: DeliveriesQuery) -> Answer<'_, Result<EventDeliveries, AttemptsError>> {
        Box::pin(async move { self.history.deliveries(query).await.map_err(|error| unread(&error)) })
    }

    fn delivery(
        &self,
        account: AccountId,
        hook: HookId,
        offset: EventOffset,
    ) -> Answer<'_, Result<EventDeliveries, AttemptsError>> {
        Box::pin(
            async move { self.history.delivery(account, hook, offset).await.map_err(|error| unread(&error)) },
        )
    }

    fn hook_at(
        &self,
        hook: HookId,
        offset: EventOffset,
        attempt: Option<u16>,
    ) -> Answer<'_, Result<Option<Hook>, AttemptsError>> {
        Box::pin(
            async move { self.history.hook_at(hook, offset, attempt).await.map_err(|error| unread(&error)) },
        )
    }

    fn waiting(
        &self,
        account: AccountId,
        query: WaitingQuery,
    ) -> Answer<'_, Result<WaitingPage, AttemptsError>> {
        Box::pin(async move {
            let part = self.queues.waiting(query).await;
            let Some(part) = part.map_err(|error| unanswered(&error))? else {
                return Ok(WaitingPage::default());
            };
            self.history.waiting(account, query, part).await.map_err(|error| unread(&error))
        })
    }

    fn dead_left(&self, hooks: Vec<HookId>) -> Answer<'_, Result<Vec<Option<DeadLeft>>, AttemptsError>> {
        Box::pin(async move { self.history.dead_left(hooks).await.map_err(|error| unread(&error)) })
    }

    fn dead(&self, query: DeadQuery) -> Answer<'_, Result<DeadList, AttemptsError>> {
        Box::pin(async move { self.history.dead(query).await.map_err(|error| unread(&error)) })
    }

    fn dead_rows(&self, hook: HookId, dead: Vec<Dead>) -> Answer<'_, Result<Vec<DeadRow>, AttemptsError>> {
        Box::pin(async move { self.history.dead_rows(hook, dead).await.map_err(|error| unread(&error)) })
    }

    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Result<AttemptPage, AttemptsError>> {
        Box::pin(async move { self.history.attempts(query).await.map_err(|error| unread(&error)) })
    }
}
