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
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16
    if not is_number or abs(time.time() - int(timestamp)) > tolerance_s:
        return False  # too old or from the future: somebody may have recorded and repeated it
    signed = f"{webhook_id}.{timestamp}.".encode(errors="replace") + body
    expected = b"v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest())
    signatures = headers.get("webhook-signature", "").encode(errors="replace").split()
    return any(hmac.compare_digest(signature, expected) for signature in signatures)
