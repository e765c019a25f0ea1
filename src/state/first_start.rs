//! The first start: creates the program's identity and secrets, the master account and its API key.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::RngCore;
use serde_json::{Map, Value, json};

use super::document::{Kind, hex, key_hash};
use super::handle::State;
use super::write::{Expect, Write, WriteError};
use crate::model::{AccountId, DocumentId, EventOffset, LogIds};

/// The id of the document with the `Settings`.
pub(super) const SYSTEM: &str = "system";
/// The id of the API key that is created on the first start.
pub(super) const MASTER_KEY: &str = "master";
/// The random increase of the log's id after a restore is less than this. It is random so that two restores of the same
/// backup get different ids.
const NEXT_LOG: u32 = 1 << 20;
/// The file with the text of the API key of the first start.
const KEY_FILE: &str = "master.key";

/// The program's identity. Created once and stored in the journal.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Sent with every delivery as `cluster_id`; 32 hex digits.
    pub cluster_id: String,
    /// The secret that signs tokens.
    pub token_secret: Vec<u8>,
    /// The ids of the events log, which are part of every event id.
    pub log_ids: LogIds,
    /// The master account, the root of the account tree.
    pub master: AccountId,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("cluster_id", &self.cluster_id)
            .field("token_secret", &"***")
            .field("log_ids", &self.log_ids)
            .field("master", &self.master)
            .finish()
    }
}

impl Settings {
    pub(super) fn from_document(doc: &Map<String, Value>) -> Option<Self> {
        let text = |field: &str| doc.get(field).and_then(Value::as_str);
        Some(Self {
            cluster_id: text("cluster_id")?.to_owned(),
            token_secret: from_hex(text("pvt_token_secret")?)?,
            log_ids: log_ids(doc)?,
            master: text("master_account_id")?.parse().ok()?,
        })
    }
}

fn log_ids(doc: &Map<String, Value>) -> Option<LogIds> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let later = doc.get("later_log_ids").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let later = later.iter().map(|pair| Some((EventOffset(pair.get(0)?.as_u64()?), id(pair.get(1)?)?)));
    Some(LogIds::new(id(doc.get("log_id")?)?, later.collect::<Option<Vec<_>>>()?))
}

impl State {
    /// Gives the events from `offset` on a new log id, after the next start. Used for a data directory that was
    /// restored from a backup: events accepted after the backup were lost, and their ids must not be used again.
    pub async fn renumber_from(&self, offset: EventOffset) -> Result<(), WriteError> {
        let next = self.settings.log_ids.last().wrapping_add(1 + rand::rng().next_u32() % NEXT_LOG);
        let edit = move |doc: &mut Map<String, Value>| {
            let later = doc.entry("later_log_ids").or_insert_with(|| json!([]));
            if let Some(later) = later.as_array_mut() {
                later.push(json!([offset, next]));
            }
        };
        self.update(Kind::Setting, SYSTEM, edit).await.map(drop)
    }
}

/// The writes that create a new identity and its master account. Made as one change.
pub(super) fn identity(master: Option<AccountId>) -> Vec<Write> {
    let master = master.unwrap_or_else(|| random_id().as_account());
    let account = json!({
        "name": "master", "enabled": true, "pvt_account_id": master, "pvt_tree": [], "pvt_reseller": true,
        "pvt_enabled": true, "pvt_superduper_admin": true,
    });
    let system = json!({
        "cluster_id": random_id(), "pvt_token_secret": hex(&random_bytes::<32>()),
        // The lower half, so that the ids after many restores (`renumber_from`) do not wrap around.
        "log_id": rand::rng().next_u32() / 2, "master_account_id": master,
    });
    vec![write(Kind::Account, &master.to_string(), account), write(Kind::Setting, SYSTEM, system)]
}

/// Creates an API key. Returns its text and the write of the document with its hash.
#[must_use]
pub fn new_api_key(id: &str, account: AccountId, name: Option<&str>) -> (String, Write) {
    let key = hex(&random_bytes::<32>());
    let mut doc = json!({
        "pvt_account_id": account, "pvt_key_hash": key_hash(&key),
        "masked": format!("…{}", key.get(60..).unwrap_or_default()),
    });
    if let (Some(name), Some(doc)) = (name, doc.as_object_mut()) {
        doc.insert("name".into(), name.into());
    }
    (key, write(Kind::Key, id, doc))
}

/// The API key that was created on the first start.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstKey(pub(super) String);

impl FirstKey {
    /// The text of the key.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for FirstKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Writes the key into a file that only the program's user can read, and syncs the file.
pub(super) fn write_key_file(data_dir: &Path, key: &str) -> std::io::Result<()> {
    let path = data_dir.join(KEY_FILE);
    // An existing file would keep its permissions, which may let others read the key.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(format!("{key}\n").as_bytes())?;
    file.sync_all()?;
    // A power cut must not take the file's name away: nothing else has the text of the key.
    fs::File::open(data_dir)?.sync_all()
}

/// A new random id.
#[must_use]
pub fn random_id() -> DocumentId {
    DocumentId::from_random(random_bytes())
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn write(kind: Kind, id: &str, doc: Value) -> Write {
    let doc = if let Value::Object(doc) = doc { doc } else { Map::new() };
    Write { kind, id: id.to_owned(), doc: Some(doc), expect: Expect::Absent }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
