//! `GET …/apps_store`: the apps of KAZOO's user interface that work with this program alone, without a KAZOO. The
//! interface asks for them right after a log-in, and shows those whose ids it knows.

use serde_json::{Value, json};

use super::reply::Reply;

/// Name, label and description of each.
const APPS: [(&str, &str, &str); 2] = [
    ("webhooks", "Webhooks", "Hooks, their state and their attempts."),
    ("accounts", "Accounts Manager", "Accounts below this one, and their users."),
];

/// The apps, in the form of KAZOO.
pub(super) fn list() -> Reply {
    let rows = APPS.map(|(name, label, description)| {
        json!({
            "id": name, "name": name,
            "i18n": {"en-US": {"label": label, "description": description}},
            "tags": ["developer"], "users": [], "allowed_users": "all",
        })
    });
    Reply::ok(Value::from(rows.to_vec()))
}
