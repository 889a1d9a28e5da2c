// A Socket.IO server of version 2, and clients of version 2 and 4. Says {port}; asked with {url, version, stays_ms} a client of
// that version tells what it went through.
import http from "node:http";
import { createRequire } from "node:module";
import { setTimeout } from "node:timers/promises";
import { io as four } from "socket.io-client";
import { answer, serve } from "./lines.mjs";

const require = createRequire(import.meta.url);
const two = createRequire(require.resolve("socket.io-2"))("socket.io-client");

const server = http.createServer();
require("socket.io-2")(server, { serveClient: false }).on("connection", (socket) => socket.emit("welcome"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
answer({ port: server.address().port });

serve(async ({ url, version, stays_ms }) => {
  const client = (version === 2 ? two : four)(url, { reconnection: false, forceNew: true, transports: ["websocket"] });
  const told = await new Promise((resolve) => {
    client.on("connect", () => resolve({ connected: version }));
    client.on("connect_error", (error) => resolve({ refused: error.message }));
  });
  await setTimeout(stays_ms || 0);
  client.close();
  return told;
});
