//! `GET …/webhooks/{H}/inbox`: what a hook sent to the built-in receiver, newest first. Only for admins: requests are
//! shown whole, with what the hook's headers hold.

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::queue::moment;
use super::reply::Reply;
use crate::model::Received;

pub(super) fn read(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let received = call.api.tester.received(call.account()?.id, hook);
    Ok(Reply::ok(received.iter().map(row).collect::<Vec<_>>()))
}

fn row(received: &Received) -> Value {
    let headers: Map<_, _> =
        received.headers.iter().map(|(n, v)| (n.clone(), Value::from(v.clone()))).collect();
    json!({
        "received": moment(received.at_us), "method": received.method, "uri": received.uri, "headers": headers,
        "body": String::from_utf8_lossy(&received.body), "body_bytes": received.body_bytes,
        "status": received.status,
    })
}
