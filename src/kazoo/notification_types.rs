//! The types of notifications that KAZOO publishes and hooks can ask for, sorted.

/// One type of notification.
#[derive(Debug)]
pub(super) struct NotificationType {
    /// `Event-Name`, and the value of `custom_data.type`.
    pub(super) id: &'static str,
    /// The routing key after `notifications.`.
    pub(super) key: &'static str,
    /// The name that KAZOO shows.
    pub(super) name: &'static str,
    /// A description in our words.
    pub(super) description: &'static str,
}

impl NotificationType {
    /// Whether only administrators of the master account may see this type.
    pub(super) fn is_for_master(&self) -> bool {
        matches!(self.id, "system_alert" | "webhook_disabled")
    }
}

const fn of(
    id: &'static str,
    key: &'static str,
    name: &'static str,
    description: &'static str,
) -> NotificationType {
    NotificationType { id, key, name, description }
}

/// All types.
pub(super) const NOTIFICATION_TYPES: [NotificationType; 38] = [
    of(
        "account_zone_change",
        "account.zone_change",
        "Account Zone Change",
        "The account moved to other zones.",
    ),
    of("bill_reminder", "account.reminder", "Bill Reminder", "A payment is due soon."),
    of(
        "cf_notification",
        "account.cf_notification",
        "Customer defined notification",
        "A callflow sent a notification of the customer's own making.",
    ),
    of(
        "cnam_request",
        "number.cnam_request",
        "CNAM Update",
        "Somebody asked for a new caller name on a number.",
    ),
    of("customer_update", "user.customer_update", "Customer Update", "A message went out to customers."),
    of(
        "denied_emergency_bridge",
        "registration.denied_emergency_bridge",
        "Emergency Call Failed",
        "An emergency call could not be put through.",
    ),
    of("deregister", "sip.deregister", "De-Registration", "A device's registration ran out."),
    of(
        "emergency_bridge",
        "registration.emergency_bridge",
        "Emergency Call Placed",
        "An emergency call was put through.",
    ),
    of(
        "first_occurrence",
        "sip.first_occurrence",
        "Account First Occurrence",
        "The account's first call or first registration.",
    ),
    of("inbound_fax", "fax.inbound", "Successful Fax Reception", "A fax came in."),
    of("inbound_fax_error", "fax.inbound_error", "Fax Reception Error", "A fax did not come in completely."),
    of(
        "low_balance",
        "account.low_balance",
        "Account Low Balance",
        "The account's credit fell below its threshold.",
    ),
    of("missed_call", "sip.missed_call", "Missed Call", "A call was not answered and left no message."),
    of("new_account", "account.new", "New Account", "An account was made."),
    of("new_user", "user.new", "New User", "A user was made."),
    of(
        "number_feature_manual_action",
        "account.number_feature_manual_action",
        "Number Feature Manual Action Required",
        "A number's feature needs a person to act.",
    ),
    of("outbound_fax", "fax.outbound", "Successful Fax Transmission", "A fax was sent."),
    of("outbound_fax_error", "fax.outbound_error", "Fax Transmission Error", "A fax could not be sent."),
    of(
        "outbound_smtp_fax_error",
        "fax.outbound_smtp_error",
        "Invalid Email-to-Fax Email",
        "An e-mail that should have become a fax was not usable.",
    ),
    of(
        "password_recovery",
        "user.password_recovery",
        "Password Recovery",
        "Somebody asked for a new password.",
    ),
    of("port_cancel", "number.port_cancel", "Port Cancel", "A number port was called off."),
    of("port_comment", "number.port_comment", "Port Comment", "Somebody commented on a number port."),
    of("port_pending", "number.port_pending", "Port Pending", "A number port waits for the other carrier."),
    of("port_rejected", "number.port_rejected", "Port Rejected", "A number port was turned down."),
    of("port_request", "number.port_request", "Port Request", "A number port was asked for."),
    of("port_scheduled", "number.port_scheduled", "Port Scheduled", "A number port has its date."),
    of(
        "port_unconfirmed",
        "number.port_unconfirmed",
        "Port Unconfirmed",
        "A number port was drafted and not yet handed in.",
    ),
    of("ported", "number.ported", "Ported", "A number port is done."),
    of("register", "sip.register", "Registration", "A device registered."),
    of("service_added", "account.service_added", "Service Added", "A billable service was added."),
    of("system_alert", "system.alert", "System Alert", "The platform reports a fault."),
    of("topup", "account.topup", "Automatic Account Top-up", "The account's credit was filled up by itself."),
    of("transaction", "account.transaction", "Transaction Completed", "A payment went through, or failed."),
    of("voicemail_full", "voicemail.full", "Voicemail Box Full", "A voicemail box takes no more messages."),
    of("voicemail_new", "voicemail.new", "New Voicemail Message", "A voicemail message was left."),
    of("voicemail_saved", "voicemail.saved", "Voicemail Message Saved", "A voicemail message was kept."),
    of(
        "webhook",
        "webhook.callflow",
        "Callflow Webhook Triggered",
        "A callflow asked for one request of its own.",
    ),
    of(
        "webhook_disabled",
        "webhook.disabled",
        "Webhook Disabled",
        "A hook failed too often and was switched off.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_sorted_and_their_keys_differ() {
        assert!(NOTIFICATION_TYPES.is_sorted_by(|a, b| a.id < b.id));
        let mut keys: Vec<_> = NOTIFICATION_TYPES.iter().map(|t| t.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 38);
        assert_eq!(NOTIFICATION_TYPES.iter().filter(|t| t.is_for_master()).count(), 2);
    }
}
