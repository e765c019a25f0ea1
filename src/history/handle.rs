//! The handle of the history: all reads of the API about events and deliveries, each in a blocking task.

use bytes::Bytes;
use tokio::sync::watch;

use super::dead_index::DeadIndex;
use super::reader::HistoryReader;
use crate::log::ReadError;
use crate::model::{
    AccountId, AttemptNewsPage, AttemptPage, AttemptQuery, Dead, DeadLeft, DeadList, DeadQuery, DeadRow,
    DeliveriesQuery, EventDeliveries, EventNewsPage, EventOffset, EventPage, EventQuery, EventRow,
    EventScope, Hook, HookId, LedgerOffset, WaitingPage, WaitingPart, WaitingQuery,
};
use crate::queues::{Logs, ReadingError, Readings};

/// The steps for which dead deliveries are counted without a pause: about a second.
const STEPS: usize = 64;

/// A cheap handle. Long reads of an account wait for that account's other reads, but not for other accounts'.
#[derive(Debug, Clone)]
pub struct History {
    reader: HistoryReader,
    readings: Readings,
}

impl History {
    /// The history in these logs. `shows_successes`: whether successful attempts are listed.
    #[must_use]
    pub fn new(logs: Logs, readings: Readings, shows_successes: bool) -> Self {
        Self { reader: HistoryReader { logs, shows_successes, dead: DeadIndex::default() }, readings }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(HistoryReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadingError> {
        let reader = self.reader.clone();
        self.readings.blocking(move || work(reader)).await
    }

    /// A page of attempts.
    pub async fn attempts(&self, query: AttemptQuery) -> Result<AttemptPage, ReadingError> {
        let _read = self.readings.account_read(query.account).await?;
        self.blocking(move |reader| reader.page(&query)).await
    }

    /// The attempts of watched hooks that one bounded read finds, from an offset of the ledger on.
    pub async fn attempts_since(
        &self,
        from: LedgerOffset,
        watched: impl Fn(AccountId, HookId) -> bool + Send + Sync + 'static,
    ) -> Result<AttemptNewsPage, ReadingError> {
        // One read for the clients of all accounts, so it takes no account's turn.
        self.blocking(move |reader| reader.news(from, &watched)).await
    }

    /// Events of these accounts (`None`: of all) from an offset of the log on: as many as a bounded reading finds.
    pub async fn events_since(
        &self,
        from: EventOffset,
        accounts: Option<Vec<AccountId>>,
    ) -> Result<EventNewsPage, ReadingError> {
        self.blocking(move |reader| reader.event_news(from, accounts.as_deref())).await
    }

    /// The end of the ledger, as it grows.
    #[must_use]
    pub fn ledger_grows(&self) -> watch::Receiver<u64> {
        self.reader.logs.ledger.subscribe()
    }

    /// The hook as it was at an attempt of a delivery, or at the last one if `attempt` is `None`, without secrets. `None`:
    /// there is no such attempt, or it is no longer known.
    pub async fn hook_at(
        &self,
        hook: HookId,
        offset: EventOffset,
        attempt: Option<u16>,
    ) -> Result<Option<Hook>, ReadingError> {
        self.blocking(move |reader| reader.hook_at(hook, offset, attempt)).await
    }

    /// A page of events.
    pub async fn search(&self, query: EventQuery) -> Result<EventPage, ReadingError> {
        let _read = match query.scope {
            EventScope::Account(account) | EventScope::QuarantineOf(account) => {
                Some(self.readings.account_read(account).await?)
            }
            // The quarantine of all accounts is not the read of one account.
            EventScope::Quarantine => None,
        };
        self.blocking(move |reader| reader.search(&query)).await
    }

    /// One event with its body.
    pub async fn event(&self, offset: EventOffset) -> Result<Option<EventRow>, ReadingError> {
        // One record is read quickly, so it does not wait for the long reads of its account.
        self.blocking(move |reader| reader.event(offset)).await
    }

    /// A page of an event's deliveries to an account's hooks.
    pub async fn deliveries(&self, query: DeliveriesQuery) -> Result<EventDeliveries, ReadingError> {
        let _read = self.readings.account_read(query.account).await?;
        self.blocking(move |reader| reader.deliveries(&query)).await
    }

    /// The record of an event.
    pub async fn record(&self, offset: EventOffset) -> Result<Option<Bytes>, ReadingError> {
        self.blocking(move |reader| Ok(reader.logs.events.get(offset)?.map(|record| record.payload))).await
    }

    /// The delivery of an event to one hook.
    pub async fn delivery(
        &self,
        account: AccountId,
        hook: HookId,
        offset: EventOffset,
    ) -> Result<EventDeliveries, ReadingError> {
        let _read = self.readings.account_read(account).await?;
        self.blocking(move |reader| reader.delivery(hook, offset)).await
    }

    /// A hook's dead deliveries.
    pub async fn dead(&self, query: DeadQuery) -> Result<DeadList, ReadingError> {
        let _read = match self.reader.logs.state.hook(query.hook) {
            Some(hook) => Some(self.readings.account_read(hook.account).await?),
            None => None,
        };
        self.blocking(move |reader| reader.dead(&query)).await
    }

    /// A page of a hook's deliveries that have not ended, with what its queue says of them.
    pub async fn waiting(
        &self,
        account: AccountId,
        query: WaitingQuery,
        part: WaitingPart,
    ) -> Result<WaitingPage, ReadingError> {
        let _read = self.readings.account_read(account).await?;
        self.blocking(move |reader| reader.waiting(&query, &part)).await
    }

    /// How many dead deliveries of each hook are left: a bounded step towards the answer. `None`: not counted yet.
    pub async fn dead_left(&self, hooks: Vec<HookId>) -> Result<Vec<Option<DeadLeft>>, ReadingError> {
        let asked = hooks.clone();
        let left = self.blocking(move |reader| reader.dead.left(&reader.logs, &asked)).await?;
        let of_hooks = hooks.into_iter().zip(&left);
        let behind = of_hooks.filter(|(_, left)| left.is_none_or(|left| left.is_behind));
        let behind: Vec<HookId> = behind.map(|(hook, _)| hook).collect();
        if !behind.is_empty() && self.reader.dead.want(&behind) {
            self.readings.tasks().spawn("count dead deliveries", self.clone().count_dead());
        }
        Ok(left)
    }

    /// Reads the records that dead deliveries are counted from, so that the next request finds them counted. In steps, because
    /// requests have to wait while one is made, and not for long, because the program waits for it when it stops. If
    /// there is more to read by then, the next request starts this again.
    async fn count_dead(self) {
        for _ in 0..STEPS {
            match self.blocking(|reader| reader.dead.further(&reader.logs)).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "dead deliveries are not counted to the end");
                    break;
                }
            }
        }
        self.reader.dead.end_reading();
    }

    /// Rows for dead deliveries of a hook.
    pub async fn dead_rows(&self, hook: HookId, dead: Vec<Dead>) -> Result<Vec<DeadRow>, ReadingError> {
        self.blocking(move |reader| Ok(reader.dead_rows(hook, &dead))).await
    }
}
