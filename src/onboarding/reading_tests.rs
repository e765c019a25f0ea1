//! Which parts of documents are kept, and which are removed.

use serde_json::json;

use super::*;
use crate::onboarding::testing;

fn found(value: &Value, profile: Profile) -> AccountDocument {
    KazooAccount::found(value.as_object().unwrap(), profile)
}

fn document() -> Value {
    json!({
        "_id": "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71", "_rev": "7-41c0aa", "name": "Bakker & Zn", "pvt_type": "account",
        "pvt_tree": ["0a7be1c24d9f4e35b86c1f20d3947a5e"], "pvt_api_key": "k3y", "pvt_signature_secret": "s3cret",
        "pvt_cpaas_token": "t0ken", "flags": ["gold"], "pvt_created": 63_927_219_200_u64,
    })
}

#[test]
fn secrets_of_an_account_are_removed_while_it_is_read() {
    let AccountDocument::Account(account) = found(&document(), Profile::Current) else {
        panic!("an account")
    };
    let text = serde_json::to_string(&account).unwrap() + &format!("{account:?}");
    assert!(text.contains("Bakker"), "{text}");
    for secret in ["k3y", "s3cret", "t0ken"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn the_fields_that_enable_an_account_depend_on_the_version() {
    let enabled = |public: Value, private: Value, profile| {
        let mut doc = document();
        doc["enabled"] = public;
        doc["pvt_enabled"] = private;
        matches!(found(&doc, profile), AccountDocument::Account(account) if account.enabled)
    };
    let (off, on) = (json!(false), json!(true));
    assert!(enabled(off.clone(), on.clone(), Profile::Current));
    assert!(!enabled(off.clone(), on.clone(), Profile::Classic));
    assert!(!enabled(on.clone(), off.clone(), Profile::Current));
    assert!(enabled(Value::Null, Value::Null, Profile::Classic));
}

#[test]
fn partial_deleted_and_other_documents_are_distinguished() {
    let mut doc = document();
    doc["pvt_deleted"] = true.into();
    assert!(matches!(found(&doc, Profile::Current), AccountDocument::Deleted(_)));
    let stub = json!({"_id": "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71", "pvt_enabled": false});
    assert!(matches!(found(&stub, Profile::Current), AccountDocument::Stub(_)));
    assert_eq!(
        found(&json!({"_id": "_design/accounts", "views": {}}), Profile::Current),
        AccountDocument::Other
    );
    doc = document();
    doc["pvt_tree"] = json!(["no id"]);
    assert!(matches!(found(&doc, Profile::Current), AccountDocument::Stub(_)));
}

#[test]
fn a_hook_keeps_its_public_fields_and_the_reason_why_it_is_disabled() {
    let doc = json!({
        "_id": "9d1e7c3a5b804f6e92c4a7d0b3f8e651", "_rev": "4-77ab", "name": "CRM", "hook": "all", "uri": "https://x",
        "enabled": "false", "disable_reason": "stuck", "pvt_disabled_message": "too many failed attempts",
        "pvt_type": "webhook", "pvt_account_id": "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83", "group": null,
    });
    let hook = KazooHook::of_document(doc.as_object().unwrap()).unwrap();
    assert_eq!(
        Value::Object(hook.doc.clone()),
        json!({"name": "CRM", "hook": "all", "uri": "https://x", "enabled": "false"})
    );
    assert!(!hook.enabled() && hook.disabled_message.is_some());
}

#[test]
fn a_user_without_a_name_or_a_hash_cannot_log_in_and_hashes_are_not_shown() {
    let mut doc = json!({
        "_id": "u", "_rev": "1-a", "pvt_type": "user", "username": "Anna", "enabled": true,
        "pvt_md5_auth": "0123456789ABCDEF0123456789abcdef", "first_name": "A", "email": "a@b.example",
    });
    let user = |doc: &Value| KazooUser::of_document(AccountId::default(), doc.as_object().unwrap());
    let anna = user(&doc).unwrap();
    assert_eq!((anna.username.as_str(), anna.enabled, anna.sha1.is_none()), ("anna", true, true));
    assert!(!format!("{anna:?}").contains("0123456789abcdef"));
    doc["pvt_md5_auth"] = "short".into();
    assert_eq!(user(&doc), None);
}

#[test]
fn the_master_account_is_the_configured_one_or_the_oldest_root() {
    let account = |id: u128, created| KazooAccount { created, ..testing::account(id, &[]) };
    let mut reading = Reading::default();
    for account in [account(1, Some(20)), account(2, Some(10)), account(3, None)] {
        reading.accounts.insert(account.id, account);
    }
    assert_eq!(reading.master(), Some(crate::model::AccountId(2)));
    reading.master = Some(crate::model::AccountId(3));
    assert_eq!(reading.master(), Some(crate::model::AccountId(3)));
}
