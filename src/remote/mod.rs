//! A client of a running program's API, for an operator's commands. The key comes from a file or the environment,
//! never from the command line.

use std::path::Path;

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::{Value, json};

use crate::model::AccountId;
use crate::onboarding::source::{Answer, Ask, Client, Manner};

/// A running program, and a token of an account there.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    /// The client for changes. Changes are not retried, because a broken connection does not show whether they were
    /// made.
    changes: Client,
    token: Token,
    /// The account of the key.
    pub account: AccountId,
}

/// A token. It prints as `***`.
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The API key: from a file, from `SWITCHHOOK_API_KEY`, or the one that the first start wrote into the data directory.
pub fn key(file: Option<&Path>, data_dir: &Path) -> anyhow::Result<String> {
    if let Some(key) = crate::import::secret(file, "SWITCHHOOK_API_KEY")? {
        return Ok(key);
    }
    let path = data_dir.join("master.key");
    let key = std::fs::read_to_string(&path).map(|key| key.trim().to_owned());
    key.with_context(|| {
        format!(
            "no API key: give --key-file FILE, or SWITCHHOOK_API_KEY in the environment ({} cannot be read)",
            path.display()
        )
    })
}

impl Remote {
    /// Logs in with an API key.
    pub async fn log_in(address: &str, api_key: &str) -> anyhow::Result<Self> {
        let manner = Manner { tries: 3, ..Manner::default() };
        let client = Client::new(address, None, manner.clone())?;
        let changes = Client::new(address, None, Manner { tries: 1, ..manner })?;
        let body = json!({"data": {"api_key": api_key}});
        let ask = Ask { method: Method::PUT, body: Some(&body), ..Ask::get("v2/api_auth", &[]) };
        let answer = client.ask(ask).await?;
        let token = answer.body.get("auth_token").and_then(Value::as_str);
        let account = answer.body.get("data").and_then(|data| data.get("account_id")?.as_str()?.parse().ok());
        let (Some(token), Some(account)) = (token, account) else {
            bail!("{address}: the API key is unknown there");
        };
        Ok(Self { client, changes, token: Token(token.to_owned()), account })
    }

    /// Reads a resource.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let ask = Ask { token: Some(&self.token.0), ..Ask::get(path, query) };
        data(path, self.client.ask(ask).await?)
    }

    /// Makes a change and returns the `data` of the response.
    pub async fn change(&self, method: Method, path: &str, data: Option<&Value>) -> anyhow::Result<Value> {
        let body = json!({"data": data.unwrap_or(&json!({}))});
        let ask = Ask { method, body: Some(&body), token: Some(&self.token.0), ..Ask::get(path, &[]) };
        self::data(path, self.changes.ask(ask).await?)
    }

    /// Makes a change with POST.
    pub async fn post(&self, path: &str, data: &Value) -> anyhow::Result<Value> {
        self.change(Method::POST, path, Some(data)).await
    }
}

fn data(path: &str, answer: Answer) -> anyhow::Result<Value> {
    let Answer { status, mut body } = answer;
    if status == 404 {
        let why = body.get("message").and_then(Value::as_str).unwrap_or("not found").to_owned();
        bail!("{path} answers 404: {why}");
    }
    Ok(body.get_mut("data").map(Value::take).unwrap_or_default())
}
