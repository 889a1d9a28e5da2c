// The HAR that Playwright records of a page, once its title is `done`. Usage: playwright_har.mjs URL FILE
import { launch } from "./browser.mjs";

const [url, path] = process.argv.slice(2);
const browser = await launch();
const context = await browser.newContext({ ignoreHTTPSErrors: true, recordHar: { path } });
const page = await context.newPage();
await page.goto(url);
await page.waitForFunction(() => document.title === "done");
await context.close();
await browser.close();
