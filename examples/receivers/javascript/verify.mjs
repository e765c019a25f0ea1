// Verifies webhooks of Switchhook (Standard Webhooks). Node.js 18 or later, nothing to install.
// WEBHOOK_SECRET is the hook's secret: whsec_ and base64 text.
import { createHmac, timingSafeEqual } from "node:crypto";

const secret = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");

// Whether Switchhook sent this request. headers: names in lower case; body: a Buffer, as received.
export function verify(headers, body, toleranceS = 300) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  const age = Math.abs(Date.now() / 1000 - Number(timestamp));
  if (!/^\d+$/.test(timestamp) || age > toleranceS) {
    return false; // too old or from the future: somebody may have recorded and repeated it
  }
  const hmac = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body);
  const expected = Buffer.from(`v1,${hmac.digest("base64")}`);
  return (headers["webhook-signature"] ?? "").split(" ").some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
