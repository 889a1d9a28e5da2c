// Headless Chromium: opens WebSockets from a page, as an application does, and reports what JavaScript was told.
// Usage: chromium.mjs PAGE_URL [PROXY_PORT]
import { launch } from "./browser.mjs";
import { converse } from "./converse.mjs";
import { answer, serve } from "./lines.mjs";

const [page_url, proxy] = process.argv.slice(2);
const browser = await launch(proxy);
const page = await browser.newPage({ ignoreHTTPSErrors: true });
await page.goto(page_url);

answer({ version: browser.version() });
// `reload` opens the page again, which takes a new connection where the server has ended the one before.
serve((command) => (command.reload ? page.reload().then(() => ({ reloaded: true })) : page.evaluate(converse, command)));
process.stdin.on("close", () => browser.close());
