// Express without a WebSocket server: an upgrade is an ordinary request, which is answered with the status that the
// last part of its path is, in JSON; "ws" on a path before it opens a WebSocket.
import http from "node:http";
import express from "express";
import { WebSocketServer } from "ws";
import { answer, serve } from "./lines.mjs";

const app = express();
app.get("/app/:status", (request, response) =>
  response.status(Number(request.params.status)).json({ error: "the payment provider does not answer" }),
);
const server = http.createServer(app);
const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, stream, head) => {
  if (request.url.startsWith("/open")) {
    sockets.handleUpgrade(request, stream, head, () => {});
    return;
  }
  const response = new http.ServerResponse(request);
  response.assignSocket(stream);
  response.on("finish", () => stream.end());
  app(request, response);
});
server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
serve(() => ({}));
