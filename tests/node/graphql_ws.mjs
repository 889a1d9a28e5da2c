// graphql-ws on the package ws. `graphql_ws.mjs server`: subscriptions over graphql-transport-ws.
// `graphql_ws.mjs client`: operations with the library's client, or raw text with ws. Both say every message they sent
// and received, and the end.
import { buildSchema } from "graphql";
import http from "node:http";
import { setTimeout } from "node:timers/promises";
import { createClient, GRAPHQL_TRANSPORT_WS_PROTOCOL as GRAPHQL } from "graphql-ws";
import { useServer } from "graphql-ws/use/ws";
import WebSocket, { WebSocketServer } from "ws";
import { answer, serve } from "./lines.mjs";

const schema = buildSchema(`
  type Query { hello: String }
  type Subscription { count(to: Int!): Int, fails: Int }
`);
const roots = {
  query: { hello: "hello € 🙂" },
  subscription: {
    count: async function* ({ to }) {
      for (let count = 1; count <= to; count += 1) {
        yield { count };
        await setTimeout(1); // lets others in: a subscription without end has to hear that nobody listens any more
      }
    },
    fails: async function* () {
      yield { fails: 1 };
      throw new Error("nothing more to count");
    },
  },
};

// Of a socket of ws, on either side: messages in order, and the end.
function watch(socket) {
  const seen = { sent: [], received: [] };
  const send = socket.send;
  socket.send = function (data, ...rest) {
    seen.sent.push(data.toString());
    return send.call(this, data, ...rest);
  };
  socket.on("message", (data) => seen.received.push(data.toString()));
  seen.ended = new Promise((resolve) =>
    socket.on("close", (code, reason) => {
      const { sent, received } = seen;
      resolve({ sent, received, protocol: socket.protocol, close: [code, reason.toString()] });
    }),
  );
  return seen;
}

function serveGraphql() {
  const ends = new Map();
  const server = http.createServer();
  // Who says nothing is sent away soon where the address asks for that alone: on a busy machine each is slow to speak.
  const [impatient, patient] = [300, 60_000].map((connectionInitWaitTimeout) => {
    // As the library's own documentation has it: it says 4406 itself to whoever does not offer its subprotocol.
    const handleProtocols = (offered) => offered.has(GRAPHQL) && GRAPHQL;
    const sockets = new WebSocketServer({ noServer: true, handleProtocols });
    sockets.on("connection", (socket, request) => ends.set(request.url, watch(socket).ended));
    useServer(
      {
        schema,
        roots,
        connectionInitWaitTimeout,
        onConnect: ({ connectionParams }) => {
          if (connectionParams?.token === "broken") throw new Error("the list of tokens is lost");
          return connectionParams?.token !== "wrong";
        },
      },
      sockets,
    );
    return sockets;
  });
  server.on("upgrade", (request, stream, head) => {
    const sockets = request.url.includes("impatient") ? impatient : patient;
    sockets.handleUpgrade(request, stream, head, (socket) => sockets.emit("connection", socket, request));
  });
  server.listen(0, "127.0.0.1", () => answer({ port: server.address().port }));
  serve(({ path }) => ends.get(path) || { missing: path });
}

// Runs the operations one after another; of each `take` results, or all. Returns what came, and the socket's account.
async function operate({ url, token, operations }) {
  let watched;
  class Watched extends WebSocket {
    constructor(...words) {
      super(...words);
      watched = watch(this);
    }
  }
  const results = [];
  const failures = [];
  const client = createClient({
    url,
    webSocketImpl: Watched,
    retryAttempts: 0,
    connectionParams: { token },
    keepAlive: 50,
    lazyCloseTimeout: 60_000,
  });
  const ponged = new Promise((resolve) => client.on("pong", (received) => received && resolve()));
  for (const { query, take } of operations) {
    const came = [];
    results.push(came);
    try {
      for await (const result of client.iterate({ query })) {
        came.push(result);
        if (came.length === take) break;
      }
    } catch (error) {
      failures.push([error.code, error.reason]);
    }
  }
  // Its keep-alive is a message of the subprotocol, not a control frame; wait for one and its answer.
  if (!failures.some(([code]) => code)) await ponged;
  client.dispose();
  return { ...(await watched.ended), results, failures };
}

function speak({ url, protocols, messages }) {
  const socket = new WebSocket(url, protocols);
  const watched = watch(socket);
  // The first at once, the others after the first answer.
  socket.on("open", () => messages.slice(0, 1).forEach((message) => socket.send(message)));
  socket.once("message", () => messages.slice(1).forEach((message) => socket.send(message)));
  return watched.ended;
}

if (process.argv[2] === "client") {
  answer({ ready: true });
  serve((command) => (command.operations ? operate(command) : speak(command)));
} else {
  serveGraphql();
}
