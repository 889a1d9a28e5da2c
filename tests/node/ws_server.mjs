// A WebSocket server of the package ws on a free port. It obeys "cmd:" messages, and tells what it was told about a
// connection (named by its path) when asked with {"path": ...}.
import { WebSocketServer } from "ws";
import { answer, serve, shown } from "./lines.mjs";

const finished = new Map(); // path -> outcome, or the function that waits for it

function finish(path, outcome) {
  const waiting = finished.get(path);
  if (typeof waiting === "function") waiting(outcome);
  else finished.set(path, outcome);
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 100_000, perMessageDeflate: true });
server.on("connection", (socket, request) => {
  const seen = { messages: [], pongs: 0, error: null };
  socket.on("message", (data, isBinary) => {
    seen.messages.push(shown(data, isBinary));
    if (isBinary || !data.toString().startsWith("cmd:")) return;
    const command = JSON.parse(data.toString().slice(4));
    if (command.do === "close") socket.close(command.code, command.reason);
    if (command.do === "send") socket.send(command.text);
    if (command.do === "ping") socket.ping("lab");
    if (command.do === "terminate") socket.terminate();
  });
  socket.on("pong", () => (seen.pongs += 1));
  socket.on("error", (error) => (seen.error = error.code || error.message));
  socket.on("close", (code, reason) => finish(request.url, { ...seen, code, reason: reason.toString() }));
});
server.on("listening", () => answer({ port: server.address().port }));

serve(({ path }) => {
  const outcome = finished.get(path);
  if (outcome && typeof outcome !== "function") return outcome;
  return new Promise((resolve) => finished.set(path, resolve));
});
