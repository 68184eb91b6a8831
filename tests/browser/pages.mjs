// Chromium pages, and what holds for each of them.
import { PATIENCE_MS, check, require } from "./support.mjs";

const { chromium } = require("playwright-core");
const { CHROMIUM, PACKAGES } = process.env;

export const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const DESKTOP = { viewport: { width: 1000, height: 720 } };
export const PHONE = { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

export const launch = () => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

// What went wrong in the pages, and what they asked for.
const problems = [], asked = new Set();

export async function openPage(browser, settings) {
  const context = await browser.newContext(settings);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    // What Chromium itself says when a server is away, or takes no token.
    const isAway = /^(WebSocket connection to '.*' failed|Failed to load resource): /.test(message.text());
    if (message.type() === "error" && !isAway) problems.push(message.text());
  });
  context.on("request", (request) => asked.add(new URL(request.url())));
  page.on("websocket", (socket) => asked.add(new URL(socket.url())));
  return page;
}

export async function fits(page, what) {
  const wide = await page.evaluate(() => {
    const widths = [document.documentElement, document.body, document.getElementById("messages")]
      .filter((node) => node && node.scrollWidth > node.clientWidth).map((node) => node.id || node.tagName);
    const out = [...document.querySelectorAll("body *")].filter((node) => {
      const box = node.getBoundingClientRect();
      return box.width > 1 && (box.right > innerWidth + 0.5 || box.left < -0.5);
    });
    return widths.concat(out.map((node) => node.id || node.className || node.tagName));
  });
  check(`${what}: nothing overflows`, wide, []);
}

export const shot = (page, name) => page.screenshot({ path: `${PACKAGES}/${name}.png`, animations: "disabled" });

export function nothingBad(...origins) {
  const hosts = origins.map((origin) => new URL(origin).host);
  const others = [...asked].filter((url) => !hosts.includes(url.host) && url.protocol !== "data:");
  check("no request to another host", others.map(String), []);
  check("requests were seen, WebSockets among them", [...asked].some((url) => url.protocol === "ws:"));
  check("no page errors, nothing against the policy", problems, []);
}
