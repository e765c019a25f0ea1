//! Forms of any size, and addresses with any bytes: a person always gets a page that says what happened.

use super::browser::Browser;
use crate::support::app::TestApp;

/// `custom_data` of about this many bytes, as a field of the form. Encoding it more than doubles its size.
fn fields(bytes: usize) -> String {
    let lines: Vec<String> = (0..bytes / 50).map(|at| format!("k{at:07}={}", "ü&=\"".repeat(8))).collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_form_may_be_as_large_as_its_document_and_a_larger_one_is_refused_with_a_page() {
    let app = TestApp::with(&["http.max_body_bytes=1000000"]).await;
    let browser = Browser::operator(app.address()).await;
    let hooks = format!("/console/accounts/{}/hooks", app.api.account);
    let send = async |custom_data: &str| {
        let fields = [
            ("name", "large"),
            ("hook", "channel_create"),
            ("format", "json"),
            ("http_verb", "post"),
            ("uri", "http://127.0.0.1:9/"),
            ("custom_data", custom_data),
            ("secret", "none"),
        ];
        browser.submit(&hooks, &format!("{hooks}/new"), &fields).await
    };
    let large = fields(40_000);
    let made = send(&large).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let hook = made.location.rsplit('/').next().unwrap().split('?').next().unwrap();
    let stored = app.api.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_eq!(stored.data()["custom_data"].as_object().unwrap().len(), large.lines().count());

    let refused = send(&fields(100_000)).await;
    assert!(refused.status == 413 && refused.says("Too large") && refused.says("<html"), "{refused:?}");
    let refused = send(&fields(400_000)).await;
    assert!(refused.status == 413 && refused.says("1000000 bytes") && refused.says("<html"), "{refused:?}");
    // Strangers, and sessions that have ended, get no more room than to log in.
    for cookie in ["", "switchhook_console=x", &format!("x={}", app.api.token())] {
        let mut stranger = Browser::new(app.address());
        cookie.clone_into(&mut stranger.cookie);
        let got = stranger.post("/console/login", &[("api_key", large.as_str())]).await;
        assert!(got.status == 401 && got.says("<html") && got.set_cookie.is_empty(), "{cookie}: {got:?}");
    }
}

#[tokio::test]
async fn a_redirect_names_a_path_of_this_origin_whatever_the_address_contains() {
    let app = TestApp::start().await;
    let browser = Browser::operator(app.address()).await;
    for (asked, location) in [
        ("%0d%0aset-cookie:%20a=b", "/console/accounts/%0D%0Aset-cookie:%20a=b/hooks"),
        ("%2f%2fevil.example", "/console/accounts/%2F%2Fevil.example/hooks"),
        ("..%2f..%2f..%2fdocs%3fx%23y", "/console/accounts/..%2F..%2F..%2Fdocs%3Fx%23y/hooks"),
        ("%5c%5cevil.example", "/console/accounts/%5C%5Cevil.example/hooks"),
        ("%c3%bc%22", "/console/accounts/%C3%BC%22/hooks"),
    ] {
        let got = browser.get(&format!("/console/accounts/{asked}")).await;
        assert_eq!((got.status, got.location.as_str()), (303, location));
        assert_eq!(got.set_cookie, "", "{asked}");
    }
}
