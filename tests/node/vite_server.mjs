// Vite's development server for the project in the folder that is named, with more of its `server` options as JSON.
// {"ask": data} sends a custom event to all pages and waits for an answer; {"path": ...} tells what went over the
// WebSocket with that path.
import { createServer } from "vite";
import { answer, serve } from "./lines.mjs";

const accounts = new Map();
const vite = await createServer({
  root: process.argv[2],
  configFile: false,
  logLevel: "silent",
  server: { host: "127.0.0.1", port: 0, ...JSON.parse(process.argv[3] || "{}") },
});

// Registered after Vite's own listener, which has sent {"type":"connected"} by then.
vite.ws.on("connection", (socket, request) => {
  const seen = { sent: [], received: [] };
  const { send } = socket;
  socket.send = function (data, ...rest) {
    seen.sent.push(data.toString());
    return send.call(this, data, ...rest);
  };
  socket.on("message", (data) => seen.received.push(data.toString()));
  const list = accounts.get(request.url) || [];
  accounts.set(request.url, list);
  list.push(
    new Promise((resolve) =>
      socket.on("close", (code, reason) => resolve({ ...seen, close: [code, reason.toString()] })),
    ),
  );
});

await vite.listen();
answer({ port: vite.httpServer.address().port });
serve(({ ask, path }) => {
  if (path) return Promise.all(accounts.get(path) || []).then((ended) => ({ ended }));
  return new Promise((resolve) => {
    vite.ws.on("lab:answer", function listen(data) {
      vite.ws.off("lab:answer", listen);
      resolve(data);
    });
    vite.ws.send("lab:question", ask);
  });
});
