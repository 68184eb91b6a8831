// The monitor's page in Chromium: who may look, plots with points, a load that is switched on and off.
import { DESKTOP, PHONE, fits, launch, nothingBad, openPage, shot } from "./pages.mjs";
import { Program, check, finish, require, within } from "./support.mjs";

const { WebSocket } = require("ws");

const NASTY = `<img src=x onerror="window.hacked=1">`;

// A token outlives a restart of the server.
process.env.SOCKEYE_SECRET = "a secret of the test, 32 bytes at least";

// ---- The server, which starts again on the same port -----------------------------------------------------

let server, port = "0", address, origin, watched;

async function startServer() {
  server = Program.example("monitor", "--port", port, "--every", "1");
  address = (await server.lines.next("the address")).split(" ").pop();
  watched = (await server.lines.next("the watched server")).split(" ").pop().split("?")[0];
  origin = new URL(address).origin;
  port = new URL(origin).port;
}

// ---- What is seen ----------------------------------------------------------------------------------------

const isOpen = (page) => page.waitForSelector('#state[data-state="open"]');

// The numbers of a plot's line.
const heights = (page, id) => page.$$eval(`#plot-${id} path.first`, (paths) => paths.flatMap((path) =>
  path.getAttribute("d").slice(1).split("L").map((point) => Number(point.split(",")[1]))));

async function plots(page, id, points) {
  await page.waitForFunction(([id, points]) => {
    const paths = [...document.querySelectorAll(`#plot-${id} path.first`)];
    return paths.reduce((sum, path) => sum + path.getAttribute("d").split("L").length, 0) >= points;
  }, [id, points]);
  const seen = await heights(page, id);
  check(`${id}: at least ${points} points, all of them in the plot`, seen.every((y) => y >= 0 && y <= 144), true);
}

async function reads(page, id, pattern) {
  await page.waitForFunction(([id, pattern]) => new RegExp(pattern).test(document.getElementById(`plot-${id}`)?.closest("figure").querySelector("b")?.textContent), [id, pattern.source]);
  check(`${id} is ${pattern.source}`, true);
}

// It is drawn with the next frame.
async function says(selector, text) {
  await desktop.waitForFunction(([selector, text]) => document.querySelector(selector).textContent === text, [selector, text]);
  check(`${selector} says ${text}`, true);
}

async function lists(page, id, text) {
  await page.waitForFunction(([id, text]) => [...document.querySelectorAll(`#${id} li`)].some((row) => row.querySelector(".name").textContent === text), [id, text]);
  check(`${id}: ${text}`, true);
}

// ---- The story -------------------------------------------------------------------------------------------

await startServer();
const browser = await launch();
const desktop = await openPage(browser, { viewport: { width: 1280, height: 900 } });
const phone = await openPage(browser, { ...PHONE, colorScheme: "dark" });
try {
  await strangers();
  await nastyRoom();
  await underLoad();
  await restart();
  await switchedOff();
  nothingBad(origin);
} catch (error) {
  check(String(error), false);
  await shot(desktop, "failed-monitor");
}
await browser.close();
await server.stop("SIGINT");
finish();

async function strangers() {
  const page = await openPage(browser, DESKTOP);
  await page.goto(origin);
  check("without a token there is nothing to see", [await page.isVisible("#login"), await page.isHidden("#live")], [true, true]);
  for (const token of ["wrong", "not even a token", address.split("#")[1].slice(0, -2)]) {
    await page.fill("#token", token);
    await page.keyboard.press("Enter");
    // The form was hidden while the page asked.
    await page.waitForSelector("#login");
    const said = [await page.textContent("#refused"), await page.isHidden("#live")];
    check(`${token.slice(0, 20)}: nothing to see`, [said[0].length > 0, said[1]], [true, true]);
  }
  await shot(page, "monitor-login");
  await page.fill("#token", address);
  await page.keyboard.press("Enter");
  await isOpen(page);
  check("the address will do as a token", await page.isVisible("#plots"));
  await page.context().close();
}

async function nastyRoom() {
  for (const page of [desktop, phone]) {
    await page.goto(address);
    await isOpen(page);
    check("the token is not in the address any more", page.url(), `${origin}/`);
  }
  const socket = new WebSocket(`${watched}?room=${encodeURIComponent(NASTY)}`);
  await within(new Promise((resolve) => socket.on("open", resolve)), "the watched server");
  await lists(desktop, "rooms", NASTY);
  check("a room's name is text", await desktop.evaluate(() => [window.hacked, document.querySelectorAll("main img").length]), [undefined, 0]);
  await reads(desktop, "connections", /^1$/);
  socket.close(1000);
  await reads(desktop, "connections", /^0$/);
  await lists(desktop, "closed", "1000");
}

async function underLoad() {
  await desktop.focus('[data-load="300"]');
  await desktop.keyboard.press("Enter");
  for (const page of [desktop, phone]) {
    await page.waitForSelector('[data-load="300"][aria-pressed="true"]');
    await reads(page, "connections", /^(29\d|300)$/);
    await reads(page, "messages-in", /^[1-9]/);
    await reads(page, "messages-out", /^[1-9]/);
    await lists(page, "rooms", "lobby");
  }
  for (const id of ["connections", "messages-in", "messages-out", "bytes", "queued", "dropped"]) await plots(desktop, id, 10);
  // Pings are sent every five seconds; slow readers fill the kernel's buffers first.
  await plots(desktop, "round-trip", 2);
  await plots(desktop, "broadcast", 5);
  await reads(desktop, "queued", /^[1-9]/);
  const seen = await heights(desktop, "messages-out");
  check("a plot goes up with the load", Math.min(...seen) < Math.max(...seen) - 20);
  await desktop.focus("#look");
  for (let i = 0; i < 4; i++) await desktop.keyboard.press("ArrowLeft");
  await says("#when", "4 s ago");
  check("a line marks the time in every plot", await desktop.$$eval(".plot .cursor", (lines) => lines.length), 8);
  await shot(desktop, "monitor-desktop");
  await desktop.keyboard.press("End");
  await says("#when", "now");
  await fits(desktop, "monitor");
  await fits(phone, "monitor on a phone");
  await shot(phone, "monitor-phone");
  await phone.screenshot({ path: `${process.env.PACKAGES}/monitor-phone-all.png`, fullPage: true });
  // What a terminal sees.
  const line = await server.lines.find((line) => /connections (29\d|300), rooms 12,/.test(line), "a line of the load");
  check("a line a second says the same", /^up \d+ s, .* in \d+\/s \d+ B\/s, out \d+\/s \d+ B\/s, queued \d+, dropped \d+,/.test(line));
}

async function restart() {
  await server.stop("SIGKILL");
  for (const page of [desktop, phone]) await page.waitForSelector('#state[data-state="reconnecting"]');
  check("the page says that it is offline", await desktop.textContent("#why"), "The server cannot be reached. What you see is old.");
  await shot(desktop, "monitor-offline");
  await startServer();
  for (const page of [desktop, phone]) await isOpen(page);
  check("the banner is gone", await desktop.isHidden("#banner"));
  await reads(desktop, "connections", /^0$/);
}

async function switchedOff() {
  await phone.tap('[data-load="100"]');
  await reads(desktop, "connections", /^(9\d|100)$/);
  await phone.tap('[data-load="0"]');
  await reads(desktop, "connections", /^0$/);
  await lists(desktop, "closed", "1000");
  await desktop.emulateMedia({ colorScheme: "dark" });
  await shot(desktop, "monitor-dark");
}
