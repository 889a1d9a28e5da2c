// Servers, and clients that reconnect to them, each by its own library or its own bad habit. `reconnecting.mjs server`
// says its port; `reconnecting.mjs client` is asked for {start: KIND, url} and runs until its stdin ends.
import http from "node:http";
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { buildSchema } from "graphql";
import { createClient } from "graphql-ws";
import { useServer } from "graphql-ws/use/ws";
import { Socket } from "phoenix";
import ReconnectingWebSocket from "reconnecting-websocket";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import WebSocket, { WebSocketServer } from "ws";
import { answer, serve } from "./lines.mjs";
import { Hub } from "./signalr_hub.mjs";

function echo(socket) {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
}

function channels(socket) {
  socket.on("message", (data) => {
    const [join, ref, topic, event] = JSON.parse(data.toString());
    void event;
    socket.send(JSON.stringify([join, ref, topic, "phx_reply", { status: "ok", response: {} }]));
  });
}

function startServer() {
  const hub = new Hub();
  const server = http.createServer((request, response) => {
    if (request.url.startsWith("/hub")) hub.request(request, response);
    else if (!request.url.startsWith("/socket.io/")) {
      response.statusCode = 404;
      response.end();
    }
  });
  const socketio = new Server(server, { pingInterval: 500, pingTimeout: 2500, destroyUpgrade: false });
  socketio.on("connection", (socket) => socket.on("join", (room, reply) => reply(room)));
  const graphql = new WebSocketServer({ noServer: true });
  const schema = buildSchema("type Query { a: Int } type Subscription { ticks: Int }");
  const ticks = async function* () {
    for (let count = 0; ; count += 1) {
      yield { ticks: count };
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  useServer({ schema, roots: { subscription: { ticks } } }, graphql);
  const plain = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const path = request.url.split("?")[0];
    if (path === "/socket.io/") return;
    if (path === "/graphql") {
      graphql.handleUpgrade(request, socket, head, (ws) => graphql.emit("connection", ws, request));
      return;
    }
    plain.handleUpgrade(request, socket, head, (ws) => {
      ws.on("error", () => {});
      if (path.startsWith("/hub")) hub.socket(ws, request);
      else if (path.startsWith("/phoenix")) channels(ws);
      else echo(ws);
    });
  });
  server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
  return hub;
}

// A client on the package ws that joins, and does something when its connection is gone.
function plainClient(url, { wait, most = Infinity, beat = 0 }) {
  let tries = 0;
  const open = () => {
    tries += 1;
    const socket = new WebSocket(url, { handshakeTimeout: 1000 });
    let timer, answered = true;
    socket.on("open", () => {
      if (!beat) tries = 1;
      socket.send('{"type":"join"}');
      if (beat)
        timer = setInterval(() => {
          if (!answered) return socket.terminate();
          answered = false;
          socket.ping();
        }, beat);
    });
    socket.on("pong", () => {
      answered = true;
      tries = 1; // it works: an open socket may say nothing
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearInterval(timer);
      if (tries < most) setTimeout(open, wait(tries));
    });
  };
  open();
}

const jittered = (tries) => Math.min(2000, 150 * 2 ** tries) * (0.6 + 0.8 * Math.random());

function signalr(url, transport) {
  const hub = new HubConnectionBuilder()
    .withUrl(url.replace("ws", "http"), { transport })
    .withAutomaticReconnect([0, 300, 900, 2000, 2000, 2000])
    .configureLogging(LogLevel.None)
    .build();
  hub.onreconnected(() => hub.invoke("Join", "room").catch(() => {}));
  hub.start().then(() => hub.invoke("Join", "room"));
}

const CLIENTS = {
  socketio: (url) => {
    const socket = io(url.replace("ws", "http"), { reconnectionDelay: 200, reconnectionDelayMax: 1500 });
    socket.on("connect", () => socket.emit("join", "room", () => {}));
  },
  "reconnecting-websocket": (url) => {
    const options = { WebSocket, minReconnectionDelay: 500, maxReconnectionDelay: 4000, minUptime: 100, reconnectionDelayGrowFactor: 1.8 };
    const socket = new ReconnectingWebSocket(url + "/reconnecting", [], options);
    socket.addEventListener("open", () => socket.send('{"type":"join"}'));
    socket.addEventListener("error", () => {});
  },
  signalr: (url) => signalr(url + "/hub", HttpTransportType.WebSockets),
  "signalr-sse": (url) => signalr(url + "/hub-sse", HttpTransportType.ServerSentEvents),
  "signalr-polling": (url) => signalr(url + "/hub-polling", HttpTransportType.LongPolling),
  phoenix: (url) => {
    const socket = new Socket(url + "/phoenix", {
      transport: WebSocket,
      heartbeatIntervalMs: 1000,
      reconnectAfterMs: (tries) => [100, 250, 600, 1500][tries - 1] || 2500,
    });
    socket.connect();
    socket.channel("room:a", {}).join();
  },
  "graphql-ws": (url) => {
    const client = createClient({ url: url + "/graphql", webSocketImpl: WebSocket, retryAttempts: 50, shouldRetry: () => true,
      retryWait: async (retries) => new Promise((done) => setTimeout(done, Math.min(2000, 150 * 2 ** retries) + Math.random() * 200)) });
    client.subscribe({ query: "subscription { ticks }" }, { next() {}, error() {}, complete() {} });
  },
  naive: (url) => plainClient(url + "/naive", { wait: () => 500 }),
  storm: (url) => plainClient(url + "/storm", { wait: () => 20 }),
  "gives-up": (url) => plainClient(url + "/gives-up", { wait: () => 200, most: 3 }),
  perfect: (url) => plainClient(url + "/perfect", { wait: jittered, beat: 300 }),
};

if (process.argv[2] === "server") {
  const hub = startServer();
  serve(() => ({ dropped: hub.drop() }));
} else {
  process.on("unhandledRejection", () => {});
  process.on("uncaughtException", () => {});
  serve(({ start, url }) => {
    CLIENTS[start](url);
    return { started: start };
  });
}
