#!/usr/bin/env python3
"""A receiver that verifies each delivery and drops repeats.

Run it with the hook's secret in the environment:

    SECRET=whsec_... python3 examples/receiver.py 9000

It prints the address it listens on, then one line for each delivery that is genuine and new.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))

# A delivery keeps its id over all tries, restarts and replays. A real receiver keeps the ids where its work is kept,
# in one transaction with it: here they are lost when the receiver stops.
SEEN: set[str] = set()


def is_genuine(headers, body: bytes) -> bool:
    """Whether one of the signatures was made with the secret within the last five minutes."""
    delivery, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > 300:
        return False
    signed = f"{delivery}.{moment}.".encode() + body
    ours = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    # There are several while a secret is being changed. One match is enough.
    signatures = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(ours, theirs.removeprefix("v1,")) for theirs in signatures)


class Receiver(BaseHTTPRequestHandler):
    # Keeps the connection open, which spares both sides a handshake for each delivery.
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.headers, body):
            self.answer(401)
            return
        delivery = self.headers["webhook-id"]
        if delivery not in SEEN:
            print(delivery, json.loads(body)["hook_event"], flush=True)
            SEEN.add(delivery)
        # Only now: an answer of 200 says that the delivery need not come again.
        self.answer(200)

    def answer(self, status: int):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Receiver)
    print("http://%s:%d/" % server.server_address, flush=True)
    server.serve_forever()
