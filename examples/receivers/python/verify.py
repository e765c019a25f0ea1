# Verifies webhooks of Switchhook (Standard Webhooks). Nothing to install.
# WEBHOOK_SECRET is the hook's secret: whsec_ and base64 text.
import base64
import hashlib
import hmac
import os
import time

SECRET = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))


def verify(headers, body, tolerance_s=300):
    """Whether Switchhook sent this request. headers: names in lower case; body: the bytes as received."""
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > tolerance_s:
        return False  # too old or from the future: somebody may have recorded and repeated it
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(s, f"v1,{expected}") for s in signatures)
