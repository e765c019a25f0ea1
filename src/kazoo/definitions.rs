//! The available hooks (`GET /v2/webhooks`): current and classic ids, with the modifiers from which a hook's
//! `custom_data` must choose.

use serde_json::{Value, json};

use super::Object;
use super::notification_types::NOTIFICATION_TYPES;
use super::topic::{OBJECT_ACTIONS, OBJECT_TYPES};
use crate::model::Family;

/// The values of a modifier: `all`, or one of these.
fn with_all(values: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
    std::iter::once("all").chain(values).collect()
}

/// One row for each hook id except `all`, by name from Z to A. Types reserved for the master account are included
/// only if `master`.
#[must_use]
pub fn definitions(master: bool) -> Vec<Value> {
    let mut families = Family::ALL;
    families.sort_by(|a, b| name(*b).cmp(name(*a)));
    families.into_iter().map(|family| Value::Object(row(family, master))).collect()
}

fn row(family: Family, master: bool) -> Object {
    let mut row = Object::new();
    row.insert("id".to_owned(), family.id().into());
    row.insert("name".to_owned(), name(family).into());
    row.insert("description".to_owned(), description(family).into());
    if let Some(modifiers) = modifiers(family, master) {
        row.insert("modifiers".to_owned(), modifiers);
    }
    row
}

fn name(family: Family) -> &'static str {
    match family {
        Family::ChannelCreate => "Channel Create",
        Family::ChannelAnswer => "Channel Answer",
        Family::ChannelBridge => "Channel Bridge",
        Family::ChannelDestroy => "Channel Destroy",
        Family::Parking => "Call Parking",
        Family::Object => "Object",
        Family::Notifications => "Notifications Webhook",
        Family::Sms => "SMS",
        Family::Mms => "MMS",
        Family::InboundFax | Family::OutboundFax | Family::Callflow => family.id(),
    }
}

fn description(family: Family) -> &'static str {
    match family {
        Family::ChannelCreate => "A call leg begins.",
        Family::ChannelAnswer => "A call leg is answered.",
        Family::ChannelBridge => "Two call legs are connected with each other.",
        Family::ChannelDestroy => "A call leg ends; tells why and how long it lasted.",
        Family::Parking => "A call is parked, fetched from its slot, or given up by the caller.",
        Family::Object => "A document of the account is created, edited or deleted.",
        Family::Notifications => "One of the platform's notifications, chosen by its type.",
        Family::Sms => "A text message comes in from a carrier.",
        Family::Mms => "A picture message comes in from a carrier.",
        Family::InboundFax => "A fax comes in, or fails to (classic form of the notification).",
        Family::OutboundFax => "A fax goes out, or fails to (classic form of the notification).",
        Family::Callflow => {
            "Requests that callflows make by themselves; a stored hook of this kind stays silent."
        }
    }
}

fn modifiers(family: Family, master: bool) -> Option<Value> {
    match family {
        Family::Object => Some(json!({
            "type": {"type": "array", "description": "Kind of document to hear about", "items": with_all(OBJECT_TYPES)},
            "action": {"type": "array", "description": "Kind of change to hear about", "items": with_all(OBJECT_ACTIONS)},
        })),
        Family::Notifications => {
            let all = ("all".to_owned(), json!({"friendly_name": "All", "description": "Every type below."}));
            let types = NOTIFICATION_TYPES
                .iter()
                .filter(|t| master || !t.is_for_master())
                .map(|t| (t.id.to_owned(), json!({"friendly_name": t.name, "description": t.description})));
            let items: Object = std::iter::once(all).chain(types).collect();
            Some(json!({"type": {"type": "object", "items": items}}))
        }
        _ => None,
    }
}

/// The values of a modifier that error texts list, and those that are accepted.
pub(super) struct Modifier {
    pub(super) key: &'static str,
    pub(super) shown: Vec<&'static str>,
    pub(super) hidden: Vec<&'static str>,
}

/// The modifiers that a hook of this family must set.
pub(super) fn required_modifiers(family: Family, master: bool) -> Vec<Modifier> {
    match family {
        Family::Object => vec![
            Modifier { key: "type", shown: with_all(OBJECT_TYPES), hidden: Vec::new() },
            Modifier { key: "action", shown: with_all(OBJECT_ACTIONS), hidden: Vec::new() },
        ],
        Family::Notifications => {
            let (shown, hidden): (Vec<_>, Vec<_>) =
                NOTIFICATION_TYPES.iter().partition(|t| master || !t.is_for_master());
            let shown = with_all(shown.into_iter().map(|t| t.id));
            vec![Modifier { key: "type", shown, hidden: hidden.into_iter().map(|t| t.id).collect() }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_listed_by_name_from_z_to_a() {
        let names: Vec<_> =
            definitions(false).iter().map(|d| d["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names.len(), 12);
        assert!(names.is_sorted_by(|a, b| a > b), "{names:?}");
        assert_eq!(names[3..6], ["SMS", "Object", "Notifications Webhook"]);
    }

    #[test]
    fn only_objects_and_notifications_have_modifiers() {
        for row in definitions(true) {
            let has = row.get("modifiers").is_some();
            assert_eq!(has, ["object", "notifications"].contains(&row["id"].as_str().unwrap()), "{row}");
            assert!(!row["description"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn types_for_the_master_account_are_listed_only_for_it() {
        let items = |master| {
            let rows = definitions(master);
            let row = rows.iter().find(|r| r["id"] == "notifications").unwrap().clone();
            row["modifiers"]["type"]["items"].as_object().unwrap().clone()
        };
        assert_eq!((items(true).len(), items(false).len()), (39, 37));
        assert!(items(true).contains_key("system_alert") && !items(false).contains_key("system_alert"));
        assert_eq!(items(false)["missed_call"]["friendly_name"], "Missed Call");
    }
}
