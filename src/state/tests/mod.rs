//! Tests of the state's promises, with a real journal and a real index in a directory.

mod damage;
mod notices;
mod random;
mod writes;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Change, Expect, Kind, OpenedState, State, StateOptions, Write};
use crate::disk::OsDisk;
use crate::model::{AccountId, Clock, DocumentId, HookId};
use crate::tasks::{Stop, Tasks};

/// The account that an API key gives access to.
pub(super) fn account_of(state: &State, key: &str) -> Option<AccountId> {
    state.api_key(key).expect("the index works").map(|key| key.account)
}

/// A running state in a directory.
pub(super) struct Running {
    pub(super) state: State,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) rebuilt: Option<String>,
    tasks: Tasks,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) async fn open(dir: &Path) -> Self {
        Self::open_with(StateOptions::new(dir)).await
    }

    pub(super) async fn open_with(options: StateOptions) -> Self {
        let (tasks, stop) = (Tasks::new(), Stop::new());
        let opened = State::open(Arc::new(OsDisk), options, Clock::system(), &tasks).await;
        let OpenedState { state, task, changes, rebuilt, .. } = opened.expect("the state opens");
        let task = tasks.spawn("state", task.run(stop.clone()));
        Self { state, changes, rebuilt, tasks, stop, task }
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.task.await.expect("the owner task ends");
        drop((self.state, self.changes));
        self.tasks.all_ended().await;
    }
}

pub(super) fn hook(account: AccountId, id: u128, name: &str) -> Write {
    let doc = json!({
        "name": name, "uri": "http://192.0.2.1/", "hook": "all", "http_verb": "post", "enabled": true,
        "pvt_account_id": account,
    });
    Write { kind: Kind::Hook, id: DocumentId(id).to_string(), doc: Some(object(&doc)), expect: Expect::Any }
}

pub(super) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
