// A Socket.IO server and Socket.IO's own client, which reconnects. Asked with a URL, it tells what the client went
// through until, connected for the second time, an answer took longer than `slow_ms`: connected, lost, refused, slow;
// each with its milliseconds. (On a busy machine one of the first answers may be slow, too.)
import http from "node:http";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import { answer, serve } from "./lines.mjs";

const server = http.createServer();
new Server(server).on("connection", (socket) => socket.on("echo", (text, reply) => reply(text)));

serve(
  ({ url, slow_ms }) =>
    new Promise((resolve) => {
      const begun = performance.now();
      const story = [];
      const client = io(url, { transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 200 });
      const tell = (event, more = {}) => story.push({ event, ms: Math.round(performance.now() - begun), ...more });
      let beat;
      let connections = 0;
      client.on("connect", () => {
        tell("connected");
        connections += 1;
        beat = setInterval(() => {
          const asked = performance.now();
          client.emit("echo", "x", () => {
            if (connections < 2 || performance.now() - asked < slow_ms || beat === undefined) return;
            clearInterval(beat);
            beat = undefined;
            tell("slow");
            client.close();
            resolve({ story });
          });
        }, 50);
      });
      client.on("disconnect", (reason) => {
        clearInterval(beat);
        if (reason !== "io client disconnect") tell("lost", { reason });
      });
      client.on("connect_error", (error) => tell("refused", { reason: String(error.description?.message ?? error.message) }));
    }),
  () => server.close(),
);
server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
