//! The envelope of answers (`docs/kazoo/webhooks.md#the-envelope`).

use super::*;

#[tokio::test]
async fn a_public_answer_has_no_version_and_no_token() {
    let test = TestApi::start().await;
    let answer = test.raw("GET", "/v2/webhooks", "", &[("x-request-id", "my-request")]).await;
    assert_eq!(answer.status, 200);
    let names: Vec<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["data", "page_size", "start_key", "revision", "status", "request_id", "node", "timestamp"];
    assert_eq!(names, expected);
    assert_eq!(answer.body["request_id"], "my-request");
    assert_eq!(answer.header("x-request-id"), Some("my-request"));
    assert_eq!(answer.body["timestamp"], "2025-10-09T08:53:20Z");
    let rows = answer.body["data"].as_array().unwrap();
    assert_eq!(answer.body["page_size"], rows.len());
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    assert!(names.is_sorted_by(|a, b| a >= b), "{names:?}");
}

#[tokio::test]
async fn the_definitions_cannot_be_written() {
    let test = TestApi::start().await;
    assert_eq!(test.raw("PUT", "/v2/webhooks", "", &[]).await.status, 401);
    assert_eq!(test.call("PUT", "/v2/webhooks", json!({})).await.status, 403);
    assert_eq!(test.call("DELETE", "/v2/webhooks", Value::Null).await.status, 405);
}

#[tokio::test]
async fn an_authenticated_answer_echoes_the_token_and_tells_the_version() {
    let test = TestApi::start().await;
    let answer = test.get(&format!("/v2/accounts/{}", test.master)).await;
    assert_eq!(answer.body["auth_token"], test.token);
    assert_eq!(answer.body["version"], env!("CARGO_PKG_VERSION"));
    let revision = answer.body["revision"].as_str().unwrap();
    assert_eq!(answer.header("etag"), Some(format!("\"{revision}\"").as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_empty_list_has_no_revision_and_no_keys() {
    let test = TestApi::start().await;
    let answer = test.get(&format!("/v2/accounts/{}/webhooks", test.master)).await;
    assert_eq!((&answer.body["data"], &answer.body["page_size"]), (&json!([]), &json!(0)));
    for absent in ["revision", "start_key", "next_start_key"] {
        assert!(answer.body.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn options_and_errors_carry_cors_headers() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let options = test.raw("OPTIONS", &path, "", &[("origin", "https://ui.example.com")]).await;
    assert_eq!(options.status, 200);
    assert_eq!(options.header("access-control-allow-methods"), Some("OPTIONS, GET, PUT, PATCH"));
    assert_eq!(options.header("access-control-allow-origin"), Some("*"));
    let error = test.raw("GET", &path, "", &[]).await;
    assert_eq!(error.header("access-control-max-age"), Some("86400"));
    let plain = test.get(&path).await;
    assert_eq!(plain.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn answers_can_be_pretty_or_wrapped() {
    let test = TestApi::start().await;
    let request = |query: &str| Request::new(Method::GET, "/v2/webhooks", query, HeaderMap::new());
    let answer = async |query| text(test.api.answer(request(query), Ok(())).await.body).await;
    let pretty = answer("pretty_print=true").await;
    assert!(pretty.starts_with("{\n  \"data\""), "{pretty}");
    let wrapped = answer("jsonp=my.fn").await;
    assert!(wrapped.starts_with("my.fn({") && wrapped.ends_with("});"));
    assert!(answer("jsonp=alert(1)//").await.starts_with('{'));
}

#[tokio::test]
async fn health_needs_no_token_and_names_what_is_wrong() {
    let test = TestApi::start().await;
    assert_eq!(test.raw("GET", "/health/live", "", &[]).await.status, 200);
    let ready = test.raw("GET", "/health/ready", "", &[]).await;
    assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)));
    let fault = crate::http::Fault { what: "broker".into(), reason: "connection refused".into() };
    test.recorded.faults.lock().unwrap().push(fault);
    let ready = test.raw("GET", "/health/ready", "", &[]).await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body["faults"], json!([{"what": "broker", "reason": "connection refused"}]));
}
