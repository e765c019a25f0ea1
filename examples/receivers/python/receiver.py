#!/usr/bin/env python3
"""A receiver that verifies each delivery and drops repetitions.

    WEBHOOK_SECRET=whsec_... python3 receiver.py 9000

Prints one line for each delivery that is genuine and new. Needs only the standard library, and a hook with a secret and
"format": "json" (the default is form-data).
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import verify

# The ids of processed deliveries. A delivery keeps its id over all attempts, restarts and replays. A real receiver
# stores the id in the same transaction as its work; this one forgets the ids when it stops.
SEEN: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    # Keeps connections open, so that not every delivery needs a new one.
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not verify({name.lower(): value for name, value in self.headers.items()}, body):
            self.answer(401)
            return
        delivery = self.headers["webhook-id"]
        if delivery not in SEEN:
            print(delivery, json.loads(body)["hook_event"], flush=True)
            SEEN.add(delivery)
        # Last, because after a 200 the delivery does not come again.
        self.answer(200)

    def answer(self, status: int):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
