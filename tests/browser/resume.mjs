// The page of the example resume in Chromium: its network is cut, and nothing is lost; a gap is told.
import { DESKTOP, PHONE, fits, launch, nothingBad, openPage, shot } from "./pages.mjs";
import { Program, check, finish, require, within } from "./support.mjs";
import { connect } from "../../src/app/browser/sockeye.js";

const { WebSocket } = require("ws");

// ---- The server, which starts again on the same port -----------------------------------------------------

let server, port = "0", origin;

async function startServer() {
  server = Program.example("resume", "--port", port);
  origin = (await server.lines.next("the URL")).split(" ").pop().replace(/\/$/, "");
  port = new URL(origin).port;
}

// ---- What is seen ----------------------------------------------------------------------------------------

const isIn = (page, state) => page.waitForSelector(`#state[data-state="${state}"]`);

const read = (page, table, row) => page.$eval(`[data-${table}="${row}"]`, (cell) => Number(cell.textContent.replaceAll(",", "")));

const reaches = (page, table, row, least) => page.waitForFunction(([table, row, least]) =>
  Number(document.querySelector(`[data-${table}="${row}"]`).textContent.replaceAll(",", "")) >= least, [table, row, least]);

const cells = (page, kind) => page.$$eval(`#strip [data-kind="${kind}"]`, (all) => all.length);

async function nothingIsLost(page, what) {
  for (const table of ["in", "out"]) {
    check(`${what}: nothing missing, nothing twice (${table})`, [await read(page, table, "missing"), await read(page, table, "doubled")], [0, 0]);
  }
  check(`${what}: no gap`, await page.isHidden("#gap"));
}

// Everything that was sent has arrived: the server has said so.
const arrived = (page) => page.waitForFunction(() => document.querySelector('[data-out="waiting"]').textContent === "0");

// ---- The story -------------------------------------------------------------------------------------------

await startServer();
const browser = await launch();
const desktop = await openPage(browser, DESKTOP);
const phone = await openPage(browser, { ...PHONE, colorScheme: "dark" });
try {
  for (const page of [desktop, phone]) {
    await page.goto(origin + "/");
    await isIn(page, "open");
    await reaches(page, "in", "received", 10);
  }
  await cuts();
  await another();
  await longCut();
  await restart();
  await reload();
  await withoutBrowser();
  nothingBad(origin);
} catch (error) {
  check(String(error), false);
  await shot(desktop, "failed-resume");
}
await browser.close();
await server.stop("SIGINT");
finish();

// Again and again, not once.
async function cuts() {
  for (const [round, least] of [[1, 15], [2, 30]]) {
    await desktop.click('[data-cut="3"]');
    await isIn(desktop, "cut");
    check(`cut ${round}: the buttons wait`, await desktop.isDisabled('[data-cut="3"]'));
    if (round === 2) {
      await reaches(desktop, "out", "waiting", 4);
      await shot(desktop, "resume-cut");
    }
    const before = await read(desktop, "in", "received");
    await isIn(desktop, "open");
    await reaches(desktop, "in", "received", before + 40);
    await reaches(desktop, "in", "late", least);
    await arrived(desktop);
    await nothingIsLost(desktop, `cut ${round}`);
    check(`cut ${round}: what was replayed is drawn`, await cells(desktop, "late") >= 15);
  }
  await fits(desktop, "resume");
  await shot(desktop, "resume-desktop");
}

// Another page has a session of its own, and was not disturbed.
async function another() {
  await nothingIsLost(phone, "another page");
  check("another page: nothing late", await read(phone, "in", "late"), 0);
  await phone.tap('[data-cut="3"]');
  await isIn(phone, "cut");
  await isIn(phone, "open");
  await reaches(phone, "in", "late", 15);
  await arrived(phone);
  await nothingIsLost(phone, "a phone");
  await fits(phone, "resume on a phone");
  await phone.screenshot({ path: `${process.env.PACKAGES}/resume-phone.png`, fullPage: true });
}

// Longer than the server keeps: the page is told, and counts what it misses.
async function longCut() {
  await desktop.click('[data-cut="40"]');
  await isIn(desktop, "cut");
  await desktop.waitForSelector('#state[data-state="open"]', { timeout: 60e3 });
  await desktop.waitForFunction(() => /did not keep.*numbers are missing/.test(document.getElementById("gap").textContent));
  check("a long cut: the gap is told", await desktop.isVisible("#gap"));
  const missing = await read(desktop, "in", "missing");
  check("a long cut: so much is missing", missing > 256 && missing < 600, true);
  check("a long cut: nothing twice", await read(desktop, "in", "doubled"), 0);
  await shot(desktop, "resume-gap");
}

// A server that knows nothing of its sessions any more.
async function restart() {
  await server.stop("SIGKILL");
  await isIn(phone, "reconnecting");
  await startServer();
  await isIn(phone, "open");
  await phone.waitForSelector("#gap:not([hidden])");
  check("after a restart: the page is told", (await phone.textContent("#gap")).includes("does not know this session any more"));
  const before = await read(phone, "in", "received");
  await reaches(phone, "in", "received", before + 10);
  check("after a restart: it counts again", [await read(phone, "in", "missing"), await read(phone, "in", "doubled")], [0, 0]);
}

// A page that asks for it goes on with its session after a reload. It keeps the last number it saw beside it.
async function reload() {
  const begin = (page) => page.evaluate(async () => {
    const { connect } = await import("/sockeye.js");
    const client = connect("/ws", { sessionStorageKey: "kept" });
    const wrong = [], before = Number(sessionStorage.getItem("last"));
    let last = before;
    await new Promise((resolve) => client.on("count", ({ n }) => {
      if (last && n !== last + 1) wrong.push([last, n]);
      last = n;
      sessionStorage.setItem("last", String(n));
      if (n > before + 10) resolve();
    }));
    return { id: client.session.id, wrong, stored: sessionStorage.getItem("kept") };
  });
  const first = await begin(phone);
  check("while a page runs its token is in no storage", first.stored, null);
  for (let round = 1; round <= 2; round++) {
    await phone.reload();
    const next = await begin(phone);
    check(`reload ${round}: the same session, and every number once`, next, { id: first.id, wrong: [], stored: null });
  }
}

// The same client in Node, with npm's ws, whose sockets are torn off.
async function withoutBrowser() {
  const sockets = [], seen = [], gaps = [];
  class Socket extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  const client = connect(`${origin}/ws`, { WebSocket: Socket, backoff: { firstMs: 300, maxMs: 300 } });
  client.on("sys.gap", (gap) => { gaps.push(gap); });
  const reaching = (least) => within(new Promise((resolve) => {
    const off = client.on("count", () => seen.length >= least && (off(), resolve()));
  }), `${least} numbers`);
  client.on("count", ({ n }) => { seen.push(n); });
  let notes = 0;
  const answers = [];
  for (const least of [20, 40, 60, 80]) {
    await reaching(least);
    for (let i = 0; i < 20; i++) answers.push(client.request("note", { n: ++notes }));
    sockets.at(-1).terminate();                       // what was just sent may be on its way, or not
    answers.push(client.request("note", { n: ++notes }));
  }
  const tallied = await within(Promise.all(answers), "the answers");
  check("Node: four torn connections, and the same session", [sockets.length > 4, gaps], [true, []]);
  check("Node: every number once and in order", seen.every((n, i) => n === seen[0] + i));
  check("Node: every note once and in order", tallied.at(-1), { missing: 0, doubled: 0 });
  check("Node: there and back", await client.ping() < 10e3);
  await within(client.flushed(), "acknowledgements");
  client.close();
}
