//! A client of the program's API.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

/// The master account's API key in every bench.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A client with the master account's token. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    base: String,
    pub(crate) token: String,
    pub(crate) account: String,
}

impl Api {
    pub(crate) async fn log_in(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
        let base = format!("http://{address}/v2");
        let mut api = Self { client, base, token: String::new(), account: String::new() };
        let answer = api.call(Method::PUT, "api_auth", json!({"data": {"api_key": KEY}})).await;
        answer["auth_token"].as_str().unwrap().clone_into(&mut api.token);
        answer["data"]["account_id"].as_str().unwrap().clone_into(&mut api.account);
        api
    }

    /// Sends a request that must succeed; returns the response.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        self.send(method, path, body.to_string().into_bytes()).await
    }

    /// Submits events for an account; they are on disk when it returns.
    pub(crate) async fn publish(&self, account: &str, events: &[Vec<u8>]) {
        let body = [b"{\"data\":[", events.join(&b","[..]).as_slice(), b"]}"].concat();
        self.send(Method::PUT, &format!("accounts/{account}/events"), body).await;
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Value {
        let request = self.client.request(method, format!("{}/{path}", self.base));
        let request = request.header("content-type", "application/json").header("x-auth-token", &self.token);
        let answer = request.body(body).send().await.unwrap();
        let (status, body) = (answer.status(), answer.bytes().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}
