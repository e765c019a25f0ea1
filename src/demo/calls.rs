//! Invented calls: each is created, answered, bridged and ended, several at the same time.

use std::time::Duration;

use serde_json::json;

use super::{Lines, say};
use crate::ingest::Ingest;
use crate::model::AccountId;

const STEPS: [&str; 4] = ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_DESTROY"];
const PACE: Duration = Duration::from_millis(350);

/// Publishes events one after the other, without end. Each is on disk before the next one is made.
pub(super) async fn make(ingest: &Ingest, account: AccountId, lines: &Lines) -> anyhow::Result<()> {
    for round in 0_u64.. {
        // Three calls at the same time, each one step ahead of the next.
        for lag in 0..3 {
            let Some(number) = round.checked_sub(lag) else { continue };
            let (call, step) = (number / 4, number % 4);
            let call = call * 3 + lag;
            let Some(name) = usize::try_from(step).ok().and_then(|step| STEPS.get(step)) else { continue };
            let event = json!({
                "Event-Category": "call_event", "Event-Name": name, "App-Name": "demo", "App-Version": "1",
                "Msg-ID": format!("{call}-{step}"), "Call-ID": format!("call-{call}"),
                "Call-Direction": "inbound", "Caller-ID-Number": format!("{}", 1000 + call),
                "Callee-ID-Number": "2000", "Hangup-Cause": "NORMAL_CLEARING",
                "Custom-Channel-Vars": { "Account-ID": account },
            });
            // The lock makes sure that lines about this event come after this one.
            let line = lines.lock().await;
            let offsets = ingest.submit(vec![event.to_string().into()], account).await?;
            say("event", &format!("{name} call-{call} is on disk at offset {}", offsets.start));
            drop(line);
            tokio::time::sleep(PACE).await;
        }
    }
    Ok(())
}
