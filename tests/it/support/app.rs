//! The program under test, in this process, with free ports and its own data directory. Tests use it through
//! its API, like any client.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use switchhook::app::App;
use switchhook::config::{Config, Overlay, load};
use switchhook::ingest::Ingest;
use switchhook::model::Clock;
use switchhook::queues::Queues;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::websocket::Client;

/// The master account's API key in every test.
pub const MASTER_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A running program, and a client with the master account's token.
pub struct TestApp {
    pub api: Api,
    address: SocketAddr,
    websocket: SocketAddr,
    ingest: Ingest,
    queues: Queues,
    dir: Arc<TempDir>,
    settings: Vec<String>,
    clock: Clock,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

/// The settings of tests: fast retries and probes, loopback allowed, free ports; `settings` override them.
pub fn settings(dir: &Path, settings: &[String]) -> Vec<String> {
    let mut set = vec![
        format!("data_dir={}", dir.display()),
        "http.listen=127.0.0.1:0".to_owned(),
        "websocket.listen=127.0.0.1:0".to_owned(),
        format!("auth.master_api_key={MASTER_KEY}"),
        "delivery.allow_addresses=[\"127.0.0.0/8\"]".to_owned(),
        "retry.initial_ms=20".to_owned(),
        "retry.max_ms=200".to_owned(),
        "delivery.request_timeout_ms=2000".to_owned(),
        "shutdown_grace_ms=2000".to_owned(),
        "rate_limit.burst=0".to_owned(),
        "log.reserve_bytes=0".to_owned(),
        "ledger.reserve_bytes=0".to_owned(),
    ];
    // The whole suite can run with another number of shards; no test may depend on it.
    set.extend(std::env::var("SWITCHHOOK_TEST_SHARDS").map(|shards| format!("queues.shards={shards}")));
    set.extend_from_slice(settings);
    set
}

/// The configuration with these settings.
pub fn config(dir: &Path, more: &[String]) -> Config {
    load(&Overlay { set: settings(dir, more), ..Overlay::default() }).unwrap()
}

impl TestApp {
    /// Starts with the test configuration.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts with further settings (`section.key=value`).
    pub async fn with(settings: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let settings = settings.iter().map(|s| (*s).to_owned()).collect();
        Self::over(dir, settings, Clock::system()).await
    }

    /// Starts with a clock that the test sets.
    pub async fn with_clock(settings: &[&str], clock: Clock) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::over(dir, settings.iter().map(|s| (*s).to_owned()).collect(), clock).await
    }

    async fn over(dir: Arc<TempDir>, settings: Vec<String>, clock: Clock) -> Self {
        let app = App::build(config(dir.path(), &settings), clock.clone()).await.unwrap();
        let (address, websocket) = (app.http_addr(), app.websocket_addr());
        let (ingest, queues) = (app.ingest().clone(), app.queues().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        #[expect(clippy::disallowed_methods, reason = "the test is the one that waits for it")]
        let running = tokio::spawn(app.run(async move {
            // A dropped sender stops the program as well.
            let _dropped = stopped.await;
        }));
        let api = Api::log_in(address).await;
        Self {
            api,
            address,
            websocket,
            ingest,
            queues,
            dir,
            settings,
            clock,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// The handle of the queues, for tests of what the API does not offer.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// A client with the token of another API key.
    pub async fn client_with(&self, key: &str) -> Api {
        Api::log_in_with(self.address, key).await
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Api {
        Api::new(self.address)
    }

    /// A client with the token of a new plain user in a tenant's account.
    pub async fn user_of(&self, tenant: &Api, name: &str) -> Api {
        let password = "correct horse";
        let user = json!({
            "username": name, "password": password, "priv_level": "user", "first_name": "U", "last_name": "V",
        });
        let made = tenant.own("PUT", "/users", Some(json!({"data": user}))).await;
        assert_eq!(made.status, 201, "{made:?}");
        let account = tenant.own("GET", "", None).await;
        let data =
            json!({"credentials": credentials(name, password), "account_name": account.data()["name"]});
        let logged_in = self.anonymous().call("PUT", "/v2/user_auth", Some(json!({"data": data}))).await;
        assert_eq!(logged_in.status, 201, "{logged_in:?}");
        tenant.clone().with_token(logged_in.body["auth_token"].as_str().unwrap())
    }

    /// Submits events that name their accounts themselves, like messages of the broker; returns when they are on disk.
    pub async fn hand_in(&self, events: &[Value]) {
        let bodies = events.iter().map(|event| event.to_string().into()).collect();
        self.ingest.submit(bodies, self.api.account.parse().unwrap()).await.unwrap();
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of KAZOO's websocket port.
    pub fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    /// A websocket client with the master account's token.
    pub async fn connect(&self) -> Client {
        Client::connect(self.websocket, self.api.token()).await
    }

    /// Stops the program as SIGTERM does.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            tokio::time::timeout(Duration::from_secs(30), running)
                .await
                .expect("ends in time")
                .unwrap()
                .unwrap();
        }
    }

    /// Restarts the program on the same data, with other settings if given.
    pub async fn restart(&mut self, settings: Option<&[&str]>) {
        self.stop().await;
        if let Some(settings) = settings {
            self.settings = settings.iter().map(|s| (*s).to_owned()).collect();
        }
        *self = Self::over(self.dir.clone(), self.settings.clone(), self.clock.clone()).await;
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// A client of the API with a token.
#[derive(Clone)]
pub struct Api {
    base: String,
    token: String,
    /// The account that the token belongs to.
    pub account: String,
    client: reqwest::Client,
}

/// A response: status and envelope.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The envelope's `data`.
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }
}

impl Api {
    /// A client with the master account's token.
    pub async fn log_in(address: SocketAddr) -> Self {
        Self::log_in_with(address, MASTER_KEY).await
    }

    fn new(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base: format!("http://{address}"), token: String::new(), account: String::new(), client }
    }

    /// The same client with another token.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }

    /// A client with the token of an API key.
    pub async fn log_in_with(address: SocketAddr, key: &str) -> Self {
        let mut api = Self::new(address);
        let answer = api.call("PUT", "/v2/api_auth", Some(json!({"data": {"api_key": key}}))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["auth_token"].as_str().unwrap().clone_into(&mut api.token);
        answer.data()["account_id"].as_str().unwrap().clone_into(&mut api.account);
        api
    }

    /// Sends a request; `path` begins with `/`.
    pub async fn call(&self, verb: &str, path: &str, body: Option<Value>) -> Answer {
        self.try_call(verb, path, body).await.unwrap()
    }

    /// Sends a request with further headers.
    pub async fn call_with(
        &self,
        verb: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send(verb, path, body, headers).await.unwrap()
    }

    /// Sends a request to a program that may die before it responds.
    pub async fn try_call(&self, verb: &str, path: &str, body: Option<Value>) -> reqwest::Result<Answer> {
        self.send(verb, path, body, &[]).await
    }

    async fn send(
        &self,
        verb: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let method = reqwest::Method::from_bytes(verb.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.token.is_empty() {
            request = request.header("X-Auth-Token", &self.token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    /// Parses a response, whatever its status and form.
    pub async fn raw(&self, verb: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let method = reqwest::Method::from_bytes(verb.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in [("x-auth-token", self.token.as_str())].iter().chain(headers) {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().text().await.unwrap()
    }

    /// The program's base URL, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token of its requests.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The body of a response that is not an envelope.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        answer.text().await.unwrap()
    }

    /// Sends a request for a path below the client's own account.
    pub async fn own(&self, verb: &str, path: &str, body: Option<Value>) -> Answer {
        self.call(verb, &format!("/v2/accounts/{}{path}", self.account), body).await
    }

    /// The same client for the paths of an account below its own.
    pub fn below(&self, account: String) -> Self {
        Self { account, ..self.clone() }
    }

    /// Creates a hook; returns its id.
    pub async fn hook(&self, document: Value) -> String {
        self.hook_of(&self.account, document).await
    }

    /// Creates a hook of an account; returns its id. `name` and `hook` have defaults.
    pub async fn hook_of(&self, account: &str, mut document: Value) -> String {
        let fields = document.as_object_mut().unwrap();
        fields.entry("name").or_insert(json!("test"));
        fields.entry("hook").or_insert(json!("channel_create"));
        let answer = self
            .call("PUT", &format!("/v2/accounts/{account}/webhooks"), Some(json!({"data": document})))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["id"].as_str().unwrap().to_owned()
    }

    /// Creates an account below another; returns its id.
    pub async fn account_below(&self, parent: &str, name: &str) -> String {
        let body = json!({"data": {"name": name}});
        let answer = self.call("PUT", &format!("/v2/accounts/{parent}"), Some(body)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["id"].as_str().unwrap().to_owned()
    }

    /// Creates an account below the client's own, and a client with an API key of that account.
    pub async fn tenant(&self, name: &str) -> Self {
        self.tenant_and_key(name).await.0
    }

    /// Likewise; also returns the path of the API key.
    pub async fn tenant_and_key(&self, name: &str) -> (Self, String) {
        let account = self.account_below(&self.account, name).await;
        let keys = format!("/v2/accounts/{account}/api_keys");
        let made = self.call("PUT", &keys, Some(json!({"data": {"name": "test"}}))).await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |field: &str| made.data()[field].as_str().unwrap();
        let address = self.base.trim_start_matches("http://").parse().unwrap();
        (Self::log_in_with(address, text("api_key")).await, format!("{keys}/{}", text("id")))
    }

    /// Submits events for the client's own account; returns their offsets.
    pub async fn publish(&self, events: &[Value]) -> Vec<u64> {
        let answer = self.own("PUT", "/events", Some(json!({"data": events}))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.data()["offsets"].as_array().unwrap().iter().map(|o| o.as_u64().unwrap()).collect()
    }

    /// A hook's queue.
    pub async fn queue(&self, hook: &str) -> Value {
        self.own("GET", &format!("/webhooks/{hook}/queue"), None).await.data().clone()
    }
}

/// A call event of the client's account, as KAZOO would publish it.
pub fn call_event(name: &str, call: &str, number: u64) -> Value {
    json!({
        "App-Name": "switch", "App-Version": "1", "Msg-ID": format!("{call}-{name}-{number}"),
        "Event-Category": "call_event", "Event-Name": name, "Call-ID": call,
        "Call-Direction": "inbound", "Caller-ID-Number": number.to_string(), "Timestamp": 63_927_219_201_u64,
    })
}

/// The hash of name and password that KAZOO's clients send.
pub fn credentials(name: &str, password: &str) -> String {
    format!("{:x}", Md5::digest(format!("{name}:{password}")))
}
