// mockttp as a reverse proxy for WebSockets: node mockttp.cjs NODE_MODULES TARGET_PORT; prints {"port": N, "version": "..."}.
const path = require("node:path");
const [modules, target] = process.argv.slice(2);
const folder = path.join(path.resolve(modules), "mockttp");
const mockttp = require(folder);

(async () => {
  const server = mockttp.getLocal();
  await server.forAnyWebSocket().thenForwardTo(`http://127.0.0.1:${target}`);
  await server.start();
  const { version } = require(path.join(folder, "package.json"));
  console.log(JSON.stringify({ port: server.port, version }));
  process.stdin.resume().on("end", () => process.exit(0));
})();
