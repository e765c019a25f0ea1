//! The notification `webhook_disabled`, published when failures have disabled a hook.

use super::message::{self, Message, Sender};
use crate::model::{AccountId, HookId};

/// The message. It has only the fields that KAZOO requires, so that older consumers accept it.
#[must_use]
pub fn webhook_disabled(account: AccountId, hook: HookId, sender: Sender<'_>) -> Message {
    let fields = [("Account-ID", account.to_string().into()), ("Hook-ID", hook.to_string().into())];
    Message::new(
        "notifications",
        "notifications.webhook.disabled".to_owned(),
        message::body("notification", "webhook_disabled", sender, fields),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, HookId};

    #[test]
    fn the_message_is_an_event_that_our_own_hooks_understand() {
        let sender = Sender { app: "webhooks", node: "switchhook@host", msg_id: "m-9" };
        let message = webhook_disabled(AccountId(0xa1), HookId(0xb2), sender).body;
        let facts = crate::kazoo::facts(&serde_json::to_vec(&message).unwrap()).unwrap();
        assert_eq!(facts.family, Some(Family::Notifications));
        assert_eq!((facts.account, facts.name.as_str()), (Some(AccountId(0xa1)), "webhook_disabled"));
        assert_eq!(message["Hook-ID"], HookId(0xb2).to_string());
    }
}
