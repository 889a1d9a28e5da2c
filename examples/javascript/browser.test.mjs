// Does our page come back after an outage? Socket.IO's client in Chromium, driven by Playwright, through a proxy.
// CHROMIUM is the browser's path; without it Playwright takes the Chrome that is installed.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { Server } from "socket.io";
import { startProxy } from "./wsinspect.mjs";

// The application under test: a page that joins a room whenever it is connected. It starts with long-polling.
const PAGE = `<!doctype html><title>chat</title>
<script src="/socket.io/socket.io.js"></script>
<script>
  const socket = io({ reconnectionDelay: 200, reconnectionDelayMax: 2000 });
  const story = [];
  socket.on("connect", () => {
    story.push("connect");
    socket.emit("join", "lobby");
  });
  socket.on("disconnect", (reason) => story.push(reason));
</script>`;

function startServer() {
  const http = createServer((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end(PAGE);
  });
  const server = new Server(http, { destroyUpgrade: false });
  const joined = [];
  server.on("connection", (socket) => socket.on("join", (room) => joined.push(room)));
  return new Promise((resolve) =>
    http.listen(0, "127.0.0.1", () => resolve({ server, joined, port: http.address().port })),
  );
}

test("the page joins its room again, on WebSocket", async (t) => {
  // Each is ended by its own hook: what does not start leaves nothing behind.
  const { server, joined, port } = await startServer();
  t.after(() => server.close());
  const proxy = await startProxy(`http://127.0.0.1:${port}`);
  t.after(() => proxy.close());
  const path = process.env.CHROMIUM;
  const browser = await chromium.launch(path ? { executablePath: path, args: ["--no-sandbox"] } : { channel: "chrome" });
  t.after(() => browser.close());

  const page = await browser.newPage();
  await page.goto(proxy.httpUrl);
  const first = await proxy.waitFor((one) => one.event === "open");
  await page.waitForFunction(() => socket.io.engine?.transport.name === "websocket");

  const outage = await proxy.fault("refuse", { status: 503 });
  await proxy.abort();
  await page.waitForFunction(() => story.includes("transport close"));
  await page.waitForFunction(() => socket.io.engine.readyState === "closed");
  await proxy.call("DELETE", `/v1/faults/${outage.name}`);

  await proxy.waitFor((one) => one.event === "open" && one.connection > first.connection, 20_000);
  await page.waitForFunction(() => socket.connected && socket.io.engine.transport.name === "websocket");
  await page.waitForFunction(() => story.join() === "connect,transport close,connect");
  while (joined.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(joined, ["lobby", "lobby"]);

  await proxy.close();
  const [client] = await proxy.sessions();
  assert.equal(client.transport, "websocket");
  assert.equal(client.outages[0].ended, "resumed");
});
