// Socket.IO servers that differ in what they allow, each on a port of its own; the page of tests/apps/socketio is on
// each. Says {name: port}. The client of the package, asked with {url, options, stays_ms}, tells what it went through.
import { readFileSync } from "node:fs";
import http from "node:http";
import { setTimeout } from "node:timers/promises";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import { answer, serve } from "./lines.mjs";

const PAGE = readFileSync(new URL("../apps/socketio/index.html", import.meta.url));
const WAYS = {
  plain: {},
  other: {},
  forbids: { allowRequest: (request, done) => done("no", false) },
  polls: { transports: ["polling"] },
  beats: { pingInterval: 300, pingTimeout: 300 },
};
const ports = {};
for (const [name, options] of Object.entries(WAYS)) {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end(PAGE);
  });
  const sockets = new Server(server, options);
  sockets.on("connection", (socket) => socket.emit("welcome"));
  sockets.of("/private").use((socket, next) => next(new Error("unauthorized")));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  ports[name] = server.address().port;
}
answer(ports);

serve(async ({ url, options, stays_ms }) => {
  const client = io(url, { reconnection: false, forceNew: true, ...options });
  const told = await new Promise((resolve) => {
    client.on("connect", () => resolve({ connected: client.io.engine.transport.name }));
    client.on("connect_error", (error) => resolve({ refused: error.message }));
  });
  await setTimeout(stays_ms || 0);
  client.close();
  return told;
});
