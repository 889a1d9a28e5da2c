// The package ws with permessage-deflate. `ws_deflate.mjs server`: each connection's options are in its query.
// `ws_deflate.mjs client`: plays what it is told. Both say what they sent, what came, and how it ended.
import http from "node:http";
import WebSocket, { WebSocketServer } from "ws";
import { answer, serve, shown } from "./lines.mjs";

function watch(socket, seen) {
  seen.sent = [];
  seen.received = [];
  seen.pings = [];
  seen.pongs = [];
  socket.on("message", (data, isBinary) => seen.received.push(shown(data, isBinary)));
  socket.on("ping", (data) => seen.pings.push(data.toString()));
  socket.on("pong", (data) => seen.pongs.push(data.toString()));
  socket.on("error", (error) => (seen.error = error.code || error.message));
  return new Promise((resolve) =>
    socket.on("close", (code, reason) => resolve({ ...seen, close: [code, reason.toString()] })),
  );
}

// In `parts` frames; text is cut between its characters' bytes too.
function send(socket, seen, data, isBinary, parts = 1, compress = true) {
  const bytes = Buffer.from(data);
  const size = Math.ceil(bytes.length / parts) || 1;
  seen.sent.push(shown(bytes, isBinary));
  for (let part = 0; part < parts; part += 1) {
    const options = { binary: isBinary, compress, fin: part === parts - 1 };
    socket.send(bytes.subarray(part * size, (part + 1) * size), options);
  }
}

async function playClient({ url, options, script }) {
  const socket = new WebSocket(url, { perMessageDeflate: options });
  const seen = {};
  const ended = watch(socket, seen);
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  seen.extensions = socket.extensions;
  for (const step of script) {
    const heard = seen.received.length;
    const answered = new Promise((resolve) => {
      if (step.ping === undefined) socket.on("message", () => seen.received.length > heard && resolve());
      else socket.once("pong", resolve);
    });
    if (step.ping !== undefined) socket.ping(step.ping);
    else send(socket, seen, step.hex === undefined ? step.text : Buffer.from(step.hex, "hex"), step.text === undefined, step.parts, step.compress);
    await answered;
  }
  socket.close(4321, "enough");
  return ended;
}

if (process.argv[2] === "client") {
  answer({ ready: true });
  serve(playClient);
} else {
  const ends = new Map();
  const server = http.createServer();
  server.on("upgrade", (request, stream, head) => {
    const options = JSON.parse(new URL(request.url, "http://lab").searchParams.get("options"));
    const acceptor = new WebSocketServer({ noServer: true, perMessageDeflate: options });
    acceptor.handleUpgrade(request, stream, head, (socket) => {
      const seen = { extensions: socket.extensions };
      ends.set(request.url, watch(socket, seen));
      // Text comes back twice in one, bytes come back in two frames; pings are answered by the library.
      socket.on("message", (data, isBinary) => {
        if (isBinary) send(socket, seen, data, true, 2);
        else send(socket, seen, `${data}|${data}`, false);
      });
    });
  });
  server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
  serve(({ path }) => ends.get(path) || { missing: path });
}
