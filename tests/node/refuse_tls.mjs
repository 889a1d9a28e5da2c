// Clients that trust only what their own stores have: Node's package ws, and Chromium with no exception for
// certificates. Each says what it was told of a wss URL, asked with {client, url, proxy}.
import http from "node:http";
import tls from "node:tls";
import https from "node:https";
import WebSocket from "ws";
import { chromium } from "playwright-core";
import { answer, serve } from "./lines.mjs";

function tunnelled(port, host, target) {
  return (options, done) => {
    const connect = http.request({ host: "127.0.0.1", port, method: "CONNECT", path: `${host}:${target}` });
    connect.on("connect", (response, socket) => done(null, tls.connect({ socket, servername: host })));
    connect.on("error", done);
    connect.end();
  };
}

async function byNode({ url, proxy }) {
  const { hostname, port } = new URL(url);
  const agent = Object.assign(new https.Agent(), { createConnection: tunnelled(proxy, hostname, port) });
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { agent });
    socket.on("error", (error) => resolve({ error: error.code || error.message }));
    socket.on("open", () => resolve({ opened: true }));
  });
}

async function byChromium({ url, proxy }) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", `--proxy-server=http://127.0.0.1:${proxy}`, "--proxy-bypass-list=<-loopback>"],
  });
  try {
    const page = await browser.newPage();
    await page.goto("about:blank");
    return await page.evaluate(
      (to) =>
        new Promise((resolve) => {
          const socket = new WebSocket(to);
          socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean });
          socket.onopen = () => resolve({ opened: true });
        }),
      url,
    );
  } finally {
    await browser.close();
  }
}

answer({ ready: true });
serve((command) => (command.client === "chromium" ? byChromium(command) : byNode(command)));
