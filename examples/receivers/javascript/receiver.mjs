// A receiver that verifies each delivery and drops repetitions.
//
//     WEBHOOK_SECRET=whsec_... node receiver.mjs 9000
//
// Prints one line for each delivery that is genuine and new. Node.js 18 or later, nothing to install. Needs a hook with a
// secret and "format": "json" (the default is form-data).
import { createServer } from "node:http";
import { verify } from "./verify.mjs";

// The ids of processed deliveries. A real receiver stores the id in the same transaction as its work.
const seen = new Set();

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  if (!verify(request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  const delivery = request.headers["webhook-id"];
  if (!seen.has(delivery)) {
    console.log(delivery, JSON.parse(body).hook_event);
    seen.add(delivery);
  }
  // Last, because after a 200 the delivery does not come again.
  response.writeHead(200).end();
});
server.listen(Number(process.argv[2]), "127.0.0.1");
