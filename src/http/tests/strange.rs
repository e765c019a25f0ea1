//! Arbitrary requests: every response is an envelope, and nothing panics.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["all", "object", "held", "http://[", "whsec_***", "true", "put"])
            .prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "name",
        "uri",
        "hook",
        "http_verb",
        "retries",
        "enabled",
        "custom_data",
        "secret",
        "headers",
        "retry",
        "id",
        "modifiers",
        "re-enable",
        "api_key",
        "from_offset",
        "created_from",
        "only",
        "Event-Name",
        "Event-Category",
        "Custom-Channel-Vars",
        "Account-ID",
        "realm",
        "data",
        "verb",
        "auth_token",
    ]);
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn strange_requests_get_an_answer_in_the_envelope() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let test = runtime.block_on(TestApi::start());
    let hook = runtime.block_on(test.hook(&test.master, "h"));
    let below =
        ["", "/webhooks", "/events", "/children", "/api_keys", "/webhooks/attempts", "/descendants/webhooks"];
    let ofhook = ["", "/replay", "/queue", "/attempts", "/replay/0"];
    let account = format!("/v2/accounts/{}", test.master);
    let mut paths: Vec<_> = below.iter().map(|end| format!("{account}{end}")).collect();
    paths.extend(ofhook.iter().map(|end| format!("{account}/webhooks/{hook}{end}")));
    paths.extend(["/v2/api_auth".into(), "/v2/webhooks".into(), "/v2/accounts/%ff%00/webhooks".into()]);
    let queries = [
        "",
        "?page_size=99999999999999999999",
        "?start_key=%00",
        "?created_to=18446744073709551615",
        "?page_size=3&start_key=____",
        "?paginate=false&ascending=true",
        "?verb=PATCH",
        "?verb=%0a",
    ];
    let requests = (
        prop::sample::select(paths),
        prop::sample::select(queries.to_vec()),
        prop::sample::select(vec!["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"]),
        prop_oneof![
            data().prop_map(|data| json!({"data": data}).to_string()),
            data().prop_map(|data| data.to_string()),
            ".{0,40}",
        ],
    );
    let strange =
        TestRunner::new(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() }).run(
            &requests,
            |(path, query, method, body)| {
                let headers = [("x-auth-token", test.token.as_str())];
                let answer = runtime.block_on(test.raw(method, &format!("{path}{query}"), &body, &headers));
                prop_assert!(answer.status < 500, "{answer:?}");
                let has_no_body = method == "OPTIONS";
                prop_assert!(has_no_body || answer.body["request_id"].is_string(), "{answer:?}");
                Ok(())
            },
        );
    strange.unwrap();
}
