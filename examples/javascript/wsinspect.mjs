// A wsinspect proxy in front of a server, for tests in any runner. Needs wsinspect on the PATH, or its command in WSINSPECT.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const [command, ...leading] = (process.env.WSINSPECT ?? "wsinspect").split(" ");
const run = promisify(execFile);

/** Starts a proxy; resolves when it listens. End it with `close`, after which its capture is complete. */
export async function startProxy(server, ...options) {
  const folder = await mkdtemp(join(tmpdir(), "wsinspect-"));
  const capture = join(folder, "capture.db");
  const target = server.replace(/^ws/, "http");
  const child = spawn(
    command,
    [...leading, "run", "--headless", "--json", "--listen", "127.0.0.1:0", "--reverse", target, "--capture", capture, ...options],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let said = "";
  child.stderr.on("data", (data) => (said += data));
  const lines = createInterface({ input: child.stdout });
  const events = [];
  const ready = await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const event = JSON.parse(line);
      events.push(event);
      if (event.event === "ready") resolve(event);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`wsinspect ended with ${code}: ${said}`)));
  });
  const { host, port } = ready.listeners[0];
  const token = (await readFile(ready.control.token_file, "utf8")).trim();

  async function call(method, path, body) {
    const response = await fetch(ready.control.url + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const reply = await response.json();
    if (!response.ok) throw new Error(reply.error.message);
    return reply;
  }

  const open = async () => (await call("GET", "/v1/connections")).connections.filter((one) => one.is_open);

  return {
    url: `ws://${host}:${port}`,
    httpUrl: `http://${host}:${port}`,
    capture,
    call,
    /** Arms a rule; it acts when this resolves. */
    fault: (kind, parameters = {}) => call("POST", "/v1/faults", { kind, ...parameters }),
    reset: () => call("POST", "/v1/reset"),
    /** Ends all open connections without a CLOSE frame: clients see 1006. */
    abort: async (how = "rst") => {
      for (const one of await open()) await call("POST", `/v1/connections/${one.id}/abort`, { how });
    },
    /** The first event that fits, those before included: `{event: "open"}`, `{event: "close"}`, `{event: "refused"}`. */
    waitFor: (fits, milliseconds = 10_000) =>
      new Promise((resolve, reject) => {
        const found = events.find(fits);
        if (found) return resolve(found);
        const timer = setTimeout(() => {
          lines.off("line", look);
          reject(new Error(`no such event within ${milliseconds} ms; there were ${events.map((one) => one.event)}`));
        }, milliseconds);
        const look = () => {
          const later = events.find(fits);
          if (!later) return;
          clearTimeout(timer);
          lines.off("line", look);
          resolve(later);
        };
        lines.on("line", look);
      }),
    /** What `wsinspect show --sessions` says: each client across its reconnects, with its grade. */
    sessions: async () =>
      JSON.parse((await run(command, [...leading, "show", capture, "--sessions", "--json"])).stdout).sessions,
    close: async () => {
      if (child.exitCode === null) {
        child.removeAllListeners("exit");
        child.kill("SIGTERM");
        await once(child, "exit");
      }
    },
  };
}
