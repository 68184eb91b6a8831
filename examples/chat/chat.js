import { connect } from "/sockeye.js";
import { CuttableSocket, network } from "/network.js";
import { credential, hasPasswords, nodes } from "/site.js";

const MAX = { name: 32, room: 32, password: 64, text: 2000 };
const KEPT = 500;                // messages kept in the page
const GROUP_MS = 5 * 60e3;       // messages of one person this close together share a heading
const PATIENCE_MS = 24 * 3600e3; // what is said waits for the network as long as the page is open
const CUT_S = 10;
const SESSION = "sockeye-chat.session";
const REFUSED = 403, GUESSED = 429, LOST = 410, CLOSED = 499;

const el = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));

// ---- Small helpers ---------------------------------------------------------------------------------------

const store = {
  get(kind, key) { try { return window[kind].getItem("sockeye-chat." + key); } catch { return null; } },
  set(kind, key, value) { try { window[kind].setItem("sockeye-chat." + key, value); } catch { /* private mode */ } },
};
// Half of a surrogate pair cannot be sent.
const wellFormed = (s) => s.replace(/[\ud800-\udfff]/gu, "\ufffd");
const str = (v) => (typeof v === "string" ? v : "");
const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
const segmenter = "Segmenter" in Intl ? new Intl.Segmenter() : null;   // an emoji may be many characters
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

function tone(name) {            // FNV-1a, so that a name has the same colour everywhere
  let h = 0x811c9dc5;
  for (const c of name) h = Math.imul(h ^ c.codePointAt(0), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return ((h ^ (h >>> 12)) >>> 0) % 12;
}

function initial(name) {
  const first = segmenter ? segmenter.segment(name)[Symbol.iterator]().next().value?.segment : [...name][0];
  return (first || "?").toUpperCase();
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Where there are several: the one that we are connected to, or try.
const nodeName = () => nodes.find(({ url }) => url === client?.url)?.name ?? "";

function set(node, text) { if (node.textContent !== text) node.textContent = text; }

function avatarOf(name) {
  const avatar = make("span", "avatar", initial(name));
  avatar.setAttribute("aria-hidden", "true");
  return avatar;
}

// ---- Choosing a name and a room --------------------------------------------------------------------------

let name = "", room = "";        // what we joined with
let password = "", create = false;

function complain(field, text) {
  el[field + "-error"].textContent = text;
  if (text) el[field].setAttribute("aria-invalid", "true");
  else el[field].removeAttribute("aria-invalid");
}

function check(field, what) {
  const value = wellFormed(el[field].value).trim();
  const problem = !value ? `Please enter ${what}.`
    : [...value].length > MAX[field] ? `At most ${MAX[field]} characters, please.`
    : /\p{Cc}/u.test(value) ? "No control characters, please." : "";
  complain(field, problem);
  return problem ? null : value;
}

function markChip() {
  const value = el.room.value.trim();
  for (const chip of el.chips.children) chip.setAttribute("aria-pressed", String(chip.dataset.room === value));
}

el.chips.addEventListener("click", (event) => {
  const chip = event.target.closest("button");
  if (!chip) return;
  el.room.value = chip.dataset.room;
  complain("room", "");
  markChip();
});
el.room.addEventListener("input", () => { complain("room", ""); markChip(); });
el.password.addEventListener("input", () => { complain("password", ""); drawPassword(); });
el.create.addEventListener("change", drawPassword);
el.show.addEventListener("click", () => {
  const shown = el.password.type === "password";
  el.password.type = shown ? "text" : "password";
  el.show.setAttribute("aria-pressed", String(shown));
  el.show.textContent = shown ? "Hide" : "Show";
});

function drawPassword() {
  el["create-row"].hidden = el.password.value === "";
  el.join.textContent = el.password.value !== "" && el.create.checked ? "Create and join" : "Join";
}

el.name.addEventListener("input", () => complain("name", ""));

el.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const newName = check("name", "a name");
  const newRoom = check("room", "a room");
  if (newName === null) return el.name.focus();
  if (newRoom === null) return el.room.focus();
  password = wellFormed(el.password.value);
  create = password !== "" && el.create.checked;
  el["join-error"].textContent = "";
  [name, room] = [newName, newRoom];
  for (const kind of ["sessionStorage", "localStorage"]) {
    store.set(kind, "name", name);
    store.set(kind, "room", room);
  }
  const here = new URL(location.href);
  here.searchParams.set("room", room);
  try { history.replaceState(null, "", here); } catch { /* not allowed for this page: no deep link then */ }
  openChat();
});

function openChat() {
  clearLog();
  el.waiting.replaceChildren();
  unseen = 0;
  stick = true;
  el.start.hidden = true;
  el.chat.hidden = false;
  drawRoom();
  say("");
  showUnseen();
  fit();
  drawText();
  toBottom();
  if (matchMedia("(min-width: 60rem)").matches) openMembers(true);
  // On a touch screen the keyboard would jump up at once.
  (matchMedia("(pointer: coarse)").matches ? el.title : el.text).focus();
  begin();
}

function drawRoom() {
  el.title.textContent = room;
  el.text.placeholder = `Write as ${name}`;
  drawTitle();
}

function openStart() {
  end();
  drawState();
  unseen = 0;
  showUnseen();
  openMembers(false);
  openPanel(false);
  document.title = "Sockeye chat";
  el.chat.hidden = true;
  el.start.hidden = false;
  markChip();
  drawPassword();
}

el.leave.addEventListener("click", () => {
  openStart();
  el.room.focus();
  el.room.select();
});

// The room did not open: the answer is the same for a wrong password and for a room that is not there.
function turnedAway({ code, message }) {
  openStart();
  const wrong = code === REFUSED;
  el["join-error"].textContent = code === GUESSED ? "Too many wrong passwords: wait a minute."
    : !wrong ? `The server said: ${message || "no"}.`
    : password === "" ? "This room is private: enter its password."
    : create ? "There is such a room already, and this is not its password."
    : "No private room of this name has this password. Check both, or create the room.";
  if (wrong) el.password.setAttribute("aria-invalid", "true");
  (wrong ? el.password : el.room).focus();
  (wrong ? el.password : el.room).select();
}

// ---- The session -----------------------------------------------------------------------------------------

let client = null;               // the one in use
let link = { state: "connecting" };
let ownId = null;
let members = new Map();         // who is in the room: id -> name
let early = null;                // what happens before the room has let us in, in order
let isIn = false;                // we were in this room once
let older = null;                // the number of the oldest message that came, where there are more

// Where the tab was in a room when its last page ended, the session goes on, and with it our place.
function begin() {
  const token = credential && (() => credential(name));
  const mine = client = connect(nodes.map(({ url }) => url), { WebSocket: CuttableSocket, sessionStorageKey: SESSION, token });
  const ours = (handler) => (payload) => { if (client === mine) handler(payload); };
  link = { state: "connecting" };
  isIn = false;
  client.on("sys.state", ours(changed));
  client.on("sys.gap", ours(lost));
  client.on("chat.message", ours((message) => happened(() => showMessage(message))));
  client.on("room.presence", ours((change) => happened(() => showPresence(change))));
  client.on("metrics", ours(showMetrics));
  enter();
  drawState();
}

function end() {
  const old = client;
  client = null;
  early = null;
  link = { state: "closed" };
  old?.close();
}

function happened(show) {
  if (early) early.push(show);
  else show();
}

// What is told before the answer happened after we were let in: it is shown behind what the answer has.
function enter() {
  const mine = client, events = early = [];
  // Who was in the room may begin it again: it ends when all have lost their sessions.
  const wish = { room, name, ...(password && { password, create: create || isIn }) };
  mine.request("room.join", wish, { timeoutMs: PATIENCE_MS }).then(
    (answer) => { if (client === mine && early === events) joined(answer, events); },
    (error) => { if (client === mine && early === events && error.code !== LOST && error.code !== CLOSED) turnedAway(error); },
  );
}

function joined(answer, events) {
  ownId = answer.id;
  [name, room] = [str(answer.name) || name, str(answer.room) || room];
  members = new Map(answer.members.map((person) => [person.id, str(person.name)]));
  early = null;
  drawRoom();
  el.lock.toggleAttribute("hidden", answer.isPrivate !== true);
  silently(() => showLast(answer.last));
  if (!isIn && answer.isPrivate === true && members.size === 1) showNotice("This room is private. It ends when the last person leaves.");
  isIn = true;
  for (const show of events) show();
  drawMembers();
  drawState();
  watch(!el.panel.hidden);
}

// The session is gone: what comes next is a new one. Or it has come from a store, and we ask for what may be missing.
function lost({ reason }) {
  const begun = nodeName() ? `This is ${nodeName()} now.` : "The server has begun anew.";
  const notices = { unknown: begun, stored: `${begun} You are in the room still.` };
  if (isIn) showNotice(notices[reason] ?? "You were away for too long. What was said last is here.");
  enter();                       // of a new session, goes before what waits to be said
}

const CODES = {
  1000: "The server ended the connection.",
  1001: "The server is going away.",
  1006: "The server cannot be reached.",
  1008: "The server refused the connection.",
  1009: "The message was too big for the server.",
  1011: "The server had an error.",
  1012: "The server is restarting.",
  1013: "The server is too busy.",
  4001: "This chat goes on in another window.",
};

function changed(change) {
  link = { ...change, at: performance.now() };
  if (change.state === "closed" && !isIn) return turnedAway({ code: change.code, message: change.reason });
  drawState();
}

const isOffline = () => network.isCut || navigator.onLine === false;

let stateTimer = 0;

function drawState() {
  clearTimeout(stateTimer);
  const { state, code, reason } = link;
  const shown = state === "closed" ? "closed" : isOffline() ? "offline" : state === "open" && early ? "connecting" : state;
  const leftMs = (link.waitMs ?? 0) - (performance.now() - link.at);
  const words = { open: "Connected", closed: "Closed", offline: "Offline", connecting: "Connecting", reconnecting: "Reconnecting" };
  if (el.state.dataset.state !== shown) el.state.dataset.state = shown;
  set(el["state-word"], words[shown]);
  set(el.node, nodeName());
  set(el["state-wait"], shown === "reconnecting" && leftMs > 0 ? ` in ${Math.ceil(leftMs / 1e3)} s` : shown === "open" || shown === "closed" || shown === "offline" ? "" : "…");
  el.state.title = el["state-word"].textContent + el["state-wait"].textContent;
  const isAway = shown === "closed" || shown === "offline" || shown === "reconnecting";
  el.banner.hidden = !isAway || !client;
  el.banner.dataset.kind = shown === "closed" ? "closed" : "waiting";
  if (isAway) {
    const waits = " What you write is sent when it is back.";
    const why = network.isCut ? `The network of this page is cut.${waits}`
      : shown === "offline" ? `This device is offline.${waits}`
      : (CODES[code] || `The connection was closed (code ${code}).`) + (reason && state === "closed" ? ` It said: ${reason}.` : "");
    set(el.why, why);
  }
  el.retry.textContent = shown === "closed" ? "Join again" : "Try now";
  el.retry.hidden = shown === "offline";
  el.people.textContent = shown === "open" ? plural(members.size, "person", "people") : "";
  el.cut.disabled = network.isCut;
  el.panel.classList.toggle("stale", shown !== "open");
  if (shown !== "open") set(el["panel-note"], "Not connected: these are the last numbers.");
  for (const node of el.waiting.querySelectorAll(".meta")) set(node, shown === "open" ? "Sending…" : "Waiting for the network");
  drawSend();
  if (client && (shown === "reconnecting" || network.isCut)) stateTimer = setTimeout(drawState, 250);
}

el.retry.addEventListener("click", () => {
  el.text.focus();
  if (link.state === "closed") {
    end();
    begin();
  } else client?.retry();
});
el.cut.addEventListener("click", () => {
  network.cut(CUT_S);
  drawState();
});
for (const type of ["online", "offline"]) addEventListener(type, () => client && drawState());
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !client) return;
  unseenWhileHidden = 0;
  drawTitle();
  client.retry();
});

// ---- Who is here -----------------------------------------------------------------------------------------

function showPresence({ room: of, person, isHere }) {
  if (of !== room || person?.id === ownId || members.has(person?.id) === isHere) return;
  const who = str(person.name);
  if (isHere) members.set(person.id, who);
  else members.delete(person.id);
  showNotice(`${who} ${isHere ? "joined" : "left"}`);
  drawMembers();
}

function drawMembers() {
  const order = ([a, nameA], [b, nameB]) => (b === ownId) - (a === ownId) || nameA.localeCompare(nameB) || (a > b) - (a < b);
  const rows = [...members].sort(order).map(([id, who]) => {
    const row = make("li");
    row.dataset.tone = String(tone(who));
    const label = make("span", "who");
    label.append(make("bdi", "", who));
    if (id === ownId) label.append(make("small", "", " (you)"));
    label.title = who;
    row.append(avatarOf(who), label);
    return row;
  });
  el.list.replaceChildren(...rows);
  el.people.textContent = plural(members.size, "person", "people");
}

// On a small screen there is room for one of the two.
const isNarrow = () => matchMedia("(max-width: 48rem)").matches;

function openMembers(open) {
  if (open && isNarrow()) openPanel(false);
  el.members.hidden = !open;
  el.people.setAttribute("aria-expanded", String(open));
}

el.people.addEventListener("click", () => openMembers(el.members.hidden));

// ---- Messages --------------------------------------------------------------------------------------------

const keyOf = ({ at, id }) => `${at} ${id}`;
const shown = new Set();         // of each message when it was said and by whom: no two have the same
let last = null;                 // the message above, if the next one may join its group
let stick = true;                // the newest message is in view
let unseen = 0, unseenWhileHidden = 0;
let frame = 0;

function messageNode({ at, id, name: author, text }, before) {
  const own = id === ownId;
  const more = before !== null && before.id === id && before.author === author && at - before.at < GROUP_MS;
  const node = make("div", more ? "message more" : "message");
  node.dataset.own = String(own);
  node.dataset.tone = String(tone(author));
  node.dataset.key = keyOf({ at, id });
  const meta = make("div", more ? "meta sr" : "meta");
  const time = make("time", "", clock.format(at));
  time.dateTime = new Date(at).toISOString();
  meta.append(make("bdi", own && !more ? "author sr" : "author", author), time);
  const body = make("p", "text", text);
  body.dir = "auto";
  body.title = clock.format(at);
  node.append(avatarOf(author), meta, body);
  return { node, next: { id, author, at: more ? before.at : at } };
}

const readable = ({ at, id, name, room: of, text }) =>
  Number.isSafeInteger(at) && of === room ? { at, id, name: str(name), text: str(text) } : null;

function showMessage(payload) {
  const message = readable(payload);
  if (!message || shown.has(keyOf(message))) return;
  const own = message.id === ownId;
  if (own) [...el.waiting.children].find(({ dataset }) => dataset.text === message.text)?.remove();
  const { node, next } = messageNode(message, last);
  last = next;
  shown.add(keyOf(message));
  add(node);
  if (own) toBottom();
  else if (!stick) { unseen++; showUnseen(); }
  if (document.hidden && !own) { unseenWhileHidden++; drawTitle(); }
}

function showNotice(text) {
  last = null;
  add(make("p", "notice", text));
}

function add(node) {
  if (node.classList.contains("message")) el.empty.hidden = true;
  el.log.append(node);
  // Old ones go, but not from under the eyes of someone who reads them.
  const limit = stick ? KEPT : 4 * KEPT;
  while (el.log.childElementCount > limit) {
    const oldest = el.log.firstElementChild;
    shown.delete(oldest.dataset.key);
    oldest.remove();
    showOlder(null);             // what is older than the page's oldest has no number here
  }
  if (stick) follow();
}

function clearLog() {
  el.log.replaceChildren();
  shown.clear();
  last = null;
  el.empty.hidden = false;
  showOlder(null);
}

// What was said before is no news, and not read out.
function silently(change) {
  el.log.setAttribute("aria-live", "off");
  change();
  requestAnimationFrame(() => el.log.setAttribute("aria-live", "polite"));
}

// The last messages of the room. We may have some of them, or none: then nobody knows what is between.
function showLast({ events, hasMore }) {
  const messages = events.map(({ event }) => readable(event.p)).filter(Boolean);
  const isKnown = messages.some((message) => shown.has(keyOf(message)));
  if (!isKnown && hasMore && shown.size > 0) clearLog();
  if (shown.size === 0) showOlder(hasMore ? events[0].number : null);
  else if (!isKnown) showOlder(null);
  for (const { event } of events) showMessage(event.p);
  unseen = 0;
  showUnseen();
}

function showOlder(number) {
  older = number;
  el.older.hidden = older === null;
}

el.older.addEventListener("click", async () => {
  const mine = client, number = older;
  el.older.disabled = true;
  try {
    const { events, hasMore } = await client.request("chat.before", { room, number });
    if (client !== mine || older !== number) return;
    const { scrollHeight, scrollTop } = el.messages, nodes = [];
    let before = null;
    for (const { event } of events) {
      const message = readable(event.p);
      if (!message || shown.has(keyOf(message))) continue;
      const { node, next } = messageNode(message, before);
      before = next;
      shown.add(keyOf(message));
      nodes.push(node);
    }
    silently(() => el.log.prepend(...nodes));
    showOlder(hasMore ? events[0].number : null);
    // What was read stays where it was.
    el.messages.scrollTop = scrollTop + el.messages.scrollHeight - scrollHeight;
    if (el.older.hidden) el.messages.focus();
  } catch (error) {
    say(`Older messages cannot be had now: ${error.message}.`);
  } finally {
    el.older.disabled = false;
  }
});

function follow() {              // once a frame is enough, however many messages came
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; if (stick) el.messages.scrollTop = el.messages.scrollHeight; });
}

function toBottom() {
  stick = true;
  unseen = 0;
  showUnseen();
  el.messages.scrollTop = el.messages.scrollHeight;
  follow();
}

function showUnseen() {
  el.newer.hidden = unseen === 0;
  if (unseen) el.newer.textContent = `${plural(unseen, "new message", "new messages")} ↓`;
}

function drawTitle() {
  document.title = (unseenWhileHidden ? `(${unseenWhileHidden}) ` : "") + `${room} · Sockeye chat`;
}

el.messages.addEventListener("scroll", () => {
  if (frame) return;             // content is about to move, not the reader
  stick = el.messages.scrollHeight - el.messages.scrollTop - el.messages.clientHeight < 40;
  if (stick && unseen) { unseen = 0; showUnseen(); }
}, { passive: true });
el.newer.addEventListener("click", () => { toBottom(); el.text.focus(); });
if ("ResizeObserver" in window) new ResizeObserver(() => { if (stick) follow(); }).observe(el.messages);

// ---- The metrics -----------------------------------------------------------------------------------------
// Pushed by the server once a second while the panel is open, and nobody asks for them otherwise.

const PAST = 60;                 // seconds in the small plots
const past = { messages_in: [], messages_out: [] };
const count = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, notation: "compact" });

function bytes(n) {
  const unit = n < 1e3 ? 0 : n < 1e6 ? 1 : n < 1e9 ? 2 : 3;
  return `${(n / 1e3 ** unit).toFixed(unit === 0 ? 0 : 1)} ${["B", "kB", "MB", "GB"][unit]}`;
}
function duration(us) { return us < 1e3 ? `${us} µs` : us < 1e6 ? `${(us / 1e3).toPrecision(3)} ms` : `${(us / 1e6).toPrecision(3)} s`; }
function uptime(ms) {
  const s = Math.floor(ms / 1e3), two = (n) => String(n).padStart(2, "0");
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

function watch(on) {
  // Full or closed: the numbers are the least of our worries.
  try { client?.send("metrics.watch", { on }); } catch { /* see above */ }
}

function showMetrics(m) {
  if (el.panel.hidden) return;   // it was closed at this moment
  const n = (key) => (Number.isFinite(m[key]) ? m[key] : 0);
  const show = (key, text) => set(el.panel.querySelector(`[data-metric="${key}"]`), text);
  for (const key of ["connections", "rooms", "queued_messages", "dropped"]) show(key, count.format(n(key)));
  show("messages_in", `${count.format(n("messages_in"))}/s`);
  show("messages_out", `${count.format(n("messages_out"))}/s`);
  show("bytes_in", `${bytes(n("bytes_in"))}/s`);
  show("bytes_out", `${bytes(n("bytes_out"))}/s`);
  show("queued_bytes", bytes(n("queued_bytes")));
  show("refused", `${count.format(n("refused"))} refused`);
  for (const key of ["round_trip", "broadcast"]) {
    const of = m[key + "_us"];
    show(key, of ? duration(of.p50) : "–");
    show(key + "_high", of ? `99 %: ${duration(of.p99)}` : "none yet");
  }
  const closed = m.closed && typeof m.closed === "object" ? Object.entries(m.closed) : [];
  show("closed", closed.map(([code, times]) => `${code}: ${times}`).join(", ") || "none");
  set(el["panel-note"], `Every second. Up for ${uptime(n("uptime_ms"))}.`);
  for (const key of Object.keys(past)) {
    past[key].push(n(key));
    if (past[key].length > PAST) past[key].shift();
    drawSpark(key);
  }
}

function drawSpark(key) {
  const values = past[key], top = Math.max(1, ...values), from = PAST - values.length;
  const points = values.map((value, i) => `${from + i + .5},${(25 - 24 * value / top).toFixed(2)}`);
  const [area, line] = el.panel.querySelectorAll(`[data-spark="${key}"] path`);
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M${from + .5},25L${points.join("L")}L${PAST - .5},25z`);
}

function openPanel(open) {
  if (el.panel.hidden === !open) return;
  if (open && isNarrow()) openMembers(false);
  el.panel.hidden = !open;
  el.metrics.setAttribute("aria-expanded", String(open));
  for (const key of Object.keys(past)) past[key].length = 0;
  el["panel-note"].textContent = "Waiting for the first numbers…";
  watch(open);
}

el.metrics.addEventListener("click", () => openPanel(el.panel.hidden));
// Out of what was opened, back to what opened it.
for (const [panel, button, close] of [[el.panel, el.metrics, () => openPanel(false)], [el.members, el.people, () => openMembers(false)]]) {
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    button.focus();
  });
}

// ---- Writing ---------------------------------------------------------------------------------------------

function say(text) { el.hint.textContent = text; }

// It is the client's now: without a connection it waits for one.
function send() {
  const text = wellFormed(el.text.value).trim();
  if (!text || !client) return;
  if ([...text].length > MAX.text) return say(`That is too long: at most ${MAX.text} characters.`);
  if (link.state === "closed") return say("Not connected. Your message stays here until you can send it.");
  const mine = client, node = waitingNode(text);
  client.request("chat.message", { room, text }, { timeoutMs: PATIENCE_MS }).catch((error) => {
    node.remove();
    if (client === mine) giveBack(text, error);
  });
  el.text.value = "";
  say("");
  drawText();
  drawState();
  toBottom();
}

// Until it comes back from the room, behind what was said before it.
function waitingNode(text) {
  const node = make("div", "message");
  node.dataset.own = "true";
  node.dataset.text = text;
  const body = make("p", "text", text);
  body.dir = "auto";
  node.append(body, make("div", "meta"));
  el.empty.hidden = true;
  el.waiting.append(node);
  return node;
}

// A message that was not said, or of which nobody knows, goes back into the input.
function giveBack(text, { code, message }) {
  el.text.value = el.text.value.trim() ? `${text}\n${el.text.value}` : text;
  say(code === LOST || code === CLOSED ? "Your last message may not have arrived. It is back here." : `Your last message was not sent: ${message}.`);
  drawText();
}

function drawSend() {
  el.send.setAttribute("aria-disabled", String(link.state === "closed" || !el.text.value.trim() || [...el.text.value].length > MAX.text));
}

function drawText() {            // grows with its content; the stylesheet sets the limit
  el.text.style.height = "auto";
  el.text.style.height = el.text.scrollHeight + 2 + "px";
  const left = MAX.text - [...el.text.value].length;
  el.count.textContent = left > 200 ? "" : left >= 0 ? `${left} left` : `${-left} too many`;
  el.count.classList.toggle("full", left <= 0);
  drawSend();
}

el.text.addEventListener("input", () => {
  if (!el.text.value) say("");
  drawText();
});
el.text.addEventListener("keydown", (event) => {
  // While an input method composes a word, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  send();
});
el.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  el.text.focus();
});

// ---- Room for the virtual keyboard -----------------------------------------------------------------------
// Some browsers lay the keyboard over the page instead of shrinking it.

function fit() {
  const view = window.visualViewport;
  if (!view || Math.abs(view.scale - 1) > 0.01) return;
  const covered = innerHeight - view.height > 60;
  const { style } = document.documentElement;
  if (covered) {
    style.setProperty("--height", view.height + "px");
    style.setProperty("--top", view.offsetTop + "px");
  } else {
    style.removeProperty("--height");
    style.removeProperty("--top");
  }
}
if (window.visualViewport) {
  visualViewport.addEventListener("resize", fit);
  visualViewport.addEventListener("scroll", fit);
}
addEventListener("resize", () => { if (!el.chat.hidden) drawText(); });

// ---- Start -----------------------------------------------------------------------------------------------

el.name.value = store.get("sessionStorage", "name") ?? store.get("localStorage", "name") ?? "";
el.room.value = new URLSearchParams(location.search).get("room")?.trim()
  || store.get("sessionStorage", "room") || store.get("localStorage", "room") || "lobby";
el.password.closest(".row").hidden = !hasPasswords;
markChip();
// The page before this one was in a room: its place is ours.
if (store.get("sessionStorage", "session") !== null) el.form.requestSubmit();
else (el.name.value ? el.join : el.name).focus();
