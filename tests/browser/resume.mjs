// The page of the example resume in Chromium: its network is cut, and nothing is lost; a gap is told.
import { DESKTOP, PHONE, fits, launch, nothingBad, openPage, shot } from "./pages.mjs";
import { randomOf } from "./fake.mjs";
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

// Everything that was sent until now has arrived: the server has said so. That nothing at all waits may never be seen: two
// notes and one acknowledgement a second keep step, and an acknowledgement just before a note is drawn with that note.
async function arrived(page) {
  const sent = await read(page, "out", "sent");
  await page.waitForFunction((sent) => {
    const out = (row) => Number(document.querySelector(`[data-out="${row}"]`).textContent.replaceAll(",", ""));
    return out("sent") - out("waiting") >= sent;
  }, sent);
}

// ---- The story -------------------------------------------------------------------------------------------

await startServer();
const browser = await launch();
const desktop = await openPage(browser, DESKTOP);
const phone = await openPage(browser, { ...PHONE, colorScheme: "dark" });
let connections = 0;
phone.on("websocket", () => { connections++; });
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
  for (const page of [desktop, phone]) console.log(await page.innerText("main"));
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
  // Not by what is late there: a machine that stands still for a moment makes some late, too.
  check("another page: not cut", connections, 1);
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

// The same client in Node, with npm's ws: ten of them, whose connections are torn off or go silent again and again.
async function withoutBrowser() {
  const lives = await Promise.all(Array.from({ length: 10 }, (_, seed) => life(randomOf(seed))));
  const sum = (of) => lives.reduce((all, one) => all + of(one), 0);
  check("Node: connections fell, and sessions went on", sum(({ restored }) => restored) > 50);
  check("Node: every number once and in order", lives.flatMap(({ wrong }) => wrong), []);
  check("Node: every note once and in order", lives.flatMap(({ tallied }) => tallied.filter(({ missing, doubled }) => missing + doubled > 0)), []);
  check("Node: no gap", lives.flatMap(({ gaps }) => gaps), []);
}

async function life(random) {
  const seen = { restored: 0, wrong: [], gaps: [], tallied: [] }, sockets = [], answers = [];
  class Socket extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }

    // The server goes on believing in it.
    fallSilent() {
      const { onclose } = this;
      this.onopen = this.onmessage = this.onclose = () => {};
      onclose({ code: 1006, reason: "silent" });
    }
  }
  const client = connect(`${origin}/ws`, { WebSocket: Socket, backoff: { firstMs: 50, maxMs: 100 } });
  let last = null, notes = 0;
  client.on("count", ({ n }) => {
    if (last !== null && n !== last + 1) seen.wrong.push([last, n]);
    last = n;
  });
  client.on("sys.gap", (gap) => { seen.gaps.push(gap); });
  client.on("sys.state", ({ restored }) => { seen.restored += restored ? 1 : 0; });
  for (const until = performance.now() + 10e3; performance.now() < until;) {
    for (let i = 6 * random(); i > 0; i--) answers.push(client.request("note", { n: ++notes }));
    await new Promise((resolve) => setTimeout(resolve, 250 * random()));
    if (random() < 0.25) random() < 0.5 ? sockets.at(-1).terminate() : sockets.at(-1).fallSilent();
  }
  seen.tallied = await within(Promise.all(answers), "the answers");
  await client.ping();
  await within(client.flushed(), "acknowledgements");
  client.close();
  return seen;
}
