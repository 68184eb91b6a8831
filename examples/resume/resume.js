import { connect } from "/sockeye.js";
import { CuttableSocket, network } from "/network.js";

const CELLS = 150;               // numbers that are drawn
const LOST_CELLS_MAX = 40;       // of a gap that may be longer than all of them
const LATE_MS = 400;             // a number this much later than the quickest came after a cut
const NOTE_MS = 500;             // between two notes to the server

const $ = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en");

// ---- The client ------------------------------------------------------------------------------------------

const client = connect(new URL("/ws", location.href), { WebSocket: CuttableSocket });
const from = { received: 0, late: 0, missing: 0, doubled: 0 };
const to = { sent: 0, missing: 0, doubled: 0, tallied: { missing: 0, doubled: 0 } };
let state = { state: "connecting" };
let last = null;                 // the last number
let quickest = Infinity;         // the least that the server's time is behind ours
let isAfterGap = false;

client.on("count", ({ n, atMs }) => {
  const behind = performance.now() - atMs;
  quickest = Math.min(quickest, behind);
  const isLate = last !== null && behind - quickest > LATE_MS;
  const skipped = last === null ? 0 : Math.max(0, n - last - 1);
  if (last !== null && n <= last) from.doubled++;
  from.missing += skipped;
  from.received++;
  from.late += isLate ? 1 : 0;
  if (isAfterGap) tellGap(skipped);
  isAfterGap = false;
  last = Math.max(last ?? 0, n);
  addCells(Math.min(skipped, LOST_CELLS_MAX), "lost");
  addCells(1, isLate ? "late" : "live");
  draw();
});

client.on("sys.state", (change) => {
  state = { ...change, at: performance.now() };
  draw();
});

client.on("sys.gap", ({ reason, uncertain }) => {
  isAfterGap = true;
  quickest = Infinity;           // it may be another server, with a time of its own
  if (reason !== "history_lost") last = null;
  to.missing += to.tallied.missing;
  to.doubled += to.tallied.doubled;
  to.tallied = { missing: 0, doubled: 0 };
  gap = { reason, uncertain: uncertain.length };
  tellGap(null);
});

setInterval(() => {
  try {
    const answer = client.request("note", { n: to.sent + 1 }, { timeoutMs: 300e3 });
    to.sent++;
    answer.then((tallied) => { to.tallied = tallied; draw(); }, () => draw());
  } catch { /* the queue is full: this note is not sent at all */ }
  draw();
}, NOTE_MS);

// ---- What is seen ----------------------------------------------------------------------------------------

let gap = null;

function tellGap(missing) {
  const why = gap.reason === "history_lost" ? "the server did not keep numbers for so long" : gap.reason === "expired" ? "the session waited too long" : "the server does not know this session any more";
  const what = [missing ? `${count.format(missing)} numbers are missing` : "", gap.uncertain === 1 ? "of one note nobody knows whether it arrived" : gap.uncertain ? `of ${count.format(gap.uncertain)} notes nobody knows whether they arrived` : ""].filter(Boolean).join(", and ");
  $("gap").hidden = false;
  $("gap").textContent = `There is a gap, and the page was told: ${why}.${what ? ` ${what[0].toUpperCase()}${what.slice(1)}.` : ""}`;
}

// For screen readers, which need no countdown.
const SAID = { connecting: "", open: "Connected", cut: "The network is cut", reconnecting: "Trying again", closed: "Closed" };

const cells = [];
for (let i = 0; i < CELLS; i++) cells.push($("strip").appendChild(document.createElement("i")));
const kinds = [];

function addCells(n, kind) {
  for (let i = 0; i < n; i++) kinds.push(kind);
  kinds.splice(0, kinds.length - CELLS);
}

function stateText() {
  const now = performance.now(), seconds = (ms) => (Math.max(0, ms) / 1e3).toFixed(1);
  if (network.isCut) return ["cut", `The network is cut. It is back in ${seconds(network.cutUntil - now)} s`];
  if (state.state === "open") return ["open", "Connected"];
  if (state.state === "closed") return ["closed", `Closed${state.reason ? `: ${state.reason}` : ""}. Load the page again`];
  if (state.state === "connecting") return ["connecting", "Connecting"];
  const leftMs = (state.waitMs ?? 0) - (now - state.at);
  return ["reconnecting", leftMs > 0 ? `Trying again in ${seconds(leftMs)} s` : "Trying again"];
}

let frame = 0;
function draw() {                // once a frame is enough
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; drawAll(); });
}

function set(node, text) { if (node.textContent !== text) node.textContent = text; }

function drawAll() {
  const [name, text] = stateText();
  $("state").dataset.state = name;
  set($("state-text"), text);
  set($("said"), SAID[name]);
  set($("number"), last === null ? "–" : count.format(last));
  cells.forEach((cell, i) => { cell.dataset.kind = kinds[i] ?? ""; });
  const out = { sent: to.sent, waiting: client.queued, missing: to.missing + to.tallied.missing, doubled: to.doubled + to.tallied.doubled };
  for (const [kind, values] of [["in", from], ["out", out]]) {
    for (const cell of document.querySelectorAll(`[data-${kind}]`)) {
      const value = values[cell.dataset[kind]];
      set(cell, count.format(value));
      cell.classList.toggle("bad", cell.classList.contains("verdict") && value > 0);
    }
  }
  const missing = from.missing + out.missing, doubled = from.doubled + out.doubled, isBad = missing + doubled > 0;
  set($("verdict"), isBad ? `✗ ${count.format(missing)} missing, ${count.format(doubled)} twice` : "✓ none missing, none twice");
  $("verdict").classList.toggle("bad", isBad);
  for (const button of document.querySelectorAll("[data-cut]")) button.disabled = network.isCut;
  if (network.isCut || name === "reconnecting") setTimeout(draw, 100);
}

for (const button of document.querySelectorAll("[data-cut]")) {
  button.addEventListener("click", () => {
    $("gap").hidden = true;
    network.cut(Number(button.dataset.cut));
    draw();
  });
}
draw();
