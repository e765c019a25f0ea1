//! Signs requests by the Standard Webhooks specification, version 1: HMAC-SHA256 over `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::model::Secret;

/// The value of `webhook-signature`: one `v1,…` for each secret that is valid at that time, newest first, separated
/// by spaces.
#[must_use]
pub fn signature(secrets: &[Secret], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let timestamp = timestamp_s.to_string();
    let valid = secrets.iter().filter(|secret| secret.until_s.is_none_or(|until| timestamp_s < until));
    let signed = valid.map(|secret| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret.key));
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(key: &[u8], until_s: Option<u64>) -> Secret {
        Secret { key: key.to_vec(), until_s }
    }

    #[test]
    fn the_signature_follows_the_specification() {
        // Made with Python: hmac.new(b"0123456789abcdef01234567", b"msg_1.1700000000.{\"a\":1}", sha256).
        let secrets = [secret(b"0123456789abcdef01234567", None)];
        let signed = signature(&secrets, "msg_1", 1_700_000_000, b"{\"a\":1}");
        assert_eq!(signed, "v1,WUgAXU8H0NQ1/7M+TtMwKma2b74a3/TCgekiM3YUdN8=");
    }

    #[test]
    fn during_a_rotation_every_valid_secret_signs() {
        let secrets = [secret(b"new", None), secret(b"old", Some(100))];
        let signed = signature(&secrets, "m", 99, b"");
        let parts: Vec<&str> = signed.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert_ne!(parts[0], parts[1]);
        assert_eq!(signature(&secrets, "m", 100, b"").split(' ').count(), 1, "its time is over");
    }
}
