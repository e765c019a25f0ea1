//! The notification that the platform gets when a hook was disabled because it kept failing.

use serde_json::Value;

use super::Object;
use crate::model::{AccountId, HookId};

/// Exchange and routing key of [`webhook_disabled_message`].
pub const WEBHOOK_DISABLED_BINDING: (&str, &str) = ("notifications", "notifications.webhook.disabled");

/// The message's body: KAZOO's required fields and nothing that an older consumer might refuse.
#[must_use]
pub fn webhook_disabled_message(account: AccountId, hook: HookId, msg_id: &str, node: &str) -> Object {
    let fields = [
        ("Account-ID", account.to_string()),
        ("App-Name", "webhooks".to_owned()),
        ("App-Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Event-Category", "notification".to_owned()),
        ("Event-Name", "webhook_disabled".to_owned()),
        ("Hook-ID", hook.to_string()),
        ("Msg-ID", msg_id.to_owned()),
        ("Node", node.to_owned()),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Id};

    #[test]
    fn the_message_is_an_event_that_our_own_hooks_understand() {
        let message = webhook_disabled_message(Id(0xa1), Id(0xb2), "m-9", "switchhook@host");
        let facts = crate::kazoo::facts(&serde_json::to_vec(&message).unwrap()).unwrap();
        assert_eq!(facts.family, Some(Family::Notifications));
        assert_eq!((facts.account, facts.name.as_str()), (Some(Id(0xa1)), "webhook_disabled"));
        assert_eq!(message["Hook-ID"], Id(0xb2).to_string());
    }
}
