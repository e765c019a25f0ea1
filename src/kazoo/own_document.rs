//! KAZOO's event for a change of one of our own documents (`docs/kazoo/amqp.md#documents`). The event names the
//! document and has none of its content.
//!
//! KAZOO publishes the creation and modification times swapped; we publish them correctly.

use serde_json::Value;

use super::facts::HOOKS;
use super::message::{self, Sender};
use super::{Object, account_database, encode_segment};
use crate::model::AccountId;

/// A change of a document.
#[derive(Debug, Clone, Copy)]
pub struct OwnDocument<'a> {
    /// `doc_created`, `doc_edited` or `doc_deleted`.
    pub action: &'static str,
    /// The document's account. An account document belongs to itself.
    pub account: AccountId,
    /// The document's id.
    pub id: &'a str,
    /// The document after the change, or before its removal, with KAZOO's private fields.
    pub doc: &'a Object,
    /// Whether the document is marked as deleted and still stored.
    pub is_soft_deleted: bool,
}

/// The event's body. All webhooks are in one database; all other documents are in their account's.
#[must_use]
pub fn own_document_event(change: OwnDocument<'_>, sender: Sender<'_>) -> Object {
    let field = |name: &str| change.doc.get(name).cloned().unwrap_or_default();
    let type_ = field("pvt_type");
    let database = if type_ == "webhook" { HOOKS.to_owned() } else { account_database(change.account) };
    let fields = [
        ("Account-ID", change.account.to_string().into()),
        ("Database", database.into()),
        ("Date-Created", field("pvt_created")),
        ("Date-Modified", field("pvt_modified")),
        ("ID", change.id.into()),
        ("Is-Soft-Deleted", change.is_soft_deleted.into()),
        ("Rev", field("_rev")),
        ("Type", type_),
    ];
    message::body("configuration", change.action, sender, fields)
}

/// The routing key of a document's event (`docs/kazoo/amqp.md#keys-of-events`).
#[must_use]
pub fn document_routing_key(event: &Object) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = encode_segment(text("ID"));
    format!("{}.{}.{}.{id}", text("Event-Name"), text("Database"), text("Type"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kazoo::facts;
    use crate::model::Family;

    const US: Sender<'_> = Sender { app: "switchhook", node: "switchhook@h", msg_id: "m1" };

    fn event_about(type_: &str) -> Object {
        let doc = json!({"pvt_type": type_, "pvt_created": 63_927_219_200_u64, "pvt_modified": 63_927_219_800_u64,
                         "_rev": "2-ab", "secret": "s3cret", "name": "n"});
        let (doc, id) = (doc.as_object().unwrap(), "0f.1");
        let change =
            OwnDocument { action: "doc_edited", account: AccountId(7), id, doc, is_soft_deleted: false };
        own_document_event(change, US)
    }

    #[test]
    fn an_event_names_the_document_but_has_none_of_its_content() {
        let event = event_about("user");
        let database = account_database(AccountId(7));
        let expected = json!({
            "Account-ID": AccountId(7), "App-Name": "switchhook", "App-Version": env!("CARGO_PKG_VERSION"),
            "Database": database, "Date-Created": 63_927_219_200_u64, "Date-Modified": 63_927_219_800_u64,
            "Event-Category": "configuration", "Event-Name": "doc_edited", "ID": "0f.1",
            "Is-Soft-Deleted": false, "Msg-ID": "m1", "Node": "switchhook@h", "Rev": "2-ab", "Type": "user",
        });
        assert_eq!(document_routing_key(&event), format!("doc_edited.{database}.user.0f%2E1"));
        assert_eq!(Value::Object(event), expected);
    }

    #[test]
    fn object_hooks_get_changes_of_accounts_and_users_but_not_of_webhooks() {
        for (type_, family) in
            [("account", Some(Family::Object)), ("user", Some(Family::Object)), ("webhook", None)]
        {
            let event = event_about(type_);
            let facts = facts(Value::Object(event.clone()).to_string().as_bytes()).unwrap();
            assert_eq!((facts.family, facts.account), (family, Some(AccountId(7))), "{type_}");
            assert_eq!((facts.name.as_str(), facts.detail.as_str()), ("doc_edited", type_));
            assert_eq!(facts.subject, "0f.1");
        }
        assert_eq!(document_routing_key(&event_about("webhook")), "doc_edited.webhooks.webhook.0f%2E1");
    }
}
