//! Hook documents are accepted, converted and refused as every row of `tests/fixtures/hook_validation.json` says.
//!
//! A row has a description, fields to add to a valid document (`null` removes a field), and either the stored fields or
//! the errors.

use serde_json::{Map, Value, json};

use crate::support::app::TestApp;

fn document(fields: &Value) -> Value {
    let mut doc = json!({"name": "n", "hook": "sms", "uri": "https://receiver.example/in"});
    for (field, value) in fields.as_object().unwrap() {
        if value.is_null() {
            doc.as_object_mut().unwrap().remove(field);
        } else {
            doc[field] = value.clone();
        }
    }
    doc
}

/// The fields of the response that the row names.
fn of(data: &Value, expected: &Value) -> Value {
    let named = expected.as_object().unwrap().keys();
    named
        .map(|field| (field.clone(), data.get(field).cloned().unwrap_or(Value::Null)))
        .collect::<Map<_, _>>()
        .into()
}

#[tokio::test]
async fn every_document_is_stored_or_refused_as_the_table_says() {
    let mut app = TestApp::with(&["delivery.allow_addresses=[]"]).await;
    let api = app.api.clone();
    let owner = api.account_below(&api.account, "owner").await;
    let table: Vec<Value> =
        serde_json::from_str(include_str!("../../fixtures/hook_validation.json")).unwrap();
    for row in &table {
        let what = row["what"].as_str().unwrap();
        let path = format!("/v2/accounts/{owner}/webhooks");
        let answer = api.call("PUT", &path, Some(json!({"data": document(&row["in"])}))).await;
        if let Some(stored) = row.get("stored") {
            assert_eq!(answer.status, 201, "{what}: {answer:?}");
            assert_eq!(&of(answer.data(), stored), stored, "{what}");
            // The response equals the stored document, and is accepted again unchanged.
            let one = format!("{path}/{}", answer.data()["id"].as_str().unwrap());
            let again = api.call("POST", &one, Some(json!({"data": answer.data()}))).await;
            assert_eq!((again.status, again.data()), (200, answer.data()), "{what}");
        } else {
            assert_eq!((answer.status, answer.data()), (400, &row["errors"]), "{what}");
        }
    }
    app.stop().await;
}
