// One HTTP server with two WebSocket servers of the package ws on it, as a framework and an application that do not
// know of each other make them: for each path the handler of the other one writes a refusal over the connection.
// With "dispatch" a single listener sends each upgrade to its server.
import http from "node:http";
import { WebSocketServer } from "ws";
import { answer, serve } from "./lines.mjs";

const server = http.createServer();
const paths = ["/app", "/hmr"];
const servers = paths.map((path) =>
  process.argv[2] === "dispatch" ? new WebSocketServer({ noServer: true }) : new WebSocketServer({ server, path }),
);
servers.forEach((one) => one.on("connection", (socket) => socket.on("message", (data) => socket.send(data.toString()))));
if (process.argv[2] === "dispatch")
  server.on("upgrade", (request, stream, head) => {
    const one = servers[paths.indexOf(request.url)];
    one.handleUpgrade(request, stream, head, (socket) => one.emit("connection", socket, request));
  });
server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
serve(() => ({}));
