//! The apps of Monster UI that work without a KAZOO. The interface requests them right after a log-in, and logs out
//! again if there is none.

use serde_json::{Value, json};

/// An app as a row of the list.
struct App {
    /// 32 hex digits, as in KAZOO. The same for every account and in every version.
    id: &'static str,
    name: &'static str,
    label: &'static str,
    description: &'static str,
}

const APPS: [App; 2] = [
    App {
        id: "7377697463686f6f6b00000000000001",
        name: "webhooks",
        label: "Webhooks",
        description: "Hooks, their state and their attempts.",
    },
    App {
        id: "7377697463686f6f6b00000000000002",
        name: "accounts",
        label: "Accounts Manager",
        description: "Accounts below this one, and their users.",
    },
];

/// The apps, in the form of KAZOO.
pub(super) fn list() -> Value {
    let row = |app: &App| {
        json!({
            "id": app.id, "name": app.name,
            "i18n": {"en-US": {"label": app.label, "description": app.description}},
            "tags": ["developer"], "users": [], "allowed_users": "all",
        })
    };
    APPS.iter().map(row).collect()
}
