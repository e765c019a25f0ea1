//! Lists over the wire: streamed, downloaded, paged (`docs/kazoo/webhooks.md#lists`).

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};
use crate::support::raw::send_as;

/// Creates hooks of the client's account; returns the path of the list.
async fn hooks(api: &Api, count: usize) -> String {
    for n in 0..count {
        api.hook(json!({"uri": "https://receiver.example/", "name": format!("hook, {n}")})).await;
    }
    format!("/v2/accounts/{}/webhooks", api.account)
}

fn ids(rows: &Value) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_streamed_list_a_download_and_the_pages_hold_the_same_rows() {
    let mut app = TestApp::with(&["http.max_page_size=10", "http.page_size=10"]).await;
    let api = app.api.clone();
    let path = hooks(&api, 23).await;
    let mut pages = Vec::new();
    let mut asked = path.clone();
    loop {
        let page = send_as(&api, "GET", &asked, &[], "").await.body();
        pages.extend(ids(&page["data"]));
        let Some(next) = page["next_start_key"].as_str() else { break };
        assert_eq!(page["page_size"], 10);
        asked = format!("{path}?start_key={next}");
    }
    assert_eq!(pages.len(), 23);
    assert!(pages.is_sorted_by(|a, b| a > b), "{pages:?}");

    let streamed = send_as(&api, "GET", &format!("{path}?is_chunked=true&paginate=false"), &[], "").await;
    assert_eq!(
        (streamed.header("transfer-encoding"), streamed.header("content-length")),
        (Some("chunked"), None)
    );
    assert_eq!(ids(&streamed.body()["data"]), pages);
    assert!(streamed.body().get("page_size").is_none(), "not paged: {:?}", streamed.body());

    let csv = send_as(&api, "GET", &path, &[("accept", "text/csv"), ("x-file-name", "all.csv")], "").await;
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"all.csv\""));
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(), pages);
    assert!(rows.iter().all(|row| row[1].starts_with("hook, ")), "{rows:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_repeated_page_is_identical_and_has_the_same_revision() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let path = hooks(&api, 3).await;
    let ask = async || send_as(&api, "GET", &path, &[], "").await.body();
    let (first, again) = (ask().await, ask().await);
    assert_eq!((&first["revision"], &first["data"]), (&again["revision"], &again["data"]));
    api.hook(json!({"uri": "https://receiver.example/"})).await;
    assert_ne!(ask().await["revision"], first["revision"]);
    let none = send_as(&api, "GET", &format!("{path}?filter_name=none"), &[], "").await;
    assert_eq!((none.header("etag"), &none.body()["page_size"]), (None, &json!(0)));
    app.stop().await;
}
