//! Filters, one table per rule.

use serde_json::json;
use warp::http::{HeaderMap, Method};

use super::*;

fn filters(query: &str) -> Result<Filters, ApiError> {
    Filters::of(&Request::new(Method::GET, "/", query, HeaderMap::new()))
}

fn item() -> Item {
    let stored = json!({
        "_id": "h1", "name": "Door bell", "enabled": true, "retries": 3, "rate": 2.5, "note": null, "tags": [],
        "custom_data": {"type": "user", "deep": {"er": "yes"}, "empty": ""}, "pvt_account_id": "a1",
        "pvt_created": 1000, "pvt_modified": 2000, "list": ["x", "y"],
    });
    let seen = stored.as_object().unwrap().clone();
    Item { seen, row: json!({"id": "h1", "disable_reason": "too many failed attempts", "name": "shown"}) }
}

fn shows(query: &str) -> bool {
    filters(query).unwrap().match_item(&item())
}

#[test]
fn every_filter_passes_exactly_the_items_that_it_names() {
    for (query, shown) in [
        ("filter_name=Door+bell", true),
        ("filter_name=door+bell", false),
        ("filter_name=shown", false),
        ("filter_enabled=true", true),
        ("filter_retries=3", true),
        ("filter_retries=3.0", false),
        ("filter_rate=2.5", true),
        ("filter_custom_data.type=user", true),
        ("filter_custom_data.deep.er=yes", true),
        ("filter_custom_data.deep=yes", false),
        ("filter_custom_data.type.more=user", false),
        ("filter_pvt_account_id=a1", true),
        ("filter_id=h1", true),
        ("filter_disable_reason=too+many+failed+attempts", true),
        ("filter_absent=", false),
        ("filter_note=null", false),
        ("filter_name=%5B%22a%22,%22Door+bell%22%5D", true),
        ("filter_retries=[1,3]", true),
        ("filter_retries=[1,2]", false),
        ("filter_retries=[]", false),
        ("filter_not_name=Door+bell", false),
        ("filter_not_name=other", true),
        ("filter_not_absent=x", true),
        ("filter_not_retries=[1,3]", false),
        ("filter_not_custom_data.type=device", true),
    ] {
        assert_eq!(shows(query), shown, "{query}");
    }
}

#[test]
fn keys_and_values_are_told_apart() {
    for (field, has_key, has_value) in [
        ("name", true, true),
        ("custom_data", true, true),
        ("custom_data.empty", true, false),
        ("tags", true, false),
        ("note", false, false),
        ("absent", false, false),
        ("custom_data.absent", false, false),
        ("enabled", true, true),
    ] {
        for (filter, shown) in [
            ("has_key", has_key),
            ("key_missing", !has_key),
            ("missing_key", !has_key),
            ("has_value", has_value),
            ("value_missing", !has_value),
            ("missing_value", !has_value),
        ] {
            assert_eq!(shows(&format!("{filter}={field}")), shown, "{filter}={field}");
        }
    }
}

#[test]
fn filters_never_see_secrets_or_their_hashes() {
    let hidden = ["secret", "pvt_secrets", "pvt_key_hash", "pvt_md5_auth", "pvt_sha1_auth", "pvt_stamp"];
    let seen = ["pvt_auth_account_id", "pvt_is_authenticated", "pvt_created", "secretary"];
    let stored = hidden.iter().chain(&seen).map(|field| ((*field).to_owned(), json!("x"))).collect();
    let item = Item::of(stored, json!({}));
    let shows = |field: &str| filters(&format!("filter_{field}=x")).unwrap().match_item(&item);
    assert!(!hidden.iter().any(|field| shows(field)), "{item:?}");
    assert!(seen.iter().all(|field| shows(field)), "{item:?}");
}

#[test]
fn ranges_of_time_include_both_ends() {
    for (query, shown) in [
        ("created_from=1000", true),
        ("created_from=1001", false),
        ("created_to=1000", true),
        ("created_to=999", false),
        ("modified_from=2000&modified_to=2000", true),
        ("modified_from=2001", false),
        ("modified_to=1999", false),
    ] {
        assert_eq!(shows(query), shown, "{query}");
    }
    let bare = Item::from(json!({"name": "n"}));
    assert!(!filters("created_from=0").unwrap().match_item(&bare), "an item without a time is in no range");
}

#[test]
fn an_invalid_time_is_refused_by_its_name() {
    for name in ["created_from", "created_to", "modified_from", "modified_to"] {
        let refused = filters(&format!("{name}=soon")).unwrap_err();
        assert_eq!(refused, ApiError::wrong_type(name, "integer", &json!("soon")));
    }
}

#[test]
fn all_filters_must_hold_and_other_parameters_are_not_filters() {
    assert!(shows("filter_enabled=true&filter_retries=3&has_key=name"));
    assert!(!shows("filter_enabled=true&filter_retries=4"));
    assert!(!shows("filter_retries=3&filter_retries=4"), "two filters of one field must both hold");
    assert!(filters("page_size=3&start_key=x&filtername=y").unwrap().is_empty());
}
