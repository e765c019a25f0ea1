//! Sample events of all families in KAZOO's form, written by us, and the payloads that hooks get for them. The
//! payloads are made by the same code as real ones, so they cannot differ.

use serde_json::value::RawValue;

use super::{Extras, Object, facts, families_of, payload, wanted};
use crate::model::{AccountId, Encoding, Event, Family, Hook, HookId, Source, Trigger};

/// One event per line; at least one for every family and every type of notification.
const EVENTS: &str = include_str!("sample_events.json");

const CLUSTER: &str = "5f1c9d7e3b604a28a0c4e6f8b1d2937a";
const RESELLER: AccountId = AccountId(0x2d9c_4b7e_8f0a_4163_b5d7_e9c1_a3f5_0486);

/// Sample events of a family as JSON texts. Notifications have one sample for each type, sorted by type.
#[must_use]
pub fn sample_events(family: Family) -> Vec<&'static str> {
    let events: Vec<&'static RawValue> = serde_json::from_str(EVENTS).unwrap_or_default();
    events.into_iter().map(RawValue::get).filter(|event| belongs(event, family)).collect()
}

/// The payloads of a family's sample events for a hook that asks for the family.
#[must_use]
pub fn samples(family: Family) -> Vec<Object> {
    let hook = Hook::new(HookId(0), AccountId::default(), Trigger::Family(family), String::new());
    let extras = Extras { cluster_id: CLUSTER, reseller_id: Some(RESELLER) };
    let payload = |text| {
        let made = with_event(text, |event| {
            Some(payload(&Event { family: Some(family), ..*event }, &hook, &extras).ok()??.into())
        });
        made.flatten()
    };
    sample_events(family).into_iter().filter_map(payload).collect()
}

/// A sample event of the hook's account in the log's form: one that the hook's filter accepts, or otherwise any of
/// its family. An `all` hook gets the start of a call.
#[must_use]
pub fn sample_record(hook: &Hook) -> Option<Vec<u8>> {
    let (event, _) = sample_event(hook)?;
    with_event(event, |event| Event { account: Some(hook.account), ..*event }.encode())
}

/// The payload that the hook gets for the event of [`sample_record`].
#[must_use]
pub fn sample_payload(hook: &Hook) -> Option<Object> {
    let (event, family) = sample_event(hook)?;
    let extras = Extras { cluster_id: CLUSTER, reseller_id: Some(RESELLER) };
    with_event(event, |event| {
        Some(payload(&Event { family: Some(family), ..*event }, hook, &extras).ok()??.into())
    })?
}

fn sample_event(hook: &Hook) -> Option<(&'static str, Family)> {
    let family = match hook.trigger {
        Trigger::All => Family::ChannelCreate,
        Trigger::Family(family) => family,
    };
    let events = sample_events(family);
    let is_asked_for = |text: &&&str| with_event(text, |event| wanted(hook, event)).unwrap_or(false);
    Some((events.iter().find(is_asked_for).or(events.first())?, family))
}

fn belongs(text: &str, family: Family) -> bool {
    let is = |event: &Event<'_>| {
        // A callflow's webhook event is a notification, although only its own hook gets it.
        let is_callflow = family == Family::Notifications && event.family == Some(Family::Callflow);
        is_callflow || families_of(event).any(|found| found == family)
    };
    with_event(text, is).unwrap_or(false)
}

fn with_event<T>(text: &str, work: impl FnOnce(&Event<'_>) -> T) -> Option<T> {
    let facts = facts(text.as_bytes()).ok()?;
    Some(work(&facts.event(Source::Amqp, Encoding::Plain, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::notification_types::NOTIFICATION_TYPES;
    use super::*;

    #[test]
    fn every_family_has_samples_and_every_sample_has_a_payload() {
        for family in Family::ALL {
            let (events, payloads) = (sample_events(family), samples(family));
            assert!(!payloads.is_empty(), "{family:?}");
            assert_eq!(events.len(), payloads.len(), "{family:?}");
            for payload in payloads {
                assert_eq!(payload["cluster_id"], CLUSTER, "{family:?}");
            }
        }
        let all: Vec<&RawValue> = serde_json::from_str(EVENTS).unwrap();
        let used = |event: &str| Family::ALL.into_iter().any(|family| belongs(event, family));
        assert!(all.iter().all(|event| used(event.get())));
    }

    #[test]
    fn every_type_of_notification_has_one_sample() {
        let found: Vec<_> = samples(Family::Notifications)
            .iter()
            .map(|s| s["event_name"].as_str().unwrap().to_owned())
            .collect();
        let known: Vec<_> = NOTIFICATION_TYPES.iter().map(|t| t.id).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn the_sample_of_a_channel_has_all_documented_fields() {
        for (family, own) in [
            (Family::ChannelCreate, &[][..]),
            (Family::ChannelAnswer, &[]),
            (
                Family::ChannelBridge,
                &["original_number", "other_leg_destination_number", "other_leg_call_id"],
            ),
            (
                Family::ChannelDestroy,
                &["hangup_cause", "hangup_code", "duration_seconds", "ringing_seconds", "billing_seconds"],
            ),
        ] {
            let samples = samples(family);
            let common = [
                "account_id",
                "authorizing_id",
                "authorizing_type",
                "call_direction",
                "call_id",
                "caller_id_name",
                "caller_id_number",
                "callee_id_name",
                "callee_id_number",
                "custom_application_vars",
                "custom_channel_vars",
                "emergency_resource_used",
                "from",
                "hook_event",
                "is_internal_leg",
                "local_resource_used",
                "owner_id",
                "request",
                "reseller_id",
                "timestamp",
                "to",
            ];
            for field in common.iter().chain(own) {
                assert!(samples[0].contains_key(*field), "{family:?} {field}");
            }
            assert_eq!(samples[0]["hook_event"], family.id());
        }
    }
}
