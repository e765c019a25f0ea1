//! The content of a simulated KAZOO's databases, and changes of operators and customers, with the messages they
//! cause. A document's revision counts up; a hard deletion leaves a tombstone.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{ACCOUNT_SECRET, Document};

/// How documents are stored and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Deleted accounts stay as documents; `enabled` counts beside `pvt_enabled`.
    V43,
    /// Deleted accounts leave a tombstone.
    V50,
}

/// One line of the feed of changes.
pub struct Changed {
    pub seq: u64,
    pub database: String,
    pub id: String,
}

/// All databases.
pub struct Data {
    pub version: Version,
    pub master: String,
    pub databases: BTreeMap<String, BTreeMap<String, Document>>,
    pub feed: Vec<Changed>,
    pub published: Vec<(String, Value)>,
    /// KAZOO's own attempts, with the account of each, oldest first.
    pub attempts: Vec<(String, Value)>,
    /// The ids of all hooks that an account ever had.
    hooks_of: BTreeMap<String, BTreeSet<String>>,
    number: u128,
    seq: u64,
    messages: u64,
}

/// The database of an account, as in a path.
pub fn account_database(id: &str) -> String {
    format!("account%2F{}%2F{}%2F{}", &id[..2], &id[2..4], &id[4..])
}

impl Data {
    pub(super) fn new(version: Version) -> Self {
        let mut data = Self {
            version,
            master: String::new(),
            databases: BTreeMap::new(),
            feed: Vec::new(),
            published: Vec::new(),
            attempts: Vec::new(),
            hooks_of: BTreeMap::new(),
            number: 0x0a7b_e1c2_4d9f_4e35_b86c_1f20_d394_7a5e,
            seq: 0,
            messages: 0,
        };
        for database in ["accounts", "webhooks", "system_config"] {
            data.databases.insert(database.to_owned(), BTreeMap::new());
        }
        // Further documents of every such database, which are not imported.
        data.put("accounts", "_design/accounts", json!({"language": "erlang", "views": {}}));
        let master = data.account_below(None, "master", "master.example");
        data.master.clone_from(&master);
        let doc = json!({"pvt_type": "config", "default": {"master_account_id": master}});
        data.put("system_config", "accounts", doc);
        data.published.clear();
        data
    }

    /// An id like those of CouchDB, which have no order.
    pub fn new_id(&mut self) -> String {
        self.number = self
            .number
            .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
            .wrapping_add(0x5851_f42d_4c95_7f2d);
        format!("{:032x}", self.number)
    }

    /// A live document.
    pub fn doc(&self, database: &str, id: &str) -> Option<&Document> {
        let doc = self.databases.get(database)?.get(id)?;
        (doc.get("_deleted") != Some(&json!(true))).then_some(doc)
    }

    /// Writes a document with the next revision.
    pub fn put(&mut self, database: &str, id: &str, doc: Value) {
        let mut doc = doc.as_object().cloned().unwrap();
        let database_docs = self.databases.entry(database.to_owned()).or_default();
        let before = database_docs.get(id);
        let generation: u64 = before
            .and_then(|doc| doc["_rev"].as_str()?.split('-').next()?.parse().ok())
            .map_or(1, |generation: u64| generation + 1);
        let is_new = before.is_none_or(|doc| doc.contains_key("_deleted"));
        doc.insert("_id".into(), id.into());
        doc.insert("_rev".into(), format!("{generation}-{:x}", Md5::digest(format!("{doc:?}"))).into());
        let message = self.message(database, id, &doc, is_new);
        if let Some(owner) =
            doc.get("pvt_account_id").and_then(Value::as_str).filter(|_| database == "webhooks")
        {
            self.hooks_of.entry(owner.to_owned()).or_default().insert(id.to_owned());
        }
        self.databases.get_mut(database).unwrap().insert(id.to_owned(), doc);
        self.seq += 1;
        self.feed.push(Changed { seq: self.seq, database: database.to_owned(), id: id.to_owned() });
        self.published.push(message);
    }

    fn message(&mut self, database: &str, id: &str, doc: &Document, is_new: bool) -> (String, Value) {
        let flag = |name: &str| doc.get(name) == Some(&json!(true));
        let action = match (flag("_deleted") || flag("pvt_deleted"), is_new) {
            (true, _) => "doc_deleted",
            (false, true) => "doc_created",
            (false, false) => "doc_edited",
        };
        self.messages += 1;
        let mut body = json!({
            "Event-Category": "configuration", "Event-Name": action, "ID": id, "Database": database,
            "Rev": doc["_rev"], "Is-Soft-Deleted": flag("pvt_deleted"), "App-Name": "datamgr",
            "App-Version": "4.0.0", "Msg-ID": format!("m{}", self.messages), "Node": "kazoo_apps@apps1.example.com",
        });
        for (field, name) in [("pvt_type", "Type"), ("pvt_account_id", "Account-ID")] {
            if let Some(value) = doc.get(field) {
                body[name] = value.clone();
            }
        }
        let kind = doc.get("pvt_type").and_then(Value::as_str).unwrap_or("undefined");
        (format!("{action}.{database}.{kind}.{id}"), body)
    }

    /// Changes a document in place.
    pub fn edit(&mut self, database: &str, id: &str, change: impl FnOnce(&mut Document)) {
        let mut doc = self.doc(database, id).unwrap_or_else(|| panic!("{database}/{id}")).clone();
        change(&mut doc);
        self.put(database, id, Value::Object(doc));
    }

    /// Both copies of an account, first the one in its own database.
    pub fn edit_account(&mut self, id: &str, change: impl Fn(&mut Document)) {
        self.edit(&account_database(id), id, &change);
        if self.doc("accounts", id).is_some() {
            self.edit("accounts", id, &change);
        }
    }

    /// Hard-deletes a document. The tombstone has its type if the deleter knew it.
    pub fn remove(&mut self, database: &str, id: &str, is_typed: bool) {
        let mut tombstone = json!({"_deleted": true});
        if is_typed {
            let doc = self.doc(database, id).unwrap().clone();
            for field in ["pvt_type", "pvt_account_id"] {
                tombstone[field] = doc[field].clone();
            }
        }
        self.put(database, id, tombstone);
    }

    /// Creates an account; returns its id.
    pub fn account(&mut self, parent: &str, name: &str) -> String {
        let letters: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let realm = format!("{letters}.example.com");
        self.account_below(Some(parent), name, &realm)
    }

    fn account_below(&mut self, parent: Option<&str>, name: &str, realm: &str) -> String {
        let id = self.new_id();
        let tree = parent.map_or_else(Vec::new, |parent| {
            let mut tree = self.tree(parent);
            tree.push(parent.to_owned());
            tree
        });
        let database = account_database(&id);
        let doc = json!({
            "name": name, "realm": realm, "pvt_type": "account", "pvt_account_id": id, "pvt_account_db": database,
            "pvt_tree": tree, "pvt_enabled": true, "pvt_reseller": false, "pvt_vsn": "1",
            "pvt_created": 63_927_219_200_u64 + self.seq, "pvt_api_key": super::KAZOO_KEY,
            "pvt_signature_secret": ACCOUNT_SECRET, "pvt_cpaas_token": ACCOUNT_SECRET,
            "notifications": {}, "call_restriction": {}, "timezone": "Europe/Amsterdam",
        });
        self.put(&database, &id, doc.clone());
        self.put("accounts", &id, doc);
        id
    }

    /// Resellers with customers, and hooks of the first ones.
    pub fn fill(&mut self, accounts: usize, hooks: usize, uri: &str) {
        let mut reseller = self.master.clone();
        for number in 0..accounts {
            let parent = if number % 100 == 0 { self.master.clone() } else { reseller.clone() };
            let account = self.account(&parent, &format!("account {number}"));
            if number < hooks {
                self.hook(&account, json!({"name": format!("hook {number}"), "uri": uri}));
            }
            if number % 100 == 0 {
                self.promote(&account, true);
                reseller = account;
            }
        }
        self.published.clear();
    }

    /// `pvt_tree` of an account.
    pub fn tree(&self, id: &str) -> Vec<String> {
        let doc = self.doc("accounts", id).unwrap_or_else(|| panic!("{id}"));
        doc["pvt_tree"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// All existing accounts except the master account.
    pub fn accounts(&self) -> Vec<String> {
        let all = self.databases["accounts"].keys().filter(|id| self.is_account(id) && **id != self.master);
        all.cloned().collect()
    }

    /// Whether an account is there.
    pub fn is_account(&self, id: &str) -> bool {
        self.doc("accounts", id).is_some_and(|doc| {
            doc.get("pvt_type") == Some(&json!("account")) && doc.get("pvt_deleted") != Some(&json!(true))
        })
    }

    /// The accounts below an account.
    pub fn below(&self, id: &str) -> Vec<String> {
        self.accounts().into_iter().filter(|other| self.tree(other).iter().any(|above| above == id)).collect()
    }

    /// All existing hooks.
    pub fn hooks(&self) -> Vec<String> {
        let is_hook =
            |doc: &Document| doc.get("pvt_deleted") != Some(&json!(true)) && !doc.contains_key("_deleted");
        self.databases["webhooks"].iter().filter(|(_, doc)| is_hook(doc)).map(|(id, _)| id.clone()).collect()
    }

    pub fn enable(&mut self, account: &str, enabled: bool) {
        self.edit_account(account, |doc| drop(doc.insert("pvt_enabled".into(), enabled.into())));
    }

    pub fn promote(&mut self, account: &str, reseller: bool) {
        self.edit_account(account, |doc| drop(doc.insert("pvt_reseller".into(), reseller.into())));
    }

    /// Writes only the moved account, as a reader sees it in the middle of a move.
    pub fn begin_move(&mut self, account: &str, to: &str) {
        let mut tree = self.tree(to);
        tree.push(to.to_owned());
        self.edit_account(account, |doc| drop(doc.insert("pvt_tree".into(), json!(tree))));
    }

    /// Writes the trees of the accounts below a moved one.
    pub fn finish_move(&mut self, account: &str) {
        let mut moved = self.tree(account);
        moved.push(account.to_owned());
        for below in self.below(account) {
            let old = self.tree(&below);
            let at = old.iter().position(|id| id == account).unwrap();
            let tree: Vec<_> = moved.iter().cloned().chain(old[at + 1..].iter().cloned()).collect();
            self.edit_account(&below, |doc| drop(doc.insert("pvt_tree".into(), json!(tree))));
        }
    }

    /// Deletes an account as this version of KAZOO does, and its hooks as a client does that omits their type.
    pub fn delete_account(&mut self, id: &str) {
        assert!(self.below(id).is_empty(), "KAZOO refuses it");
        self.databases.remove(&account_database(id));
        if self.version == Version::V43 {
            self.edit("accounts", id, |doc| drop(doc.insert("pvt_deleted".into(), true.into())));
        } else {
            self.remove("accounts", id, true);
        }
        let own: Vec<_> = self.hooks().into_iter().filter(|hook| self.owner(hook) == id).collect();
        for hook in own {
            self.remove("webhooks", &hook, false);
        }
    }

    /// The hooks of an account that are there.
    pub fn hooks_of(&self, account: &str) -> Vec<String> {
        let is_own = |id: &&String| {
            self.doc("webhooks", id).is_some_and(|doc| {
                doc.get("pvt_deleted") != Some(&json!(true)) && doc["pvt_account_id"] == account
            })
        };
        self.hooks_of.get(account).into_iter().flatten().filter(is_own).cloned().collect()
    }

    /// The account of a hook.
    pub fn owner(&self, hook: &str) -> String {
        self.doc("webhooks", hook).unwrap()["pvt_account_id"].as_str().unwrap().to_owned()
    }

    /// Creates a hook; returns its id. `name`, `hook` and `uri` have defaults.
    pub fn hook(&mut self, account: &str, doc: Value) -> String {
        let id = self.new_id();
        let mut all = json!({
            "name": "hook", "hook": "channel_create", "uri": format!("https://crm.example.net/{id}"),
            "http_verb": "post", "format": "json", "retries": 2, "enabled": true,
            "pvt_type": "webhook", "pvt_account_id": account, "pvt_account_db": "webhooks", "pvt_vsn": "1",
            "pvt_created": 63_927_219_200_u64 + self.seq,
        });
        all.as_object_mut().unwrap().extend(doc.as_object().cloned().unwrap());
        self.put("webhooks", &id, all);
        id
    }

    /// Disables a hook as KAZOO does after failures.
    pub fn disable_hook(&mut self, hook: &str) {
        self.edit("webhooks", hook, |doc| {
            doc.insert("enabled".into(), false.into());
            doc.insert("pvt_disabled_message".into(), "too many failed attempts".into());
        });
    }

    pub fn enable_hook(&mut self, hook: &str) {
        self.edit("webhooks", hook, |doc| {
            doc.insert("enabled".into(), true.into());
            doc.remove("pvt_disabled_message");
        });
    }

    /// Deletes a hook as the API does.
    pub fn delete_hook(&mut self, hook: &str) {
        self.edit("webhooks", hook, |doc| drop(doc.insert("pvt_deleted".into(), true.into())));
    }

    /// Creates a user who can log in.
    pub fn user(&mut self, account: &str, name: &str, password: &str, level: &str) -> String {
        let id = self.new_id();
        let md5 = format!("{:x}", Md5::digest(format!("{name}:{password}")));
        let doc = json!({
            "username": name, "first_name": "Anna", "last_name": "Vos", "email": "anna@example.com", "enabled": true,
            "priv_level": level, "pvt_type": "user", "pvt_account_id": account, "pvt_md5_auth": md5,
            "pvt_signature_secret": ACCOUNT_SECRET,
        });
        self.put(&account_database(account), &id, doc);
        id
    }

    /// An account's own failure limits.
    pub fn limits(&mut self, account: &str, doc: Value) {
        let mut all = json!({"pvt_type": "account_config", "pvt_account_id": account});
        all.as_object_mut().unwrap().extend(doc.as_object().cloned().unwrap());
        self.put(&account_database(account), "configs_webhooks", all);
    }

    /// The system's failure limits.
    pub fn system_limits(&mut self, default: Value) {
        self.put("system_config", "webhooks", json!({"pvt_type": "config", "default": default}));
    }

    /// The sequence of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}
