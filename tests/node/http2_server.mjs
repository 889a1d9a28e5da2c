// A page and WebSockets over HTTP/2 (RFC 8441) by Node's own http2 module, and frames by hand.
// Usage: http2_server.mjs CERT KEY [on|off [426]]   Says {"port"}; paths: /echo, /byclient, /403, /die, /reset,
// /goaway. An upgrade over HTTP/1.1 gets no answer, or 426.
import { readFileSync } from "node:fs";
import { createSecureServer, constants } from "node:http2";

const [cert, key, mode, upgrades] = process.argv.slice(2);
const server = createSecureServer({
  cert: readFileSync(cert),
  key: readFileSync(key),
  allowHTTP1: true,
  settings: { enableConnectProtocol: mode !== "off" },
});

const frame = (opcode, payload) => Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]);
const text = (value) => frame(1, Buffer.from(value));
const close = (code, reason) => frame(8, Buffer.from([code >> 8, code & 255, ...Buffer.from(reason)]));

function unmask(data) {
  const length = data[1] & 127;
  const mask = data.subarray(2, 6);
  return Buffer.from(data.subarray(6, 6 + length)).map((byte, index) => byte ^ mask[index % 4]);
}

server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  const path = headers[":path"];
  if (headers[":method"] !== "CONNECT") {
    stream.respond({ ":status": 200, "content-type": "text/html" });
    stream.end("<title>a</title>");
    return;
  }
  if (path === "/403") {
    stream.respond({ ":status": 403 }, { endStream: true });
    return;
  }
  if (path === "/reset") {
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    return;
  }
  stream.respond({ ":status": 200 });
  if (path === "/die") stream.write(text("bye"), () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  if (path === "/fin") stream.end(text("bye"));
  if (path === "/goaway") stream.write(text("bye"), () => stream.session.destroy());
  if (path === "/byclient") stream.write(text('cmd:{"do":"close","code":3005,"reason":"mine"}'));
  if (path === "/echo") stream.write(text('cmd:{"do":"send","text":"hello"}'));
  stream.on("data", (data) => {
    if ((data[0] & 15) === 8) stream.end(close(3005, "mine"));
    else {
      stream.write(text("got " + unmask(data)));
      stream.end(close(4001, "asked"));
    }
  });
});
if (upgrades) {
  server.on("upgrade", (_, socket) => {
    socket.on("error", () => {});
    socket.end("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
}
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on("close", () => process.exit(0)).resume();
