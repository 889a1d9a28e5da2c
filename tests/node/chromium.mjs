// Headless Chromium: opens WebSockets from a page, as an application does, and reports what JavaScript was told.
// Usage: chromium.mjs PAGE_URL [PROXY_PORT]
import { chromium } from "playwright-core";
import { answer, serve } from "./lines.mjs";

const [page_url, proxy] = process.argv.slice(2);
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--ignore-certificate-errors",
  "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
];
if (proxy) args.push(`--proxy-server=http://127.0.0.1:${proxy}`, "--proxy-bypass-list=<-loopback>");

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args });
const page = await browser.newPage({ ignoreHTTPSErrors: true });
await page.goto(page_url);

// Runs in the page: nothing but what any page can do.
function converse({ url, protocols }) {
  return new Promise((resolve) => {
    const seen = { opened: false, messages: [], errors: 0 };
    const socket = new WebSocket(url, protocols || []);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      seen.opened = true;
      seen.protocol = socket.protocol;
      seen.extensions = socket.extensions;
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") {
        const digits = [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, "0"));
        seen.messages.push("hex:" + digits.join(""));
        return;
      }
      seen.messages.push(data);
      if (!data.startsWith("cmd:")) return;
      const command = JSON.parse(data.slice(4));
      if (command.do === "close" && command.code !== undefined) socket.close(command.code, command.reason);
      else if (command.do === "close") socket.close();
      if (command.do === "send") socket.send(command.text);
    };
    socket.onerror = () => (seen.errors += 1);
    socket.onclose = ({ code, reason, wasClean }) => resolve({ ...seen, code, reason, wasClean });
  });
}

answer({ version: browser.version() });
serve((command) => page.evaluate(converse, command));
process.stdin.on("close", () => browser.close());
