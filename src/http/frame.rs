//! KAZOO's envelope of responses (`docs/kazoo/webhooks.md#the-envelope`).

use serde_json::{Map, Value, json};

use super::errors::ApiError;
use super::reply::Reply;
use crate::auth::Tokens;

/// What every response has.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub(super) request_id: String,
    pub(super) node: String,
    pub(super) timestamp: String,
    /// The tokens that the request took from its bucket; `None` without a limit.
    pub(super) tokens: Option<Tokens>,
    /// The token of an authenticated caller. With it the response has the version too.
    pub(super) auth_token: Option<String>,
}

impl Frame {
    /// The envelope of a successful response.
    pub(super) fn success(&self, reply: Reply) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("data".into(), reply.data);
        if let Some(page) = reply.page {
            out.insert("page_size".into(), page.size.into());
            for (name, key) in [("start_key", page.start_key), ("next_start_key", page.next_start_key)] {
                if let Some(key) = key {
                    out.insert(name.into(), key.into());
                }
            }
        }
        if let Some(revision) = reply.revision {
            out.insert("revision".into(), revision.into());
        }
        out.insert("status".into(), "success".into());
        self.close(&mut out, reply.auth_token);
        out
    }

    /// The envelope of a refusal; `None` if the refusal has no body.
    pub(super) fn error(&self, error: ApiError) -> Option<Map<String, Value>> {
        let mut out = Map::new();
        out.insert("data".into(), error.data?);
        out.insert("error".into(), error.status.to_string().into());
        out.insert("message".into(), error.message.into());
        out.insert("status".into(), "error".into());
        self.close(&mut out, None);
        Some(out)
    }

    fn close(&self, out: &mut Map<String, Value>, new_token: Option<String>) {
        let authenticated = new_token.is_some() || self.auth_token.is_some();
        if let Some(token) = new_token.or_else(|| self.auth_token.clone()) {
            out.insert("auth_token".into(), token.into());
        }
        if let Some(Tokens { consumed, remaining }) = self.tokens {
            out.insert("tokens".into(), json!({"consumed": consumed, "remaining": remaining}));
        }
        out.insert("request_id".into(), self.request_id.clone().into());
        out.insert("node".into(), self.node.clone().into());
        if authenticated {
            out.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        }
        out.insert("timestamp".into(), self.timestamp.clone().into());
    }
}
