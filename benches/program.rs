//! The measured program, in this process, with its own data directory and ports.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use switchhook::app::App;
use switchhook::config::{Overlay, load};
use switchhook::ingest::Ingest;
use switchhook::log::ReaderOf;
use switchhook::model::{AccountId, Clock, EventOffset, HookId};
use switchhook::queues::Queues;
use switchhook::state::{Expect, Kind, State, Write};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{self, Api};

/// A running program; `stop` ends it.
pub(crate) struct Program {
    pub(crate) state: State,
    pub(crate) queues: Queues,
    pub(crate) ingest: Ingest,
    pub(crate) events: ReaderOf<EventOffset>,
    pub(crate) http: SocketAddr,
    pub(crate) websocket: SocketAddr,
    pub(crate) master: AccountId,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

/// The settings of every bench, and those that the command line adds with `--set=KEY=VALUE`.
pub(crate) fn settings(dir: &Path) -> Vec<String> {
    let mut settings = vec![
        format!("data_dir={}", dir.display()),
        "http.listen=127.0.0.1:0".to_owned(),
        "websocket.listen=127.0.0.1:0".to_owned(),
        format!("auth.master_api_key={}", api::KEY),
        "delivery.allow_addresses=127.0.0.0/8".to_owned(),
        "rate_limit.burst=0".to_owned(),
        "log.reserve_bytes=0".to_owned(),
        "ledger.reserve_bytes=0".to_owned(),
    ];
    settings.extend(std::env::args().filter_map(|arg| arg.strip_prefix("--set=").map(str::to_owned)));
    settings
}

impl Program {
    /// Starts the program on a data directory; `more` are further settings.
    pub(crate) async fn start(dir: &Path, more: &[&str]) -> Self {
        let mut set = settings(dir);
        set.extend(more.iter().map(|setting| (*setting).to_owned()));
        let app = App::build(load(&Overlay { set, ..Overlay::default() }).unwrap(), Clock::system());
        let app = app.await.unwrap();
        let (state, queues, ingest) = (app.state().clone(), app.queues().clone(), app.ingest().clone());
        let (events, http, websocket) = (app.events().clone(), app.http_addr(), app.websocket_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run(async move { drop(stopped.await) }));
        let master = state.settings().master;
        Self { state, queues, ingest, events, http, websocket, master, stop, running }
    }

    /// A client of the API.
    pub(crate) async fn api(&self) -> Api {
        Api::log_in(self.http).await
    }

    /// Creates a hook of the master account for new calls; `fields` are its further fields.
    pub(crate) async fn hook(&self, number: u64, uri: &str, fields: Value) -> HookId {
        let mut document = json!({
            "pvt_account_id": self.master, "name": "bench", "uri": uri, "hook": "channel_create",
            "format": "json", "enabled": true,
        });
        let more = fields.as_object().cloned().unwrap_or_default();
        document.as_object_mut().unwrap().extend(more);
        let id = format!("{:032x}", 0xb00c_0000 + u128::from(number));
        self.put(Kind::Hook, &id, document).await;
        id.parse().unwrap()
    }

    /// Writes a document.
    pub(crate) async fn put(&self, kind: Kind, id: &str, document: Value) {
        let doc = document.as_object().cloned();
        let write = Write { kind, id: id.to_owned(), doc, expect: Expect::Any };
        self.state.write(vec![write]).await.unwrap();
    }

    /// Stops the program in order.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.running.await.unwrap().unwrap();
    }
}
