// A WebSocket client of the package ws. It obeys messages that begin with "cmd:" and reports what it was told.
import http from "node:http";
import https from "node:https";
import tls from "node:tls";
import WebSocket from "ws";
import { serve, shown } from "./lines.mjs";

// A connection through a regular proxy: CONNECT first, then the stream is ws's own.
function tunnelled(proxyPort, isSecure) {
  return (options, done) => {
    const authority = `${options.host}:${options.port}`;
    const connect = http.request({ host: "127.0.0.1", port: proxyPort, method: "CONNECT", path: authority });
    connect.on("connect", (response, socket) => {
      if (response.statusCode === 200 && isSecure) done(null, tls.connect({ socket, rejectUnauthorized: false }));
      else if (response.statusCode === 200) done(null, socket);
      else done(new Error(`CONNECT: ${response.statusCode}`));
    });
    connect.on("error", done);
    connect.end();
  };
}

function obey(socket, text) {
  if (!text.startsWith("cmd:")) return;
  const command = JSON.parse(text.slice(4));
  if (command.do === "close") socket.close(command.code, command.reason);
  if (command.do === "send") socket.send(command.text);
  if (command.do === "terminate") socket.terminate();
}

serve(
  ({ url, proxy, protocols }) =>
    new Promise((resolve) => {
      const options = { rejectUnauthorized: false, maxPayload: 100_000, perMessageDeflate: true, maxRedirects: 0 };
      if (proxy) {
        const isSecure = url.startsWith("wss:");
        const agent = isSecure ? new https.Agent() : new http.Agent();
        options.agent = Object.assign(agent, { createConnection: tunnelled(proxy, isSecure) });
      }
      const socket = new WebSocket(url, protocols || [], options);
      const seen = { opened: false, messages: [], pings: 0, error: null, status: null };
      socket.on("open", () => {
        seen.opened = true;
        seen.protocol = socket.protocol;
        seen.extensions = socket.extensions;
      });
      socket.on("message", (data, isBinary) => {
        seen.messages.push(shown(data, isBinary));
        if (!isBinary) obey(socket, data.toString());
      });
      socket.on("ping", () => (seen.pings += 1));
      socket.on("unexpected-response", (request, response) => {
        let body = "";
        const wire = response.socket;
        const finish = () => {
          // Whoever listens to this event ends the attempt; the library then says 1006.
          resolve({ ...seen, status: response.statusCode, body, code: 1006, reason: "" });
          wire.destroy();
        };
        response.on("data", (part) => (body += part));
        response.on("end", finish);
        if (response.statusCode === 101) finish(); // has no body that could end
      });
      socket.on("error", (error) => {
        seen.error = error.code || error.message;
      });
      socket.on("close", (code, reason) => resolve({ ...seen, code, reason: reason.toString() }));
    }),
);
