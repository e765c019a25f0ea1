//! Test doubles of the ports: requests are recorded, responses are canned.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use serde_json::{Map, Value, json};

use crate::commands::CommandError;
use crate::http::{
    Answer, AttemptsError, Channels, Events, Fault, Flow, Health, Hour, ModeRefusal, ModeStart, ModeStatus,
    NewEvent, Operator, Queues, Readiness, ReplayError, RequestKey, Retained, Setting, Signed, Status,
    SubmitError, Tester, Visitor,
};
use crate::kazoo::Command;
use crate::live::{ChannelCommand, Commander, HookQueue, HookSource, Scopes};
use crate::log::SegmentRange;
use crate::model::{
    AccountId, Actor, AttemptNewsPage, AttemptPage, AttemptQuery, AttemptRow, Border, Dead, DeadLeft,
    DeadList, DeadQuery, DeadRow, DeliveriesQuery, EventDeliveries, EventId, EventNewsPage, EventOffset,
    EventPage, EventQuery, EventRow, Hook, HookId, LedgerOffset, Minute, Mode, NumberedAttempt, Pulse,
    QueueState, QueueStatus, Received, ReplayId, ReplayPoint, ReplayRequest, ReplayState, ReplayStatus,
    SentRequest, Tested, WaitingPage, WaitingQuery,
};
use crate::queues::Survey;

#[derive(Debug, Default)]
pub(in crate::http) struct Recorded {
    pub(super) events: Mutex<Vec<NewEvent>>,
    pub(super) refuse: Mutex<Option<SubmitError>>,
    pub(super) replays: Mutex<Vec<(ReplayRequest, ReplayStatus)>>,
    pub(super) attempts: Mutex<Vec<AttemptQuery>>,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) survey: Mutex<Survey>,
    /// Whether the ledger cannot be read.
    pub(super) broken: Mutex<bool>,
    /// Commands for channels, with the account and the call.
    pub(super) commands: Mutex<Vec<(AccountId, String, Command)>>,
    /// The error of all requests about channels, if any.
    pub(super) no_channels: Mutex<Option<CommandError>>,
    /// The number of attempts in the ledger, at positions from 0.
    pub(super) ledger: Mutex<u64>,
}

fn now<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Events for Recorded {
    fn submit(
        &self,
        events: Vec<NewEvent>,
        _key: Option<RequestKey>,
    ) -> Answer<'_, Result<Vec<EventId>, SubmitError>> {
        if let Some(error) = self.refuse.lock().expect("not poisoned").clone() {
            return now(Err(error));
        }
        let mut all = self.events.lock().expect("not poisoned");
        let first = all.len() as u64;
        let ids =
            (0..events.len() as u64).map(|n| EventId { log: 1, offset: EventOffset(first + n) }).collect();
        all.extend(events);
        now(Ok(ids))
    }

    fn end(&self) -> EventOffset {
        EventOffset(self.events.lock().expect("not poisoned").len() as u64)
    }
}

impl Recorded {
    fn about_channels<T>(&self, answer: T) -> Result<T, CommandError> {
        self.no_channels.lock().expect("not poisoned").clone().map_or(Ok(answer), Err)
    }
}

impl Commander for Recorded {
    fn command(&self, wanted: ChannelCommand) -> BoxFuture<'static, Result<(), String>> {
        self.commands.lock().expect("not poisoned").push((wanted.account, wanted.call_id, wanted.command));
        Box::pin(std::future::ready(Ok(())))
    }
}

impl HookSource for Recorded {
    fn ledger(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn attempts(&self, from: LedgerOffset, _: Arc<Scopes>) -> BoxFuture<'_, Result<AttemptNewsPage, String>> {
        Box::pin(std::future::ready(Ok(AttemptNewsPage { news: Vec::new(), next: from })))
    }

    fn events(&self, from: EventOffset, _: Arc<Scopes>) -> BoxFuture<'_, Result<EventNewsPage, String>> {
        Box::pin(std::future::ready(Ok(EventNewsPage { news: Vec::new(), next: from })))
    }

    fn queues(&self, _: Arc<Scopes>) -> BoxFuture<'_, Result<Vec<HookQueue>, String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

impl Channels for Recorded {
    fn list(&self, _account: AccountId) -> Answer<'_, Result<Vec<Map<String, Value>>, CommandError>> {
        let row = json!({"uuid": "c1", "answered": true}).as_object().cloned().expect("an object");
        now(self.about_channels(vec![row]))
    }

    fn read<'a>(
        &'a self,
        _account: AccountId,
        call_id: &'a str,
    ) -> Answer<'a, Result<Map<String, Value>, CommandError>> {
        let row = json!({"call_id": call_id}).as_object().cloned().expect("an object");
        now(self.about_channels(row))
    }

    fn command<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
        command: &'a Command,
    ) -> Answer<'a, Result<(), CommandError>> {
        let mut commands = self.commands.lock().expect("not poisoned");
        commands.push((account, call_id.to_owned(), command.clone()));
        now(self.about_channels(()))
    }
}

impl Health for Recorded {
    fn readiness(&self) -> Answer<'_, Readiness> {
        now(Readiness { faults: self.faults.lock().expect("not poisoned").clone(), notices: Vec::new() })
    }
}

impl Operator for Recorded {
    fn metrics(&self, _: Visitor) -> Answer<'_, String> {
        now("# EOF\n".to_owned())
    }

    fn status(&self) -> Answer<'_, Status> {
        now(Status {
            started_us: super::NOW_S * 1_000_000 - 5_000_000,
            logs: Vec::new(),
            data_dir: "data".to_owned(),
            free_bytes: Some(7),
            brokers: Vec::new(),
            unknown: crate::queues::UnknownCounts::default(),
            sync: None,
        })
    }

    fn survey(&self) -> Answer<'_, Result<Survey, String>> {
        now(Ok(self.survey.lock().expect("not poisoned").clone()))
    }

    fn hour(&self) -> Hour {
        let last = Flow { at_us: super::NOW_S * 1_000_000, received: 3, delivered: 2, failed: 1 };
        Hour { minutes: vec![last], last }
    }

    fn segments(&self, log: &str) -> Option<Vec<SegmentRange>> {
        let segment = |n: u64| SegmentRange {
            first: n * 10,
            end: n * 10 + 10,
            bytes: 100,
            created_us: super::NOW_S * 1_000_000,
            closed: n < 2,
        };
        (log == "events").then(|| (0..3).map(segment).collect())
    }

    fn mode(&self) -> Answer<'_, ModeStatus> {
        let borders = vec![Border { from: EventOffset(0), is_ours: true }];
        now(ModeStatus { mode: Mode::Live, configured: Mode::Live, since_us: None, borders, held: None })
    }

    fn change_mode(
        &self,
        _: Mode,
        _: ModeStart,
        _: Option<Actor>,
    ) -> Answer<'_, Result<ModeStatus, ModeRefusal>> {
        now(Err(ModeRefusal::Unavailable("nothing is behind this".to_owned())))
    }

    fn configuration(&self) -> Answer<'_, Vec<Setting>> {
        let key = "http.page_size".to_owned();
        now(vec![Setting { key, value: 50.into(), changed: false, reloadable: false }])
    }

    fn retain(&self) -> Answer<'_, Vec<Retained>> {
        let events = Retained { name: "events", first: Ok((3, 10)) };
        now(vec![events, Retained { name: "ledger", first: Err("closed".to_owned()) }])
    }
}

impl Tester for Recorded {
    fn test(&self, _: Arc<Hook>, _: Bytes) -> Answer<'_, Option<Tested>> {
        now(None)
    }

    fn received(&self, _: AccountId, _: HookId) -> Vec<Received> {
        Vec::new()
    }

    fn compose(&self, _: Arc<Hook>, _: NumberedAttempt, _: &[u8]) -> Result<SentRequest, String> {
        Err("nothing to send".to_owned())
    }

    fn signature(&self, _: &Hook, _: &Signed<'_>) -> Option<String> {
        None
    }
}

impl Queues for Recorded {
    fn ledger_end(&self) -> LedgerOffset {
        LedgerOffset(0)
    }

    fn status(&self, _hook: HookId) -> Answer<'_, Option<QueueStatus>> {
        now(Some(QueueStatus {
            state: QueueState::AutoDisabled,
            paused: false,
            cursor: EventOffset(3),
            log_end: EventOffset(9),
            waiting: 6,
            waiting_exact: true,
            in_flight: 0,
            dead: 1,
            had_dead: true,
            recent_failures: 6,
            oldest_waiting_age_ms: Some(1500),
            next_try_at_us: Some(super::NOW_S * 1_000_000),
            disable_reason: Some("too many failed attempts".into()),
            gap: None,
        }))
    }

    fn statuses<'a>(
        &'a self,
        hooks: &'a [Arc<Hook>],
    ) -> Answer<'a, Result<Vec<Option<QueueStatus>>, AttemptsError>> {
        now(Ok(hooks.iter().map(|_| None).collect()))
    }

    fn pulse(&self, _hook: HookId) -> Option<Pulse> {
        None
    }

    fn hour(&self, _hook: HookId) -> Vec<Minute> {
        Vec::new()
    }

    fn replay(&self, request: ReplayRequest) -> Answer<'_, Result<ReplayStatus, ReplayError>> {
        let from_offset =
            if let ReplayPoint::Offset(offset) = request.from { offset } else { EventOffset(0) };
        let status = ReplayStatus {
            id: request.id,
            hook_id: request.hook,
            state: ReplayState::Running,
            dry_run: request.dry_run,
            only: request.only,
            filter: request.filter.clone(),
            from_offset,
            until_offset: EventOffset(9),
            next_offset: from_offset,
            matched: 0,
            delivered: 0,
            dead: 0,
            started_us: super::NOW_S * 1_000_000,
            ended_us: None,
        };
        self.replays.lock().expect("not poisoned").push((request, status.clone()));
        now(Ok(status))
    }

    fn replays(&self, hook: HookId) -> Answer<'_, Vec<ReplayStatus>> {
        let all = self.replays.lock().expect("not poisoned");
        now(all.iter().filter(|(r, _)| r.hook == hook).map(|(_, status)| status.clone()).collect())
    }

    fn cancel(
        &self,
        hook: HookId,
        replay: ReplayId,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>> {
        self.hold(hook, replay, ReplayState::Cancelled, by)
    }

    fn hold(
        &self,
        hook: HookId,
        replay: ReplayId,
        state: ReplayState,
        _by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>> {
        let mut all = self.replays.lock().expect("not poisoned");
        let found = all.iter_mut().find(|(request, _)| request.hook == hook && request.id == replay);
        now(Ok(found.map(|(_, status)| {
            status.state = state;
            status.clone()
        })))
    }

    fn record(&self, _: EventOffset) -> Answer<'_, Result<Option<Bytes>, AttemptsError>> {
        now(Ok(None))
    }

    fn reset_failures(&self, hooks: Vec<HookId>) -> Answer<'_, usize> {
        Box::pin(async move { hooks.len() })
    }

    fn probe(&self, _: HookId) -> Answer<'_, bool> {
        now(true)
    }

    fn search(&self, _: EventQuery) -> Answer<'_, Result<EventPage, AttemptsError>> {
        now(Ok(EventPage::default()))
    }

    fn event(&self, _: EventOffset) -> Answer<'_, Result<Option<EventRow>, AttemptsError>> {
        now(Ok(None))
    }

    fn deliveries(&self, _: DeliveriesQuery) -> Answer<'_, Result<EventDeliveries, AttemptsError>> {
        now(Ok(EventDeliveries::default()))
    }

    fn delivery(
        &self,
        _: AccountId,
        _: HookId,
        _: EventOffset,
    ) -> Answer<'_, Result<EventDeliveries, AttemptsError>> {
        now(Ok(EventDeliveries::default()))
    }

    fn hook_at(
        &self,
        _: HookId,
        _: EventOffset,
        _: Option<u16>,
    ) -> Answer<'_, Result<Option<Hook>, AttemptsError>> {
        now(Ok(None))
    }

    fn waiting(&self, _: AccountId, _: WaitingQuery) -> Answer<'_, Result<WaitingPage, AttemptsError>> {
        now(Ok(WaitingPage::default()))
    }

    fn dead_left(&self, hooks: Vec<HookId>) -> Answer<'_, Result<Vec<Option<DeadLeft>>, AttemptsError>> {
        now(Ok(vec![None; hooks.len()]))
    }

    fn dead(&self, _query: DeadQuery) -> Answer<'_, Result<DeadList, AttemptsError>> {
        now(Ok(DeadList::default()))
    }

    fn dead_rows(&self, _: HookId, _: Vec<Dead>) -> Answer<'_, Result<Vec<DeadRow>, AttemptsError>> {
        now(Ok(Vec::new()))
    }

    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Result<AttemptPage, AttemptsError>> {
        if *self.broken.lock().expect("not poisoned") {
            return now(Err(AttemptsError::Unavailable("the ledger is poisoned".into())));
        }
        let end = *self.ledger.lock().expect("not poisoned");
        let start = query.start.map_or(end, |start| (start + 1).0).min(end);
        let mut positions = (0..start).rev();
        let document = |position| json!({"n": position}).as_object().cloned().unwrap_or_default();
        let rows = positions.by_ref().take(query.limit);
        let rows: Vec<_> = rows
            .map(|position| AttemptRow { position: LedgerOffset(position), document: document(position) })
            .collect();
        self.attempts.lock().expect("not poisoned").push(query);
        now(Ok(AttemptPage { looked_at: rows.len(), rows, next: positions.next().map(LedgerOffset) }))
    }
}
