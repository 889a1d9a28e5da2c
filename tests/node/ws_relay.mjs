// A hop made of the package ws, as many gateways are: it ends the WebSocket, makes another one to the server behind it, and
// passes messages and closes on. `pings` says what becomes of PINGs: answered here (ws does that by itself), passed on with
// their PONGs, or swallowed (autoPong off, and nobody listens).
import { WebSocket, WebSocketServer } from "ws";

const [port, origin, pings] = process.argv.slice(2);
const options = { autoPong: pings === "answered", perMessageDeflate: false };

function join(one, other) {
  one.on("message", (data, isBinary) => other.send(data, { binary: isBinary }));
  one.on("close", (code, reason) => (code === 1006 ? other.terminate() : other.close(code === 1005 ? 1000 : code, reason)));
  one.on("error", () => other.terminate());
  if (pings === "passed") {
    one.on("ping", (data) => other.ping(data));
    one.on("pong", (data) => other.pong(data));
  }
}

new WebSocketServer({ host: "127.0.0.1", port: Number(port), ...options }).on("connection", (client, request) => {
  const server = new WebSocket(`ws://127.0.0.1:${origin}${request.url}`, options);
  const early = [];
  const keep = (data, isBinary) => early.push([data, isBinary]);
  client.on("message", keep);
  server.on("open", () => {
    client.off("message", keep);
    for (const [data, isBinary] of early) server.send(data, { binary: isBinary });
    join(client, server);
    join(server, client);
  });
  server.on("error", () => client.close(1011, "no server"));
});
