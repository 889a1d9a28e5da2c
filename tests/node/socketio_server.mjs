// A Socket.IO server, and the page of tests/apps/socketio. Asked with {"account": "CASE/websocket"} it
// tells what went over the WebSocket of the client with case=CASE in its address; "CASE/engine": each packet's way.
import { readFileSync } from "node:fs";
import http from "node:http";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";
import { answer, serve, shown } from "./lines.mjs";

const PAGE = readFileSync(new URL("../apps/socketio/index.html", import.meta.url));
const accounts = new Map();

// Gets every WebSocket before Engine.IO does, so that nothing of it is missed.
class Watched extends WebSocketServer {
  handleUpgrade(request, stream, head, done) {
    super.handleUpgrade(request, stream, head, (socket) => {
      accounts.set(caseOf(request) + "/websocket", watch(socket));
      done(socket);
    });
  }
}

function caseOf(request) {
  return new URL(request.url, "http://lab").searchParams.get("case");
}

function watch(socket) {
  const seen = { sent: [], received: [] };
  const { send } = socket;
  const sender = socket._sender;
  const { sendFrame } = sender;
  let is_sending = false;
  socket.send = function (data, ...rest) {
    // The library drops what is sent after a CLOSE frame.
    if (socket.readyState === socket.OPEN) seen.sent.push(shown(data, typeof data !== "string"));
    is_sending = true;
    send.call(this, data, ...rest);
    is_sending = false;
  };
  // What goes to a room is made into a frame once, and sent past send().
  sender.sendFrame = function (parts, ...rest) {
    const opcode = parts[0][0] & 15;
    if (!is_sending && opcode < 8) seen.sent.push(shown(parts[1], opcode === 2));
    return sendFrame.call(this, parts, ...rest);
  };
  socket.on("message", (data, isBinary) => seen.received.push(shown(data, isBinary)));
  return new Promise((resolve) =>
    socket.on("close", (code, reason) => resolve({ ...seen, close: [code, reason.toString()] })),
  );
}

const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(PAGE);
});
const io = new Server(server, { pingInterval: 200, pingTimeout: 5000, serveClient: true, wsEngine: Watched });

io.engine.on("connection", (engine) => {
  const seen = { packets: [] };
  engine.on("packet", ({ type }) => seen.packets.push([engine.transport.name, type]));
  const ended = new Promise((resolve) => engine.on("close", (reason) => resolve({ ...seen, reason })));
  accounts.set(caseOf(engine.request) + "/engine", ended);
});

io.on("connection", (socket) => {
  socket.emit("welcome", socket.id);
  socket.on("join", (room, done) => Promise.resolve(socket.join(room)).then(() => done(room)));
  socket.on("leave", (room, done) => Promise.resolve(socket.leave(room)).then(() => done(room)));
  socket.on("say", (room, ...what) => io.to(room).emit("said", room, ...what));
  socket.on("others", (room, what) => socket.to(room).emit("said", room, what));
  socket.on("binary", (bytes, done) => done({ reversed: Buffer.from(bytes).reverse(), length: bytes.length }));
  socket.on("bye", () => socket.disconnect(true));
});

server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
serve(({ account }) => accounts.get(account) || { missing: account });
