//! Lists over a real state: filters, order, pages, pieces, CSV (`docs/kazoo/webhooks.md#lists`).

use super::*;
use crate::http::ApiOptions;

/// A master account with hooks of these names. Returns the path of their list, and their ids in order.
async fn hooks(test: &TestApi, names: &[&str]) -> (String, Vec<String>) {
    let mut ids = Vec::new();
    for name in names {
        ids.push(test.hook(&test.master, name).await);
    }
    ids.sort();
    (format!("/v2/accounts/{}/webhooks", test.master), ids)
}

fn ids(rows: &Value) -> Vec<String> {
    rows.as_array().into_iter().flatten().map(|row| row["id"].as_str().unwrap_or_default().into()).collect()
}

fn names(rows: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        rows.as_array().into_iter().flatten().filter_map(|row| row["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn hooks_are_listed_from_the_last_id_to_the_first_unless_reversed() {
    let test = TestApi::start().await;
    let (path, mut expected) = hooks(&test, &["a", "b", "c"]).await;
    assert_eq!(ids(&test.get(&format!("{path}?ascending=true")).await.body["data"]), expected);
    assert_eq!(ids(&test.get(&format!("{path}?descending=false")).await.body["data"]), expected);
    let from_the_second = format!("{path}?ascending=true&start_key={}", expected[1]);
    assert_eq!(ids(&test.get(&from_the_second).await.body["data"]), expected[1..]);
    expected.reverse();
    assert_eq!(ids(&test.get(&path).await.body["data"]), expected);
    let strange = test.get(&format!("{path}?start_key=strange")).await;
    assert_eq!(strange.refusal(), (404, "faulty_request", &json!({"message": "invalid start key"})));
}

#[tokio::test]
async fn pages_of_hooks_stay_right_while_hooks_come_and_go() {
    let test = TestApi::start().await;
    let (path, all) = hooks(&test, &["a", "b", "c", "d", "e"]).await;
    let first = test.get(&format!("{path}?page_size=2")).await;
    assert_eq!(ids(&first.body["data"]), [all[4].clone(), all[3].clone()]);
    // The hook at which the next page would begin is deleted, and one is added in the part that was shown already.
    test.call("DELETE", &format!("{path}/{}", all[2]), Value::Null).await;
    let mut late = hook("late");
    late["id"] = "f".repeat(32).into();
    assert_eq!(test.call("PUT", &path, late).await.status, 201);
    let next = first.body["next_start_key"].as_str().unwrap();
    let second = test.get(&format!("{path}?page_size=2&start_key={next}")).await;
    assert_eq!(ids(&second.body["data"]), [all[1].clone(), all[0].clone()]);
    assert!(second.body.get("next_start_key").is_none());
    assert_eq!(second.body["page_size"], 2);
}

#[tokio::test]
async fn filters_see_the_whole_document_but_no_secret() {
    let test = TestApi::start().await;
    let (path, _) = hooks(&test, &["plain"]).await;
    let secret = format!("whsec_{}", "A".repeat(32));
    let data = json!({"name": "rich", "uri": "https://example.com/rich", "hook": "object", "secret": secret,
        "custom_data": {"type": "user", "action": "all"}, "retries": 4, "group": "g"});
    assert_eq!(test.call("PUT", &path, data).await.status, 201);
    let now = NOW_S + 62_167_219_200;
    for (query, expected) in [
        ("filter_name=plain".to_owned(), &["plain"][..]),
        ("filter_custom_data.type=user".to_owned(), &["rich"]),
        ("filter_hook=%5B%22object%22,%22sms%22%5D".to_owned(), &["rich"]),
        ("filter_retries=2".to_owned(), &["plain"]),
        ("filter_not_group=g".to_owned(), &["plain"]),
        ("has_key=group&filter_enabled=true".to_owned(), &["rich"]),
        ("key_missing=custom_data".to_owned(), &["plain"]),
        ("has_value=custom_data".to_owned(), &["rich"]),
        (format!("filter_pvt_account_id={}", test.master), &["plain", "rich"]),
        (format!("created_from={}", now - 3600 * 24 * 366 * 50), &["plain", "rich"]),
        ("created_to=1".to_owned(), &[]),
        (format!("filter_secret={secret}"), &[]),
        ("has_key=secret".to_owned(), &[]),
    ] {
        let answer = test.get(&format!("{path}?{query}")).await;
        assert_eq!((answer.status, names(&answer.body["data"])), (200, expected.to_vec()), "{query}");
        assert_eq!(answer.body["page_size"], expected.len(), "{query}");
    }
    let refused = test.get(&format!("{path}?modified_from=soon")).await;
    let expected = json!({"modified_from": {"type": {"target": "integer", "value": "soon",
        "message": "Value did not match type(s): integer"}}});
    assert_eq!(refused.refusal(), (400, "validation error", &expected));
}

#[tokio::test]
async fn filtered_pages_are_full_and_the_last_one_has_no_next_key() {
    let test = TestApi::start().await;
    let (path, _) = hooks(&test, &["x", "y", "x", "y", "x", "x"]).await;
    let query = "filter_name=x&page_size=2&chunk_size=1";
    let first = test.get(&format!("{path}?{query}")).await;
    assert_eq!(names(&first.body["data"]), ["x", "x"]);
    let next = first.body["next_start_key"].as_str().unwrap();
    let last = test.get(&format!("{path}?{query}&start_key={next}")).await;
    assert_eq!(names(&last.body["data"]), ["x", "x"]);
    assert_eq!(last.body["start_key"], next);
    assert!(last.body.get("next_start_key").is_none(), "{last:?}");
}

#[tokio::test]
async fn every_list_is_filtered() {
    let test = TestApi::start().await;
    let (account, _) = test.account("child").await;
    for (path, field) in [
        ("/v2/webhooks".to_owned(), "name"),
        (format!("/v2/accounts/{}/children", test.master), "name"),
        (format!("/v2/accounts/{}/descendants", test.master), "name"),
        (format!("/v2/accounts/{account}/api_keys"), "id"),
    ] {
        let all = test.get(&path).await;
        let one = all.body["data"][0][field].as_str().unwrap().replace(' ', "+");
        let answer = test.get(&format!("{path}?filter_{field}={one}")).await;
        assert_eq!(answer.body["page_size"], 1, "{path}: {answer:?}");
        assert_eq!(test.get(&format!("{path}?filter_{field}=none")).await.body["data"], json!([]), "{path}");
        if path == "/v2/webhooks" {
            continue;
        }
        let future = test.get(&format!("{path}?created_from=99999999999")).await;
        let past = test.get(&format!("{path}?created_from=62167219200&modified_from=62167219200")).await;
        assert_eq!((&future.body["data"], &past.body["data"]), (&json!([]), &all.body["data"]), "{path}");
    }
}

#[tokio::test]
async fn a_streamed_list_is_the_same_list_with_texts_after_the_rows() {
    let test = TestApi::start().await;
    let (path, _) = hooks(&test, &["a", "b", "c", "d", "e"]).await;
    for query in ["page_size=3", "page_size=100", "paginate=false", "filter_name=none", "filter_name=c"] {
        let whole = test.get(&format!("{path}?{query}")).await;
        let pieces = test.get(&format!("{path}?{query}&is_chunked=true&chunk_size=2")).await;
        assert_eq!((pieces.status, &pieces.body["data"]), (200, &whole.body["data"]), "{query}");
        for key in ["page_size", "start_key", "next_start_key"] {
            let as_text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            let expected = whole.body.get(key).map(as_text);
            assert_eq!(
                pieces.body.get(key).map(|v| v.as_str().unwrap().to_owned()),
                expected,
                "{query} {key}"
            );
        }
        assert_eq!(
            (&pieces.body["status"], &pieces.body["version"]),
            (&json!("success"), &whole.body["version"])
        );
        assert_eq!(pieces.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_list_too_large_for_one_envelope_is_refused_unless_it_is_streamed() {
    let test = TestApi::start_with(ApiOptions { max_page_size: 3, ..ApiOptions::default() }).await;
    let (path, _) = hooks(&test, &["a", "b", "c", "d"]).await;
    let refused = test.get(&format!("{path}?paginate=false")).await;
    assert_eq!(refused.refusal(), (416, "range not satisfiable", &json!({})));
    let pieces = test.get(&format!("{path}?paginate=false&is_chunked=true")).await;
    assert_eq!(pieces.body["data"].as_array().unwrap().len(), 4);
    test.call("DELETE", &format!("{path}/{}", ids(&pieces.body["data"])[0]), Value::Null).await;
    assert_eq!(test.get(&format!("{path}?paginate=false")).await.body["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_list_can_be_downloaded_as_csv_whole_or_in_part() {
    let test = TestApi::start().await;
    let (path, ids) = hooks(&test, &["a, \"b\"", "c"]).await;
    let line = |id: &str| {
        let name = if test.api.state.hook(id.parse().unwrap()).unwrap().name == "c" {
            "c"
        } else {
            "\"a, \"\"b\"\"\""
        };
        format!("{id},{name},channel_create,https://example.com/hook,true,,\r\n")
    };
    let header = "id,name,hook,uri,enabled,group,disable_reason\r\n";
    let expected = format!("{header}{}{}", line(&ids[1]), line(&ids[0]));
    let token = test.token.as_str();
    let by_header = test.raw("GET", &path, "", &[("accept", "text/csv"), ("x-auth-token", token)]).await;
    assert_eq!((by_header.status, by_header.body.as_str()), (200, Some(expected.as_str())));
    assert_eq!(by_header.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(by_header.header("content-disposition"), Some("attachment; filename=\"webhooks.csv\""));
    let part = test.get(&format!("{path}?accept=csv&page_size=1&file_name=my%22/hooks.csv")).await;
    assert_eq!(part.body, format!("{header}{}", line(&ids[1])));
    assert_eq!(part.header("content-disposition"), Some("attachment; filename=\"my__hooks.csv\""));
    let empty = test.get(&format!("{path}?accept=text/csv&filter_name=none")).await;
    assert_eq!(empty.body, header);
}

#[tokio::test]
async fn csv_of_something_else_than_a_list_is_refused_before_anything_is_done() {
    let test = TestApi::start().await;
    let (path, ids) = hooks(&test, &["a"]).await;
    let one = test.get(&format!("{path}/{}?accept=csv", ids[0])).await;
    assert_eq!((one.status, one.body), (406, json!("")));
    let created = test.call("PUT", &format!("{path}?accept=csv"), hook("b")).await;
    assert_eq!(created.status, 406);
    assert_eq!(test.get(&path).await.body["page_size"], 1);
}
