//! Makes our document of a KAZOO's account, hook or user, and compares it with the stored one. Pure.

use ipnet::IpNet;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::odd::{Odd, OddKind};
use super::reading::{KazooAccount, KazooHook, KazooLimits, KazooUser, OwnLimits};
use crate::kazoo::{self, OWN_FIELDS};
use crate::model::AccountId;
use crate::state::{Kind, MIRRORED, Mirror};

type Document = Map<String, Value>;

/// Longest name of an account.
const LONGEST_NAME: usize = 128;

/// Whether a realm has the form of a host name; upper and lower case are both accepted.
pub(super) fn is_host_name(realm: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (4..=253).contains(&realm.len()) && realm.split('.').all(is_label)
}

/// What the plan has decided about an account.
pub(super) struct PlannedAccount<'a> {
    pub(super) tree: &'a [AccountId],
    /// Its realm, if the account may have it here.
    pub(super) realm: Option<&'a str>,
    /// The limits to store; `None`: the stored limits stay.
    pub(super) limits: Option<KazooLimits>,
    /// Whether it is the master account, which cannot be disabled.
    pub(super) is_master: bool,
}

/// The member of an account's private field [`MIRRORED`] with its own failure limits in KAZOO, once they have been read.
const OWN_LIMITS: &str = "limits";

/// The failure limits that a stored account has in KAZOO, as far as they were read when it was written.
#[must_use]
pub(super) fn own_limits(here: &Document) -> OwnLimits {
    let stored = here.get(MIRRORED).and_then(|mirrored| mirrored.get(OWN_LIMITS));
    stored.and_then(|limits| OwnLimits::deserialize(limits).ok()).unwrap_or_default()
}

/// Whether a change of a stored account replaces only its remembered limits. The API names them in another way than the
/// database, with the same effect.
#[must_use]
pub(super) fn is_only_memory(change: &Mirror, here: Option<&Document>) -> bool {
    let is_alone = change.unset.is_empty() && change.set.len() == 1 && change.set.contains_key(MIRRORED);
    is_alone && here.is_some_and(|here| own_limits(here) != OwnLimits::Unknown)
}

/// The fields of an account's document that KAZOO determines.
pub(super) fn account(
    account: &KazooAccount,
    standing: &PlannedAccount<'_>,
    here: Option<&Document>,
) -> FieldChanges {
    let mut wanted = FieldChanges::default();
    let name = account.name.as_deref().map(|name| name.chars().take(LONGEST_NAME).collect::<String>());
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| account.id.to_string());
    wanted.set("name", name);
    wanted.set_or_unset("realm", standing.realm.map(Value::from));
    wanted.set_or_unset("flags", (!account.flags.is_empty()).then(|| account.flags.clone().into()));
    if let Some(KazooLimits { count, window_ms }) = standing.limits {
        let mut own = Document::new();
        let mut put = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                own.insert(field.to_owned(), value);
            }
        };
        put("attempt_failure_count", count.map(Value::from));
        put("attempt_failure_expiry_ms", window_ms.map(Value::from));
        wanted.set_or_unset("webhooks", (!own.is_empty()).then(|| own.into()));
    }
    wanted.set("pvt_account_id", account.id.to_string());
    if !standing.is_master {
        wanted.set("pvt_tree", standing.tree.iter().map(ToString::to_string).collect::<Vec<_>>());
        wanted.set("pvt_enabled", account.enabled);
        wanted.set("pvt_reseller", account.reseller);
    }
    if account.limits != OwnLimits::Unknown {
        wanted.set(MIRRORED, json!({OWN_LIMITS: account.limits}));
    } else if here.is_none_or(|here| !here.contains_key(MIRRORED)) {
        wanted.set(MIRRORED, json!({}));
    }
    wanted
}

/// The fields of a hook's document that KAZOO determines. The positions at which the hook starts are not among them;
/// the writer adds these once, when the hook is new.
pub(super) fn hook(
    hook: &KazooHook,
    here: Option<&Document>,
    allow: &[IpNet],
    odd: &mut Vec<Odd>,
) -> Option<FieldChanges> {
    let mut public = hook.doc.clone();
    let rules = kazoo::Rules { allow, master: true };
    match kazoo::validate_hook(&hook.doc, &rules) {
        Ok(valid) => public = valid,
        Err(errors) => {
            let mut stored = hook.doc.clone();
            stored.insert("_id".into(), hook.id.to_string().into());
            stored.insert("pvt_account_id".into(), hook.account.to_string().into());
            if let Err(reason) = kazoo::hook_from_document(&stored) {
                let what = match reason {
                    kazoo::DocumentError::NoUri => OddKind::NoUri,
                    _ => OddKind::UnknownFamily,
                };
                odd.push(Odd::new(what, hook.id, format!("{reason}; the hook is left out")));
                return None;
            }
            odd.push(refused(hook, &errors, allow));
        }
    }
    let mut wanted = FieldChanges::default();
    for (field, value) in public.into_iter().filter(|(field, _)| field != "enabled") {
        wanted.set(&field, value);
    }
    // A field that only our API has keeps its stored value, unless KAZOO's document has the field as well.
    let here_only = here.into_iter().flatten().map(|(field, _)| field.as_str()).filter(|field| {
        let is_public = !field.starts_with('_') && !field.starts_with("pvt_") && *field != "enabled";
        is_public && !OWN_FIELDS.contains(field) && !wanted.set.contains_key(*field)
    });
    wanted.unset = here_only.map(str::to_owned).collect();
    wanted.set("pvt_account_id", hook.account.to_string());
    wanted.set("pvt_account_db", "webhooks");
    state_of(hook, here, &mut wanted);
    Some(wanted)
}

/// Decides whether the hook is enabled. This program disables hooks too, so its own decision must survive the next
/// reading: the document remembers KAZOO's last value, and only a change of that value overrides the decision.
fn state_of(hook: &KazooHook, here: Option<&Document>, wanted: &mut FieldChanges) {
    let reason = hook.disabled_message.as_ref().filter(|_| !hook.enabled());
    let said = json!({"enabled": hook.enabled(), "reason": reason});
    if here.and_then(|doc| doc.get(MIRRORED)) != Some(&said) {
        wanted.set("enabled", hook.enabled());
        wanted.set_or_unset("pvt_disabled_message", reason.map(|reason| Value::from(reason.as_str())));
    }
    wanted.set(MIRRORED, said);
}

fn refused(hook: &KazooHook, errors: &Document, allow: &[IpNet]) -> Odd {
    if errors.len() == 1 && errors.contains_key("uri") {
        let uri = hook.doc.get("uri").and_then(Value::as_str).unwrap_or_default();
        let why = kazoo::why_refused(uri, allow).map(|why| why.to_string()).unwrap_or_default();
        let text = format!(
            "its URI is refused: {why}; it is imported, and its deliveries fail until the URI is corrected"
        );
        return Odd::new(OddKind::UriRefused, hook.id, text);
    }
    let fields: Vec<_> = errors.keys().map(String::as_str).take(8).collect();
    let text = format!("the API would refuse its {}; it is imported unchanged", fields.join(", "));
    Odd::new(OddKind::HookOdd, hook.id, text)
}

/// A user's document without the password's verifier, which takes time to compute.
pub(super) fn user(user: &KazooUser) -> FieldChanges {
    let mut wanted = FieldChanges::default();
    wanted.set("username", user.username.clone());
    wanted.set("priv_level", if user.is_admin { "admin" } else { "user" });
    wanted.set("enabled", user.enabled);
    wanted.set("pvt_account_id", user.account.to_string());
    wanted.set(MIRRORED, json!({"rev": user.rev}));
    wanted
}

/// The fields that a document must have, and the fields that it must not have.
#[derive(Debug, Default)]
pub(super) struct FieldChanges {
    set: Document,
    unset: Vec<String>,
}

impl FieldChanges {
    fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.set.insert(field.to_owned(), value.into());
    }

    fn set_or_unset(&mut self, field: &str, value: Option<Value>) {
        match value {
            Some(value) => self.set(field, value),
            None => self.unset.push(field.to_owned()),
        }
    }

    /// The change that the stored document needs; `None`: it needs none.
    pub(super) fn over(self, kind: Kind, id: String, here: Option<&Document>) -> Option<Mirror> {
        let Self { mut set, mut unset } = self;
        if let Some(here) = here {
            set.retain(|field, value| here.get(field) != Some(value));
            unset.retain(|field| here.contains_key(field));
            if set.is_empty() && unset.is_empty() {
                return None;
            }
        } else {
            unset.clear();
        }
        let rev = here.and_then(|doc| doc.get("_rev")?.as_str().map(str::to_owned));
        Some(Mirror { kind, id, rev, set, unset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HookId;

    fn object(value: &Value) -> Document {
        value.as_object().cloned().unwrap()
    }

    fn hook_of(doc: &Value) -> KazooHook {
        KazooHook {
            id: HookId(9),
            account: AccountId(2),
            rev: None,
            doc: object(doc),
            disabled_message: None,
        }
    }

    fn stored(mirror: &Mirror, here: Option<&Document>) -> Document {
        let mut doc = here.cloned().unwrap_or_default();
        mirror.unset.iter().for_each(|field| drop(doc.shift_remove(field)));
        doc.extend(mirror.set.clone());
        doc
    }

    fn planned(hook: &KazooHook, here: Option<&Document>) -> Option<Mirror> {
        super::hook(hook, here, &[], &mut Vec::new()).unwrap().over(Kind::Hook, hook.id.to_string(), here)
    }

    #[test]
    fn a_second_look_changes_nothing_and_what_is_ours_stays() {
        let mut hook = hook_of(
            &json!({"name": "n", "hook": "all", "uri": "https://x.example/", "group": "g", "retries": "3"}),
        );
        let mut here = stored(&planned(&hook, None).unwrap(), None);
        assert_eq!((&here["retries"], &here["enabled"]), (&json!(3), &json!(true)));
        assert_eq!(planned(&hook, Some(&here)), None);
        here.insert("secret".into(), "whsec_x".into());
        hook.doc.shift_remove("group");
        let change = planned(&hook, Some(&here)).unwrap();
        assert_eq!((change.unset.clone(), change.set.is_empty()), (vec!["group".to_owned()], true));
        assert_eq!(stored(&change, Some(&here))["secret"], "whsec_x");
    }

    #[test]
    fn a_hook_that_this_program_disabled_stays_so_until_kazoo_says_something_else() {
        let mut hook = hook_of(&json!({"name": "n", "hook": "all", "uri": "https://x.example/"}));
        let mut here = stored(&planned(&hook, None).unwrap(), None);
        here.insert("enabled".into(), false.into());
        here.insert("pvt_disabled_message".into(), "too many failed attempts".into());
        assert_eq!(planned(&hook, Some(&here)), None);
        hook.doc.insert("enabled".into(), false.into());
        hook.disabled_message = Some("too many failed attempts".into());
        let off = stored(&planned(&hook, Some(&here)).unwrap(), Some(&here));
        assert_eq!(off["enabled"], false);
        hook.doc.insert("enabled".into(), true.into());
        let on = stored(&planned(&hook, Some(&off)).unwrap(), Some(&off));
        assert!(on["enabled"] == true && !on.contains_key("pvt_disabled_message"));
    }

    #[test]
    fn a_refused_uri_is_imported_and_named_and_an_unknown_event_is_left_out() {
        let mut odd = Vec::new();
        let inside = hook_of(&json!({"name": "n", "hook": "all", "uri": "http://10.0.0.1/"}));
        assert!(super::hook(&inside, None, &[], &mut odd).is_some());
        let unknown = hook_of(&json!({"name": "n", "hook": "conferences", "uri": "https://x.example/"}));
        assert!(super::hook(&unknown, None, &[], &mut odd).is_none());
        let nowhere = hook_of(&json!({"name": "n", "hook": "all"}));
        assert!(super::hook(&nowhere, None, &[], &mut odd).is_none());
        let kinds: Vec<_> = odd.iter().map(|odd| odd.what).collect();
        assert_eq!(kinds, [OddKind::UriRefused, OddKind::UnknownFamily, OddKind::NoUri]);
    }

    #[test]
    fn a_realm_is_a_host_name() {
        assert!(is_host_name("A_1.example-2.com"));
        assert!(["", "a..b", "a b.example", "\u{430}.example"].iter().all(|realm| !is_host_name(realm)));
    }
}
