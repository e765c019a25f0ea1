//! `/openapi.json` is correct: its examples are executed, and the responses are as it promises.

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, MASTER_KEY, TestApp};
use crate::support::look::{attempts_when, events_of, settled};
use crate::support::receiver::Receiver;
use crate::support::schema::faults;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// An operation of the document.
struct Operation<'d> {
    document: &'d Value,
    method: String,
    path: String,
    described: &'d Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(described) = item.get(method) {
                let method = method.to_ascii_uppercase();
                all.push(Operation { document, method, path: path.clone(), described });
            }
        }
    }
    all
}

impl Operation<'_> {
    /// The path with the document's examples filled in.
    fn example_path(&self) -> String {
        let mut path = self.path.clone();
        for (name, parameter) in self.document["components"]["parameters"].as_object().unwrap() {
            let example = parameter["example"].as_str().unwrap_or_default();
            path = path.replace(&format!("{{{name}}}"), example);
        }
        path
    }

    fn example_body(&self) -> Option<Value> {
        let body = self.described.get("requestBody")?;
        Some(body["content"]["application/json"]["example"].clone())
    }

    fn is_public(&self) -> bool {
        self.described["security"] == json!([])
    }

    /// The expected status of the example's answer, which is the first one. Calls and malformed events need a broker.
    fn expected_status(&self) -> u16 {
        if self.path.contains("/channels") {
            return 503;
        }
        if self.path == "/v2/webhooks" && self.method != "GET" {
            return 403;
        }
        // Requests of Monster UI to KAZOO for data that is not stored here.
        let is_kept_elsewhere =
            ["/callflows", "/limits", "/blacklist"].iter().any(|word| self.path.contains(word));
        // The example of a new call flow is the only accepted one, which Monster UI's wizard sends.
        let is_the_known_flow = self.path.ends_with("/callflows") && self.method == "PUT";
        if is_kept_elsewhere && self.method != "GET" && !is_the_known_flow {
            return 403;
        }
        if self.path.starts_with("/v2/whitelabel/") {
            return 404;
        }
        // The hook of the examples is not disabled, and a code from a document is never valid.
        if self.path.ends_with("/probe") {
            return 409;
        }
        if self.path == "/v2/console_auth" {
            return 401;
        }
        // A token from a document is never valid.
        if self.path == "/v2/auth/tokeninfo" {
            return if self.method == "GET" { 400 } else { 401 };
        }
        if self.path.contains("/quarantine/")
            || self.path.ends_with("{session_id}") && self.method == "DELETE"
        {
            return 404;
        }
        self.described["responses"].as_object().unwrap().keys().next().unwrap().parse().unwrap()
    }

    /// Checks that the document describes this answer of the operation.
    fn check(&self, answer: &Answer) {
        let what = format!("{} {}", self.method, self.path);
        let response = &self.described["responses"][answer.status.to_string()];
        assert!(!response.is_null(), "{what}: {answer:?}");
        let response = match response["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => response,
        };
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            return;
        }
        let faults = faults(self.document, schema, &answer.body);
        assert!(faults.is_empty(), "{what}: {faults:#?}\n{:#}", answer.body);
    }
}

async fn document(app: &TestApp) -> Value {
    serde_json::from_str(&app.api.text("/openapi.json").await).unwrap()
}

/// The resources in the examples, created for one operation: ids of the document and the real ids for them.
async fn world(app: &TestApp, receiver: &Receiver, operation: &Operation<'_>) -> Vec<(&'static str, String)> {
    let above = &app.api.account;
    let account = app.api.account_below(above, "example").await;
    let elsewhere = app.api.account_below(above, "elsewhere").await;
    let api = app.api.below(account.clone());
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let mut ids = vec![("account_id", account), ("to", elsewhere), ("hook_id", hook.clone())];
    let speaks_of = |word: &str| operation.path.contains(word);
    if ["{hook_id}", "{event_id}", "attempts"].into_iter().any(speaks_of) {
        api.publish(&events_of("one", 0..1)).await;
        settled(&api, &hook).await;
        let attempt = attempts_when(&api, &hook, 1).await.remove(0);
        for id in ["event_id", "delivery_id"] {
            ids.push((id, attempt[id].as_str().unwrap().to_owned()));
        }
    }
    if speaks_of("{api_key_id}") {
        ids.push(("api_key_id", created(&api, "/api_keys", json!({"name": "k"})).await));
    }
    if speaks_of("{link_id}") {
        let made = api.own("POST", "/console_links", Some(json!({"data": {}}))).await;
        ids.push(("link_id", id_of(&made)));
    }
    if speaks_of("{user_id}") || speaks_of("user_auth") {
        // The user of the credentials in the example of `user_auth`.
        let user = json!({"username": "mira", "first_name": "A", "last_name": "B", "password": "correct horse battery"});
        ids.push(("user_id", created(&api, "/users", user).await));
    }
    if speaks_of("user_auth") {
        let realm = json!({"data": {"realm": "mill.sip.example.net"}});
        assert_eq!(api.own("PATCH", "", Some(realm)).await.status, 200);
    }
    if speaks_of("{replay_id}") {
        // A replay of a paused hook does not end.
        assert_eq!(api.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
        let asked = json!({"data": {"from_offset": 0}});
        let begun = api.own("POST", &format!("/webhooks/{hook}/replay"), Some(asked)).await;
        ids.push(("replay_id", id_of(&begun)));
    }
    ids
}

/// Creates a document in a collection of an account; returns its id.
async fn created(api: &Api, collection: &str, data: Value) -> String {
    id_of(&api.own("PUT", collection, Some(json!({"data": data}))).await)
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.data()["id"].as_str().unwrap().to_owned()
}

/// A text of the document with the real ids filled in.
fn moved(document: &Value, text: &str, world: &[(&'static str, String)]) -> String {
    let mut text = text.to_owned();
    for (name, id) in world {
        let example = match *name {
            "to" => {
                &document["paths"]["/v2/accounts/{account_id}/move"]["post"]["requestBody"]["content"]["application/json"]
                    ["example"]["data"]["to"]
            }
            name => &document["components"]["parameters"][name]["example"],
        };
        text = text.replace(example.as_str().unwrap(), id);
    }
    text
}

#[tokio::test]
async fn every_example_is_answered_as_the_document_says() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let document = document(&app).await;
    for operation in operations(&document) {
        let world = world(&app, &receiver, &operation).await;
        let path = moved(&document, &operation.example_path(), &world);
        let body = operation
            .example_body()
            .map(|body| serde_json::from_str(&moved(&document, &body.to_string(), &world)).unwrap());
        // One operation revokes the token with which it is called.
        let api = if operation.is_public() { app.anonymous() } else { app.client_with(MASTER_KEY).await };
        let answer = api.call(&operation.method, &path, body).await;
        let what = format!("{} {path}", operation.method);
        assert_eq!(answer.status, operation.expected_status(), "{what}: {answer:?}");
        operation.check(&answer);
    }
    app.stop().await;
}

#[tokio::test]
async fn refusals_are_as_the_document_says() {
    let mut app = TestApp::start().await;
    let document = document(&app).await;
    let stranger = app.anonymous();
    for operation in operations(&document) {
        // The examples' ids do not exist here.
        let path = operation.example_path();
        let api = app.client_with(MASTER_KEY).await;
        operation.check(&api.call(&operation.method, &path, operation.example_body()).await);
        let refused = stranger.call(&operation.method, &path, operation.example_body()).await;
        if !operation.is_public() {
            let unknown = operation.path.contains("{account_id}");
            assert_eq!(refused.status, if unknown { 404 } else { 401 }, "{} {path}", operation.method);
        }
        operation.check(&refused);
        if operation.example_body().is_some() {
            let wrong = json!({"data": {"name": 7, "re-enable": 7, "to": 7, "api_key": 7, "only": 7}});
            operation.check(&api.call(&operation.method, &path, Some(wrong)).await);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn examples_match_their_schemas_and_other_values_do_not() {
    let mut app = TestApp::start().await;
    let document = document(&app).await;
    let fits = |schema: &Value, example: &Value| {
        let faults = faults(&document, schema, example);
        assert!(faults.is_empty(), "{faults:?}");
    };
    for schema in document["components"]["schemas"].as_object().unwrap().values() {
        schema["examples"].as_array().into_iter().flatten().for_each(|example| fits(schema, example));
    }
    for operation in operations(&document) {
        if let Some(body) = operation.described.get("requestBody") {
            let media = &body["content"]["application/json"];
            // A body with a token has no example, because the token would have to be valid.
            if let Some(example) = media.get("example") {
                fits(&media["schema"], example);
            }
        }
    }
    let queue = &document["components"]["schemas"]["Queue"];
    let example = &queue["examples"][0];
    for (name, wrong) in [("state", json!("lost")), ("waiting", json!(-1)), ("gap", json!({"from": 1}))] {
        let mut broken = example.clone();
        broken[name] = wrong;
        assert_eq!(faults(&document, queue, &broken).len(), 1, "{name}");
    }
    let mut strange = example.clone();
    strange["more"] = json!(1);
    strange.as_object_mut().unwrap().shift_remove("dead");
    assert_eq!(faults(&document, queue, &strange).len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn the_documentation_page_loads_nothing_from_elsewhere() {
    let mut app = TestApp::start().await;
    for path in ["/docs", "/docs/style.css", "/docs/script.js"] {
        let text = app.api.text(path).await;
        for elsewhere in ["http:", "https:", "\"//", "@import"] {
            assert!(!text.contains(elsewhere), "{path} names {elsewhere}");
        }
    }
    let page = app.api.text("/docs").await;
    let own = page.split('"').filter(|word| word.starts_with("/docs/"));
    for path in own {
        app.api.text(path).await;
    }
    assert_eq!(app.api.call("GET", "/docs/nothing", None).await.status, 404);
    assert_eq!(app.api.call("POST", "/docs", None).await.status, 405);
    app.stop().await;
}
