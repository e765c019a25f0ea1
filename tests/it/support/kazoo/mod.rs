//! A simulated KAZOO: its CouchDB and its API on one HTTP port, over a changing tree of accounts, with faults on
//! demand. The messages that it would publish are kept, so that a test can pass on, lose or repeat them.

#![expect(clippy::needless_pass_by_value, reason = "documents and answers are handed over, as over the wire")]

mod api;
mod couch;
mod data;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::receiver::{Mood, Receiver, Request};
pub use data::{Data, Version};

pub type Document = Map<String, Value>;

/// The master account's API key.
pub const KAZOO_KEY: &str = "feedfacefeedfacefeedfacefeedfacefeedfacefeedfacefeedfacefeedface";
/// A secret in every account's document. It must never appear anywhere else.
pub const ACCOUNT_SECRET: &str = "5ec4e75ec4e75ec4e75ec4e75ec4e7aa";
/// The user and password for CouchDB.
pub const READER: &str = "reader:s3cret-reader";

/// A fault.
#[derive(Clone)]
pub enum Fault {
    /// A response with this status.
    Status(u16),
    /// Half of a response.
    Broken,
    /// A late response.
    Slow(Duration),
    /// At most this number of rows in a list, whatever was requested.
    Short(usize),
    /// A list without rows.
    Empty,
    /// No response.
    Hang,
    /// The data changes before the response is made.
    Meanwhile(Arc<dyn Fn(&mut Data) + Send + Sync>),
    /// A response with this body.
    Lie(u16, Value),
    /// An endless response.
    Endless,
}

/// A fault for the next requests whose path contains a text.
struct Armed {
    path: String,
    fault: Fault,
    times: usize,
}

struct Inner {
    data: Mutex<Data>,
    faults: Mutex<Vec<Armed>>,
    /// Whether CouchDB requires credentials.
    is_closed: bool,
}

/// A running KAZOO.
pub struct Kazoo {
    receiver: Receiver,
    inner: Arc<Inner>,
}

impl Kazoo {
    /// Starts a KAZOO with a master account.
    pub async fn start(version: Version) -> Self {
        Self::start_with(version, false, 0).await
    }

    /// Likewise, with a CouchDB that requires credentials.
    pub async fn start_closed(version: Version) -> Self {
        Self::start_closed_at(version, 0).await
    }

    /// The same on this port; 0: a free one.
    pub async fn start_closed_at(version: Version, port: u16) -> Self {
        Self::start_with(version, true, port).await
    }

    async fn start_with(version: Version, is_closed: bool, port: u16) -> Self {
        let receiver = Receiver::start_at(port).await;
        receiver.remember_nothing();
        let inner = Inner { data: Mutex::new(Data::new(version)), faults: Mutex::default(), is_closed };
        let inner = Arc::new(inner);
        let answering = Arc::clone(&inner);
        receiver.mood(Mood::by(move |request| answering.mood(request)));
        Self { receiver, inner }
    }

    /// The address of the KAZOO.
    pub fn uri(&self) -> String {
        self.receiver.uri("").trim_end_matches('/').to_owned()
    }

    /// Reads or changes the data.
    pub fn with<T>(&self, change: impl FnOnce(&mut Data) -> T) -> T {
        change(&mut self.inner.data.lock().unwrap())
    }

    /// Makes the next requests fail whose path contains this text.
    pub fn fault(&self, path: &str, fault: Fault, times: usize) {
        self.inner.faults.lock().unwrap().push(Armed { path: path.to_owned(), fault, times });
    }

    /// The same in place of all faults: one after the other.
    pub fn faults(&self, path: &str, faults: Vec<(Fault, usize)>) {
        let armed = faults.into_iter().map(|(fault, times)| Armed { path: path.to_owned(), fault, times });
        *self.inner.faults.lock().unwrap() = armed.collect();
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.inner.faults.lock().unwrap().clear();
    }

    /// Closes the port.
    pub async fn vanish(&mut self) {
        self.receiver.refuse().await;
    }

    /// Opens the port again, at the same address.
    pub fn come_back(&mut self) {
        self.receiver.accept_again();
    }

    /// The messages that changes have caused since the last call, with their routing keys.
    pub fn published(&self) -> Vec<(String, Value)> {
        self.with(|data| std::mem::take(&mut data.published))
    }
}

impl Inner {
    fn fault_for(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let armed = faults.iter_mut().find(|armed| armed.times > 0 && path.contains(&armed.path))?;
        armed.times -= 1;
        Some(armed.fault.clone())
    }

    fn mood(self: &Arc<Self>, request: &Request) -> Mood {
        let (mut most, mut late) = (usize::MAX, None);
        match self.fault_for(&request.path) {
            None => {}
            Some(Fault::Status(status)) => {
                return Mood::answer(
                    status,
                    &[("retry-after", "0")],
                    r#"{"error":"fault","reason":"on demand"}"#,
                );
            }
            Some(Fault::Broken) => return Mood::Partial,
            Some(Fault::Slow(delay)) => late = Some(delay),
            Some(Fault::Short(rows)) => most = rows,
            Some(Fault::Empty) => most = 0,
            Some(Fault::Hang) => return Mood::Hang,
            Some(Fault::Endless) => return Mood::Endless,
            Some(Fault::Lie(status, body)) => return json_answer(status, &body),
            Some(Fault::Meanwhile(change)) => change(&mut self.data.lock().unwrap()),
        }
        let answer = self.answer(request, most);
        match (answer, late) {
            (Some((status, body)), None) => json_answer(status, &body),
            (Some((status, body)), Some(delay)) => Mood::After(delay, Box::new(json_answer(status, &body))),
            // The feed has no change yet; check again soon.
            (None, _) => {
                let again = Arc::clone(self);
                let look = Mood::by(move |request| again.mood(request));
                Mood::After(Duration::from_millis(20), Box::new(look))
            }
        }
    }

    fn answer(&self, request: &Request, most: usize) -> Option<(u16, Value)> {
        let path = request.path.trim_start_matches('/').to_owned();
        let mut data = self.data.lock().unwrap();
        if let Some(path) = path.strip_prefix("v2/") {
            return Some(api::answer(&mut data, path, request, most));
        }
        if self.is_closed && request.header("authorization") != Some(&basic(READER)) {
            return Some((
                401,
                json!({"error": "unauthorized", "reason": "You are not authorized to access this db."}),
            ));
        }
        couch::answer(&data, &path, request, most)
    }
}

fn basic(credentials: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

fn json_answer(status: u16, body: &Value) -> Mood {
    Mood::answer(status, &[("content-type", "application/json")], &body.to_string())
}

/// A parameter of a query string, decoded.
fn parameter(request: &Request, name: &str) -> Option<String> {
    url::form_urlencoded::parse(request.query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
