// How the lab starts Chromium; `proxy` is the port of a regular proxy, which loopback goes through as well. With
// `own` arguments it checks certificates and Local Network Access, as users' browsers do.
import { chromium } from "playwright-core";

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const LENIENT = [
  "--ignore-certificate-errors",
  "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
];

export function launch(proxy, own = []) {
  const args = [...ARGS, ...(own.length ? own : LENIENT)];
  if (proxy) args.push(`--proxy-server=http://127.0.0.1:${proxy}`, "--proxy-bypass-list=<-loopback>");
  return chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args });
}
