//! The API over a real state, called at the router; one test uses the socket.

mod accounts;
mod admin;
mod attempts;
mod channels;
mod checks;
mod envelope;
mod events;
mod foreign;
mod hooks;
mod lists;
mod log_in;
mod ports;
mod replays;
mod samples;
mod strange;
mod tenancy;
mod websockets;
mod wire;

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::request::Request;
use super::response::{Body, Response};
use super::{Api, ApiOptions, Ports};
use crate::auth::{self, Auth};
use crate::disk::OsDisk;
use crate::live::{self, Live};
use crate::log::ReaderOf;
use crate::model::Clock;
use crate::state::{self, OpenedState, State};
use crate::tasks::{Stop, Tasks};
use ports::Recorded;

/// The configured master key of all tests.
pub(super) const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A time that is easy to count from: 2025-10-09T08:53:20Z.
pub(super) const NOW_S: u64 = 1_760_000_000;

/// A running API with a new state.
pub(super) struct TestApi {
    pub(super) api: Api,
    pub(super) recorded: Arc<Recorded>,
    pub(super) master: String,
    token: String,
    _dir: TempDir,
    stop: Stop,
    _task: JoinHandle<()>,
}

/// A parsed response.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// The status, short name and details of a refusal.
    pub(super) fn refusal(&self) -> (u16, &str, &Value) {
        (self.status, self.body["message"].as_str().unwrap_or_default(), &self.body["data"])
    }
}

async fn open_state(dir: &Path, stop: &Stop) -> (State, JoinHandle<()>) {
    let tasks = Tasks::new();
    let mut options = state::StateOptions::new(dir);
    options.master_api_key = Some(KEY.into());
    let opened = State::open(Arc::new(OsDisk), options, Clock::system(), &tasks).await;
    let OpenedState { state, task, mut changes, .. } = opened.expect("the state opens");
    tasks.spawn("changes", async move { while changes.recv().await.is_some() {} });
    (state, tasks.spawn("state", task.run(stop.clone())))
}

impl TestApi {
    pub(super) async fn start() -> Self {
        Self::start_with(ApiOptions::default()).await
    }

    pub(super) async fn start_with(options: ApiOptions) -> Self {
        Self::guarded(options, auth::AuthOptions::default()).await
    }

    /// With other settings of authentication.
    pub(super) async fn guarded(mut options: ApiOptions, auth: auth::AuthOptions) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the state");
        let stop = Stop::new();
        let (state, task) = open_state(dir.path(), &stop).await;
        let master = state.settings().master.to_string();
        let recorded = Arc::new(Recorded::default());
        options.listen = ([127, 0, 0, 1], 0).into();
        let clock = Clock::new(|| NOW_S * 1_000_000);
        let auth = auth::AuthOptions { steady: clock.clone(), ..auth };
        let auth = Auth::new(state.clone(), clock.clone(), Tasks::new(), auth);
        let (commander, hooks) = (recorded.clone(), recorded.clone());
        let parts = live::Parts { state: state.clone(), auth: auth.clone(), commander, hooks };
        let log = ReaderOf::new(state.journal().clone());
        let (live, _) = Live::new(parts, log, clock.clone(), Tasks::new(), live::LiveOptions::default());
        let ports = Ports {
            queues: recorded.clone(),
            events: recorded.clone(),
            tester: recorded.clone(),
            health: recorded.clone(),
            operator: recorded.clone(),
            channels: recorded.clone(),
            live,
        };
        let api = Api::new(state, auth, ports, clock, options);
        let mut test = Self { api, recorded, master, token: String::new(), _dir: dir, stop, _task: task };
        test.token = test.login(KEY).await;
        test
    }

    /// A token for an API key.
    pub(super) async fn login(&self, key: &str) -> String {
        let answer = self.send("PUT", "/v2/api_auth", &json!({"api_key": key}), &[]).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["auth_token"].as_str().expect("a token").to_owned()
    }

    /// A request of the master account.
    pub(super) async fn call(&self, method: &str, path: &str, data: Value) -> Answered {
        self.call_as(&self.token, method, path, data).await
    }

    pub(super) async fn call_as(&self, token: &str, method: &str, path: &str, data: Value) -> Answered {
        self.send(method, path, &data, &[("x-auth-token", token)]).await
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.call("GET", path, Value::Null).await
    }

    async fn send(&self, method: &str, path: &str, data: &Value, headers: &[(&str, &str)]) -> Answered {
        let body = if data.is_null() { String::new() } else { json!({"data": data}).to_string() };
        self.raw(method, path, &body, headers).await
    }

    pub(super) async fn raw(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answered {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let named = |name: &str| HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (named(name), HeaderValue::from_str(value).expect("a header value")))
            .collect();
        let mut request = Request::new(method, path, query, headers);
        request.body = body.to_owned().into();
        let Response { status, headers, body, room: _ } = self.api.answer(request, Ok(())).await;
        let body = text(body).await;
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Answered { status, body, headers }
    }

    /// A child of the master account, with a token.
    pub(super) async fn account(&self, name: &str) -> (String, String) {
        let created = self.call("PUT", "/v2/accounts", json!({"name": name})).await;
        assert_eq!(created.status, 201, "{created:?}");
        let id = created.body["data"]["id"].as_str().expect("an id").to_owned();
        let token = self.key_of(&id).await;
        (id, token)
    }

    /// A token for a new key of an account.
    pub(super) async fn key_of(&self, account: &str) -> String {
        let key = self.call("PUT", &format!("/v2/accounts/{account}/api_keys"), json!({"name": "k"})).await;
        self.login(key.body["data"]["api_key"].as_str().expect("a key")).await
    }

    /// A hook of an account. Returns its id.
    pub(super) async fn hook(&self, account: &str, name: &str) -> String {
        let path = format!("/v2/accounts/{account}/webhooks");
        let created = self.call("PUT", &path, hook(name)).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.body["data"]["id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for TestApi {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reads a body to its end.
pub(super) async fn text(body: Body) -> String {
    let pieces = match body {
        Body::Text(text) => return text,
        Body::Fixed(text) => return text.to_owned(),
        Body::Stream(pieces) => {
            pieces.map_ok(|piece| piece.to_vec()).try_concat().await.expect("not cut off")
        }
    };
    String::from_utf8(pieces).expect("text")
}

/// The data of a valid hook.
pub(super) fn hook(name: &str) -> Value {
    json!({"name": name, "uri": "https://example.com/hook", "hook": "channel_create"})
}
