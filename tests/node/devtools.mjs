// Headless Chromium and what its DevTools protocol says of the WebSockets of its pages.
// Usage: devtools.mjs [ARGUMENT...]; with arguments of its own Chromium is as strict as a user's.
// Each page has its own profile; with `proxy` that is the port of its regular proxy, for loopback too.
import { converse } from "./converse.mjs";
import { launch } from "./browser.mjs";
import { answer, serve } from "./lines.mjs";

const own = process.argv.slice(2);
const browser = await launch(undefined, own);
const pages = new Map();

// Of every WebSocket of a page: its URL and what happened to it, in order.
async function watch(page) {
  const sockets = new Map();
  const session = await page.context().newCDPSession(page);
  const note = (name, describe) =>
    session.on(`Network.webSocket${name}`, (event) => sockets.get(event.requestId)?.events.push(describe(event)));
  const frame = (word) => ({ response: { opcode, mask, payloadData } }) => {
    const data = opcode === 1 ? payloadData : "hex:" + Buffer.from(payloadData, "base64").toString("hex");
    return [word, opcode, mask, data];
  };
  session.on("Network.webSocketCreated", ({ requestId, url }) => sockets.set(requestId, { url, events: [] }));
  note("WillSendHandshakeRequest", ({ request }) => ["request", request.headers]);
  note("HandshakeResponseReceived", ({ response }) => ["response", response.status, response.headers]);
  note("FrameSent", frame("sent"));
  note("FrameReceived", frame("received"));
  note("FrameError", ({ errorMessage }) => ["error", errorMessage]);
  note("Closed", () => ["closed"]);
  await session.send("Network.enable");
  return { sockets, session };
}

const commands = {
  async open({ page: name, url, proxy }) {
    const options = proxy ? { proxy: { server: `http://127.0.0.1:${proxy}`, bypass: "<-loopback>" } } : {};
    const page = await browser.newPage({ ignoreHTTPSErrors: own.length === 0, ...options });
    const errors = [];
    const lines = [];
    page.on("console", (message) => lines.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
    pages.set(name, { page, errors, lines, ...(await watch(page)) });
    await page.goto(url);
    return { url: page.url() };
  },
  async evaluate({ page, code }) {
    return { value: await pages.get(page).page.evaluate(code) };
  },
  // As the console does it: a page's Content-Security-Policy, which forbids eval(), does not matter.
  async run({ page, code }) {
    const asked = { expression: code, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await pages.get(page).session.send("Runtime.evaluate", asked);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return { value: result.value ?? null };
  },
  // A picture of the page, in a size and in a colour scheme.
  async look({ page: name, width, height, scheme, path }) {
    const { page } = pages.get(name);
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path, fullPage: true });
    return { path };
  },
  async press({ page, selector, key }) {
    await pages.get(page).page.locator(selector).press(key);
    return { pressed: key };
  },
  async until({ page, code }) {
    return { value: await (await pages.get(page).page.waitForFunction(code, null, { timeout: 50_000 })).jsonValue() };
  },
  // In the page's frame with this number, 0 is the page itself.
  async frame({ page, number, code }) {
    return { value: await pages.get(page).page.frames()[number].evaluate(code) };
  },
  async console({ page }) {
    return { value: pages.get(page).lines };
  },
  async grant({ page, permission }) {
    await pages.get(page).page.context().grantPermissions([permission]);
    return { granted: permission };
  },
  async converse({ page, url }) {
    return pages.get(page).page.evaluate(converse, { url });
  },
  // With `closed`, once each of them is: a page's own events do not tell that DevTools know.
  async sockets({ page, closed }) {
    const { sockets, session, errors } = pages.get(page);
    const isOpen = ({ events }) => !events.some(([word]) => word === "closed");
    while (closed && [...sockets.values()].some(isOpen))
      await new Promise((resolve) => session.once("Network.webSocketClosed", resolve));
    return { sockets: [...sockets.values()], errors };
  },
  async close({ page }) {
    await pages.get(page).page.close();
    return { closed: page };
  },
};

answer({ version: browser.version() });
serve((command) => commands[command.do](command));
process.stdin.on("close", () => browser.close());
