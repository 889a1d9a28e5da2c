// Does our client come back after an outage? Each test has a server, a proxy in front of it, and a client.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import WebSocket, { WebSocketServer } from "ws";
import { startProxy } from "./wsinspect.mjs";

const listening = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

// The client under test: exponential backoff with jitter, and it subscribes again.
function connectForever(url) {
  let delay = 0;
  let socket;
  let isOver = false;
  const connect = () => {
    if (isOver) return;
    socket = new WebSocket(url);
    socket.on("open", () => {
      delay = 0;
      socket.send(JSON.stringify({ type: "subscribe" }));
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      delay = Math.min(10_000, Math.max(200, delay * 2));
      setTimeout(connect, delay * (0.5 + Math.random() / 2));
    });
  };
  connect();
  return () => {
    isOver = true;
    socket.close();
  };
}

test("ws: it subscribes again after an outage", async (t) => {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  const heard = [];
  server.on("connection", (peer) => peer.on("message", (data) => heard.push(JSON.parse(data).type)));
  const proxy = await startProxy(`ws://127.0.0.1:${await listening(http)}`);
  const stop = connectForever(`${proxy.url}/chat`);
  t.after(async () => {
    stop();
    await proxy.close();
    server.close();
    http.close();
  });

  const first = await proxy.waitFor((one) => one.event === "open");
  const outage = await proxy.fault("refuse", { status: 503 });
  await proxy.abort();
  const lost = await proxy.waitFor((one) => one.event === "close" && one.connection === first.connection);
  assert.equal(lost.js.code, 1006);
  await proxy.waitFor((one) => one.event === "refused");
  await proxy.call("DELETE", `/v1/faults/${outage.name}`);
  await proxy.waitFor((one) => one.event === "open" && one.connection > first.connection);
  while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(heard, ["subscribe", "subscribe"]);

  await proxy.close();
  const [client] = await proxy.sessions();
  assert.match(client.grade.letter ?? client.grade, /[ABC]/);
});

test("Socket.IO: it uses WebSocket again after a forced 1006", async (t) => {
  const http = createServer();
  const server = new Server(http);
  const proxy = await startProxy(`http://127.0.0.1:${await listening(http)}`);
  const client = io(proxy.httpUrl, { transports: ["websocket"], reconnectionDelay: 100 });
  t.after(async () => {
    client.close();
    await proxy.close();
    await server.close();
  });

  const first = await proxy.waitFor((one) => one.event === "open");
  await proxy.abort();
  await proxy.waitFor((one) => one.event === "open" && one.connection > first.connection);
  while (!client.connected) await new Promise((resolve) => client.once("connect", resolve));
  assert.equal(client.io.engine.transport.name, "websocket");
});
