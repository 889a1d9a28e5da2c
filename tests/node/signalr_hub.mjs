// A SignalR hub as ASP.NET Core serves one (SignalR's TransportProtocols.md): negotiation, WebSocket, Server-Sent
// Events and long-polling. It answers each invocation with 1, and pings.
import { randomUUID } from "node:crypto";

const SEPARATOR = "\x1e";
const TRANSPORTS = ["WebSockets", "ServerSentEvents", "LongPolling"];

export class Hub {
  #connections = new Map();

  constructor({ pingMs = 500, pollMs = 2000 } = {}) {
    this.pingMs = pingMs;
    this.pollMs = pollMs;
  }

  /** Answers a request to the hub. */
  request(request, response) {
    const url = new URL(request.url, "http://hub");
    if (request.method === "POST" && url.pathname.endsWith("/negotiate")) return this.#negotiate(response);
    const connection = this.#connections.get(url.searchParams.get("id"));
    if (!connection) return void response.writeHead(404).end("No Connection with that ID");
    if (request.method === "POST") {
      let body = "";
      request.on("data", (data) => (body += data));
      request.on("end", () => {
        response.writeHead(200, { "Content-Type": "text/plain" }).end();
        connection.take(body);
      });
    } else if (request.method === "DELETE") {
      response.writeHead(202).end();
      connection.end();
    } else if ((request.headers.accept ?? "").includes("text/event-stream")) connection.stream(request, response);
    else connection.poll(request, response);
  }

  /** Serves a WebSocket that was opened. */
  socket(socket, request) {
    const connection = this.#connections.get(new URL(request.url, "http://hub").searchParams.get("id"));
    if (!connection) return socket.close(1008);
    connection.send = (text) => socket.send(text);
    connection.close = () => socket.close(1001);
    socket.on("message", (data) => connection.take(data.toString()));
    socket.on("close", () => connection.end());
    connection.begin();
  }

  /** Ends all connections, as a server does that is being stopped. */
  drop() {
    const count = this.#connections.size;
    for (const connection of [...this.#connections.values()]) connection.end();
    return count;
  }

  #negotiate(response) {
    const token = randomUUID();
    this.#connections.set(token, new Connection(this, () => this.#connections.delete(token)));
    const availableTransports = TRANSPORTS.map((transport) => ({ transport, transferFormats: ["Text"] }));
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ negotiateVersion: 1, connectionId: randomUUID(), connectionToken: token, availableTransports }));
  }
}

class Connection {
  #hub;
  #forget;
  #beat;
  #kept = [];
  #waiting;

  constructor(hub, forget) {
    this.#hub = hub;
    this.#forget = forget;
    this.close = () => {};
    this.send = (text) => this.#keep(text);
  }

  begin() {
    this.#beat ??= setInterval(() => this.send(JSON.stringify({ type: 6 }) + SEPARATOR), this.#hub.pingMs);
  }

  take(text) {
    for (const part of text.split(SEPARATOR).filter(Boolean)) {
      const message = JSON.parse(part);
      if (message.protocol) this.send("{}" + SEPARATOR);
      else if (message.invocationId)
        this.send(JSON.stringify({ type: 3, invocationId: message.invocationId, result: 1 }) + SEPARATOR);
      if (message.type === 7) this.end();
    }
  }

  stream(request, response) {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    response.write(":\r\n\r\n");
    this.send = (text) => response.write(`data: ${text}\r\n\r\n`);
    this.close = () => response.end();
    response.on("close", () => this.end());
    this.begin();
  }

  poll(request, response) {
    this.#finish(204); // a newer poll replaces one that waits
    const isFirst = this.#beat === undefined;
    this.begin();
    this.close = () => this.#finish(204);
    this.#waiting = { response, timer: setTimeout(() => this.#finish(200), this.#hub.pollMs) };
    response.on("close", () => {
      if (this.#waiting?.response === response) this.#waiting = undefined;
    });
    if (isFirst || this.#kept.length) this.#finish(200);
  }

  end() {
    clearInterval(this.#beat);
    this.#forget();
    this.close();
    this.close = () => {};
    this.send = () => {};
  }

  #keep(text) {
    this.#kept.push(text);
    this.#finish(200);
  }

  #finish(status) {
    const waiting = this.#waiting;
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.#waiting = undefined;
    waiting.response.writeHead(status, { "Content-Type": "text/plain" });
    waiting.response.end(status === 200 ? this.#kept.splice(0).join("") : undefined);
  }
}
