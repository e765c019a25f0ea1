//! Verifies webhooks of Switchhook (Standard Webhooks).
//! Cargo.toml: base64 = "0.22", hmac = "0.12", sha2 = "0.10"
//! `WEBHOOK_SECRET` is the hook's secret: `whsec_` and base64 text.
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether Switchhook sent this request. `header` returns a header's value; `body` is as received.
pub fn verify<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8], tolerance_s: u64) -> bool {
    let secret = std::env::var("WEBHOOK_SECRET").unwrap_or_default();
    let Ok(secret) = STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
    let (Some(id), Some(timestamp)) = (header("webhook-id"), header("webhook-timestamp")) else {
        return false;
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    // Too old or from the future: somebody may have recorded and repeated it.
    if !timestamp.parse::<u64>().is_ok_and(|at_s| now_s.abs_diff(at_s) <= tolerance_s) {
        return false;
    }
    header("webhook-signature").unwrap_or_default().split_whitespace().any(|signature| {
        let given = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        let mac = Hmac::<Sha256>::new_from_slice(&secret)
            .map(|mac| mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body));
        given.zip(mac.ok()).is_some_and(|(given, mac)| mac.verify_slice(&given).is_ok())
    })
}
