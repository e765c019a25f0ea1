//! Raw requests, without an added token or content type, and complete responses.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::app::Api;

/// A response with its headers and its text.
#[derive(Debug)]
pub struct Raw {
    pub status: u16,
    headers: HeaderMap,
    pub text: String,
}

impl Raw {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The envelope; null if the body is not JSON.
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// Sends a request with these headers and this body.
pub async fn send(api: &Api, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let method = reqwest::Method::from_bytes(verb.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, format!("{}{path}", api.base()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() {
        request = request.body(body.to_owned());
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Raw { status, headers, text: answer.text().await.unwrap() }
}

/// Sends a request with the client's token.
pub async fn send_as(api: &Api, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let token = [("x-auth-token", api.token())];
    send(api, verb, path, &[&token[..], headers].concat(), body).await
}
