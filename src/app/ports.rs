//! Ports: the steps as the API uses them. They only translate and make no decisions.

use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::commands::{CommandError, Commands, Websockets};
use crate::delivery::{Tester, signature};
use crate::http::{self, Answer, Fault, NewEvent, Readiness, Signed, SubmitError as HttpSubmitError};
use crate::ingest::{FromHttp, Ingest, KeyError, Prepared, RequestKey, SubmitError};
use crate::kazoo::Command;
use crate::live::{ChannelCommand, Commander, SessionView, Sessions};
use crate::log::ReaderOf;
use crate::model::{
    AccountId, EventId, EventOffset, HandedIn, Hook, HookId, LogIds, NumberedAttempt, Received, SentRequest,
    Tested,
};
use crate::tasks::Tasks;

use super::share::AccountShare;
use super::watch::StorageHealth;

/// Tests of hooks.
pub(super) struct TesterPort(pub(super) Tester);

/// Ingest.
#[derive(Debug, Clone)]
pub(super) struct EventsPort {
    pub(super) ingest: Ingest,
    pub(super) events: ReaderOf<EventOffset>,
    pub(super) log_ids: LogIds,
    pub(super) share: AccountShare,
    pub(super) tasks: Tasks,
}

/// Channels.
#[derive(Debug, Clone)]
pub(super) struct ChannelsPort(pub(super) Commands);

/// Websocket sessions, as KAZOO's API requests them over the broker.
pub(super) struct WebsocketsPort(pub(super) Sessions);

/// Health.
pub(super) struct HealthPort(pub(super) StorageHealth);

impl http::Tester for TesterPort {
    fn test(&self, hook: Arc<Hook>, record: Bytes) -> Answer<'_, Option<Tested>> {
        Box::pin(self.0.test(hook, record))
    }

    fn received(&self, account: AccountId, hook: HookId) -> Vec<Received> {
        self.0.received(account, hook)
    }

    fn compose(
        &self,
        hook: Arc<Hook>,
        numbered: NumberedAttempt,
        record: &[u8],
    ) -> Result<SentRequest, String> {
        self.0.compose(hook, numbered, record)
    }

    fn signature(&self, hook: &Hook, request: &Signed<'_>) -> Option<String> {
        let signed = signature(&hook.secrets, request.id, request.timestamp_s, request.body);
        (!signed.is_empty()).then_some(signed)
    }
}

impl http::Events for EventsPort {
    fn submit(
        &self,
        events: Vec<NewEvent>,
        key: Option<http::RequestKey>,
    ) -> Answer<'_, Result<Vec<EventId>, HttpSubmitError>> {
        Box::pin(async move {
            let Some(http::RequestKey { account, key }) = key else {
                return self.store(events, None).await.map(|offsets| self.ids(offsets));
            };
            let request = RequestKey { account, key, digest: digest_of(&events) };
            match self.ingest.requests().begin(&request) {
                Ok(Some(offsets)) => return Ok(self.ids(offsets)),
                Ok(None) => {}
                Err(KeyError::UnderWay) => return Err(HttpSubmitError::KeyUnderWay),
                Err(KeyError::OtherEvents) => return Err(HttpSubmitError::KeyOfOthers),
            }
            // A separate task: a client that disconnects drops this future, but stored events must always be known
            // under their key.
            let port = self.clone();
            let stored = self.tasks.spawn("request with a key", async move {
                let stored = port.store(events, Some(&request)).await;
                port.ingest.requests().end(&request, stored.as_ref().ok().cloned());
                stored
            });
            let gone = |_| HttpSubmitError::Unavailable("the program is ending".to_owned());
            stored.await.map_err(gone)?.map(|offsets| self.ids(offsets))
        })
    }

    fn end(&self) -> EventOffset {
        self.events.end()
    }
}

/// A digest that distinguishes the events of one request from those of another.
fn digest_of(events: &[NewEvent]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for event in events {
        context.update(&(event.body.len() as u64).to_be_bytes());
        context.update(&event.body);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

impl EventsPort {
    fn ids(&self, offsets: Range<EventOffset>) -> Vec<EventId> {
        (offsets.start.0..offsets.end.0).map(|offset| self.log_ids.event_id(EventOffset(offset))).collect()
    }

    async fn store(
        &self,
        events: Vec<NewEvent>,
        request: Option<&RequestKey>,
    ) -> Result<Range<EventOffset>, HttpSubmitError> {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let handed_in = request.map(|request| HandedIn {
            account: request.account,
            key: &request.key,
            digest: request.digest,
            count,
        });
        let bytes = events.iter().map(|event| event.body.len() as u64).sum();
        let prepared: Result<Vec<_>, SubmitError> = events
            .into_iter()
            .enumerate()
            .map(|(index, event)| {
                let handed_in = handed_in.filter(|_| index == 0);
                let NewEvent { account, body, trace } = event;
                self.ingest.prepare_http(FromHttp { index, body, default: account, trace, handed_in })
            })
            .collect();
        let mut owners: Vec<_> = prepared.iter().flatten().filter_map(Prepared::account).collect();
        owners.sort_unstable();
        owners.dedup();
        if owners.iter().any(|owner| self.share.is_used_up(*owner, bytes)) {
            return Err(HttpSubmitError::OverShare);
        }
        let offsets = match prepared {
            Ok(prepared) => self.ingest.append(prepared).await,
            Err(error) => Err(error),
        };
        offsets.map_err(not_taken)
    }
}

fn not_taken(error: SubmitError) -> HttpSubmitError {
    match error {
        SubmitError::Full => HttpSubmitError::Full,
        SubmitError::Busy => HttpSubmitError::Busy,
        SubmitError::TooLarge { index, bytes, max } => HttpSubmitError::TooLarge { index, bytes, max },
        other => HttpSubmitError::Unavailable(other.to_string()),
    }
}

impl http::Channels for ChannelsPort {
    fn list(&self, account: AccountId) -> Answer<'_, Result<Vec<Map<String, Value>>, CommandError>> {
        Box::pin(self.0.list(account))
    }

    fn read<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
    ) -> Answer<'a, Result<Map<String, Value>, CommandError>> {
        Box::pin(self.0.read(account, call_id))
    }

    fn command<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
        command: &'a Command,
    ) -> Answer<'a, Result<(), CommandError>> {
        Box::pin(self.0.command(account, call_id, command))
    }
}

impl Commander for ChannelsPort {
    fn command(&self, wanted: ChannelCommand) -> BoxFuture<'static, Result<(), String>> {
        let commands = self.0.clone();
        Box::pin(async move {
            let ChannelCommand { account, call_id, command } = wanted;
            commands.command(account, &call_id, &command).await.map_err(|error| error.for_client())
        })
    }
}

impl Websockets for WebsocketsPort {
    fn find(&self, accounts: &[AccountId], id: Option<&str>) -> Vec<Map<String, Value>> {
        let sessions = if accounts.is_empty() && id.is_some() { self.0.all() } else { self.0.of(accounts) };
        let found = sessions.iter().filter(|session| id.is_none_or(|id| session.id == id));
        found.map(SessionView::row).collect()
    }
}

impl http::Health for HealthPort {
    fn readiness(&self) -> Answer<'_, Readiness> {
        Box::pin(async move {
            // Checks the writers first, because they look for free disk space when they are asked for a sign of life.
            let silent = self.0.silent().await;
            let (mut faults, notices) = self.0.look();
            faults.extend(silent);
            let fault = |(what, reason): (&str, String)| Fault { what: what.to_owned(), reason };
            Readiness {
                faults: faults.into_iter().map(fault).collect(),
                notices: notices.into_iter().map(fault).collect(),
            }
        })
    }
}
