//! Hook documents as clients write them.

use serde_json::Value;

use crate::kazoo::{self, Rules};

/// Any JSON object as a hook document. An accepted document makes a hook, can be shown without a readable secret, and
/// is accepted again in its stored form.
pub fn hook(data: &[u8]) {
    let Ok(Value::Object(input)) = serde_json::from_slice::<Value>(data) else { return };
    drop(kazoo::hook_from_document(&input));
    drop(kazoo::public_document(&input));
    for master in [false, true] {
        let rules = Rules { allow: &[], master };
        let Ok(stored) = kazoo::validate_hook(&input, &rules) else { continue };
        let again = kazoo::validate_hook(&stored, &rules);
        assert_eq!(again.as_ref().ok(), Some(&stored), "{again:?}");
        let mut doc = stored.clone();
        for name in ["_id", "pvt_account_id"] {
            doc.insert(name.to_owned(), "0".repeat(32).into());
        }
        let hook = kazoo::hook_from_document(&doc).unwrap();
        assert!(kazoo::uri_is_acceptable(&hook.uri, &[]));
        let shown = kazoo::public_document(&doc);
        assert!(shown.get("secret").is_none_or(|shown| *shown == kazoo::MASKED_SECRET));
    }
}
