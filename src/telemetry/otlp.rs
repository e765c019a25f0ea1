//! Exports spans of attempts to a collector, with OTLP over HTTP in its JSON encoding.
//!
//! Tracing never delays a delivery: spans that find no room, or that the collector does not accept, are dropped and
//! counted in a warning.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::model::AttemptSpan;

/// Most spans in one request.
const BATCH: usize = 512;
/// Time that the first span of a request waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `SPAN_KIND_CLIENT`.
const CLIENT: u8 = 3;

/// The task that sends spans.
#[derive(Debug)]
pub struct Exporter {
    client: Client,
    url: String,
    spans: mpsc::Receiver<AttemptSpan>,
    node: String,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint: {0}")]
pub struct ExportError(#[from] reqwest::Error);

impl Exporter {
    /// Sends what comes from `spans` to `{endpoint}/v1/traces`, as `node`.
    pub fn new(
        endpoint: &str,
        spans: mpsc::Receiver<AttemptSpan>,
        node: String,
    ) -> Result<Self, ExportError> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        Ok(Self { client, url, spans, node })
    }

    /// Runs until all senders of spans have ended, then sends the rest.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.spans.recv_many(&mut batch, BATCH).await > 0 {
            let until = Instant::now() + GATHER;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                match timeout_at(until, self.spans.recv_many(&mut batch, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            self.send(&batch).await;
            batch.clear();
        }
    }

    async fn send(&self, batch: &[AttemptSpan]) {
        let body = request(batch, &self.node).to_string();
        let sent = self.client.post(&self.url).header("content-type", "application/json").body(body).send();
        let reason = match sent.await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => format!("the collector answered {}", answer.status()),
            Err(error) => error.without_url().to_string(),
        };
        tracing::warn!(spans = batch.len(), reason, "spans were not exported; they are dropped");
    }
}

/// An `ExportTraceServiceRequest` (opentelemetry-proto, JSON mapping: ids in hex, 64-bit numbers as text).
fn request(batch: &[AttemptSpan], node: &str) -> Value {
    let resource = [
        text("service.name", "switchhook"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", node),
    ];
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "switchhook", "version": env!("CARGO_PKG_VERSION")},
            "spans": batch.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn span(attempt: &AttemptSpan) -> Value {
    let mut attributes = vec![
        text("switchhook.delivery_id", &attempt.delivery.to_string()),
        text("switchhook.hook_id", &attempt.delivery.hook.to_string()),
        text("switchhook.account_id", &attempt.account.to_string()),
        number("switchhook.attempt", attempt.attempt),
    ];
    attributes.extend(attempt.status.map(|status| number("http.response.status_code", status)));
    attributes.extend(attempt.error.map(|error| text("error.type", error)));
    // STATUS_CODE_ERROR or unset, as for any HTTP client's span.
    let failed = attempt.error.is_some() || attempt.status.is_some_and(|status| status >= 400);
    json!({
        "traceId": format!("{:032x}", attempt.span.trace), "spanId": format!("{:016x}", attempt.span.id),
        "parentSpanId": format!("{:016x}", attempt.parent), "flags": attempt.span.flags,
        "name": "deliver", "kind": CLIENT,
        "startTimeUnixNano": nanos(attempt.began_us),
        "endTimeUnixNano": nanos(attempt.ended_us),
        "attributes": attributes, "status": if failed { json!({"code": 2}) } else { json!({}) },
    })
}

fn nanos(us: u64) -> String {
    us.saturating_mul(1000).to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u16) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, DeliveryId, EventId, EventOffset, HookId, Span};

    #[test]
    fn a_span_is_encoded_in_the_protocols_json() {
        let attempt = AttemptSpan {
            span: Span { trace: 0xabc, id: 0xdef, flags: 1 },
            parent: 7,
            delivery: DeliveryId { event: EventId { log: 1, offset: EventOffset(2) }, hook: HookId(3) },
            account: AccountId(4),
            attempt: 2,
            status: Some(503),
            error: None,
            began_us: 1_759_999_999_999_000,
            ended_us: 1_760_000_000_000_000,
        };
        let shown = span(&attempt);
        assert_eq!(shown["traceId"], "00000000000000000000000000000abc");
        assert_eq!(
            (&shown["spanId"], &shown["parentSpanId"]),
            (&json!("0000000000000def"), &json!("0000000000000007"))
        );
        assert_eq!(shown["startTimeUnixNano"], "1759999999999000000");
        assert_eq!((&shown["status"]["code"], &shown["kind"]), (&json!(2), &json!(3)));
        assert!(shown["attributes"].as_array().unwrap().contains(&number("http.response.status_code", 503)));
    }
}
