// The chat between two Chromium pages, a member in Node (the browser client over npm's ws) and one from PyPI (websockets), which
// speaks the event protocol by hand.
import { PageMember, brief } from "./member.mjs";
import { DESKTOP, PHONE, launch, nothingBad } from "./pages.mjs";
import { Inbox, Program, check, finish, require, within } from "./support.mjs";
import { connect } from "../../src/app/browser/sockeye.js";

const { WebSocket } = require("ws");
const { PYTHON } = process.env;

const NASTY = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>&lt;b&gt;`;
const NASTY_NAME = `<b onclick=hacked=1>"Eve"</b>`;

// ---- The server, which starts again on the same port -----------------------------------------------------

let server, port = "0", origin;

async function startServer() {
  server = Program.example("chat", "--port", port);
  origin = (await server.lines.next("the URL")).split(" ").pop().replace(/\/$/, "");
  port = new URL(origin).port;
}

const chatUrl = () => `${origin.replace("http", "ws")}/chat`;

// ---- Members ---------------------------------------------------------------------------------------------

// A member without a page: the same questions, asked of events.
class JsonMember {
  here = new Set();

  constructor(name, inbox, say, leave) { Object.assign(this, { name, inbox, sayIn: say, leave }); }

  static async ofNpm(room, name) {
    const client = connect(chatUrl(), { WebSocket }), inbox = new Inbox();
    for (const event of ["chat.message", "room.presence"]) client.on(event, (payload) => { inbox.push({ event, payload }); });
    const member = new JsonMember(name, inbox, (said) => client.send("chat.message", said), () => client.close());
    member.client = client;
    return member.joined(room, await client.request("room.join", { room, name }));
  }

  static async ofPyPI(room, name) {
    const program = new Program(PYTHON, [new URL("member.py", import.meta.url).pathname, chatUrl()]);
    const inbox = new Inbox();
    program.lines.push = (line) => {
      const { e: event, p: payload } = JSON.parse(line);
      inbox.push({ event, payload });
    };
    const send = (event, payload) => program.write(JSON.stringify({ v: "1.0", e: event, p: payload }));
    const leave = () => { program.process.stdin.end(); return within(program.ended, "the member's end"); };
    const member = new JsonMember(name, inbox, (said) => send("chat.message", said), leave);
    send("room.join", { room, name });
    const { payload } = await inbox.find(({ event }) => event === "room.join.ack", "the answer");
    return member.joined(room, payload);
  }

  joined(room, answer) {
    this.id = answer.id;
    this.room = room;
    this.answer = answer;
    for (const { id } of answer.members) this.here.add(id);
    this.welcome = answer.members.length;
    check(`${this.name} joined`, [typeof answer.id, answer.room, answer.name], ["number", room, this.name]);
    return this;
  }

  say(text) { this.sayIn({ room: this.room, text }); }

  note({ event, payload }) {
    if (event !== "room.presence") return null;
    if (payload.isHere) this.here.add(payload.person.id);
    else this.here.delete(payload.person.id);
    return `${payload.person.name} ${payload.isHere ? "joined" : "left"}`;
  }

  async people(n) {
    while (this.here.size !== n) this.note(await this.inbox.next(`${n} people`));
    check(`${this.name}: ${n} people`, true);
  }

  async hears(author, text) {
    const { payload } = await this.inbox.find((item) => { this.note(item); return item.event === "chat.message"; }, text);
    check(`${this.name}: ${author} says ${brief(text)}`, [payload.name, payload.text], [author, text]);
    check(`${this.name}: own or other`, payload.id === this.id, author === this.name);
  }

  async notices(text) {
    await this.inbox.find((item) => this.note(item) === text, text);
    check(`${this.name}: ${text}`, true);
  }
}

// ---- The story -------------------------------------------------------------------------------------------

await startServer();
const browser = await launch();
const ann = await PageMember.open(browser, "Ann", DESKTOP);
const bob = await PageMember.open(browser, "Bob", PHONE);
try {
  await everybodyComes();
} catch (error) {
  check(String(error), false);
  await ann.shot("failed-ann");
  await bob.shot("failed-bob");
}
await browser.close();
await server.stop();
finish();

async function everybodyComes() {
  await ann.page.goto(origin + "/");
  await ann.page.click("#join");
  check("an empty name is told", (await ann.page.textContent("#name-error")).length > 0);
  await ann.shot("start-desktop");
  await ann.join("lobby");
  await ann.people(1);
  await bob.page.goto(`${origin}/?room=lobby`);
  check("a link fills the room in", await bob.page.inputValue("#room"), "lobby");
  await bob.fits("start");
  await bob.shot("start-phone");
  await bob.join();
  await ann.notices("Bob joined");
  for (const page of [ann, bob]) await page.people(2);

  const npm = await JsonMember.ofNpm("lobby", "Nora of npm");
  const pypi = await JsonMember.ofPyPI("lobby", "Pia of PyPI");
  check("counts in the welcomes", [npm.welcome, pypi.welcome], [3, 4]);
  for (const member of [ann, bob, npm]) await member.people(4);
  await ann.lists("Ann", "Bob", "Nora of npm", "Pia of PyPI");
  const all = [ann, bob, npm, pypi];
  for (const author of all) {
    const text = `hello from ${author.name} 🐟`;
    await author.say(text);
    for (const member of all) await member.hears(author.name, text);
  }
  await anotherRoom(all);
  await nastyText(all);
  for (const page of [ann, bob]) await page.shot(`chat-${page === ann ? "desktop" : "phone"}`);

  await cutNetwork(all);
  await offline(all);
  await npm.leave();
  await ann.notices("Nora of npm left");
  await pypi.notices("Nora of npm left");
  await pypi.leave();
  for (const page of [ann, bob]) await page.people(2);
  await panel();
  await past();
  await reload();
  await accessible();
  for (const signal of ["SIGKILL", "SIGINT"]) await restart(signal);
  await dark();
  await ann.page.click("#leave");
  await bob.notices("Ann left");
  await bob.people(1);
  await bob.page.click("#leave");
  await privateRoom();
  nothingBad(origin);
}

async function anotherRoom(all) {
  const stranger = await JsonMember.ofNpm("rust <&> 🦀", "Stranger");
  check("another room has its own count", stranger.welcome, 1);
  stranger.say("not for the lobby");
  await stranger.hears("Stranger", "not for the lobby");
  await ann.say("after the stranger");
  for (const member of all) await member.hears("Ann", "after the stranger");
  for (const page of [ann, bob]) check(`${page.name}'s page: no other room`, (await page.texts()).includes("not for the lobby"), false);
  await stranger.leave();
}

async function nastyText(all) {
  const eve = await JsonMember.ofNpm("lobby", NASTY_NAME);
  for (const text of [NASTY, "W".repeat(2000), "two\nlines", "العربية \u202e backwards"]) {
    eve.say(text);
    for (const member of all) await member.hears(NASTY_NAME, text);
    await bob.fits(brief(text));
  }
  const again = `${NASTY} and again`;
  await ann.say(again);
  for (const member of all) await member.hears("Ann", again);
  for (const page of [ann, bob]) {
    check(`${page.name}'s page: nothing ran`, await page.page.evaluate(() => window.hacked === undefined));
    check(`${page.name}'s page: no element came in`, await page.page.$$eval("#messages img, #messages script, #messages b", (n) => n.length), 0);
  }
  await eve.leave();
  await bob.notices(`${NASTY_NAME} left`);
}

async function panel() {
  await ann.page.focus("#metrics");
  await ann.page.keyboard.press("Enter");
  check("the button says that the panel is open", await ann.page.getAttribute("#metrics", "aria-expanded"), "true");
  await bob.page.tap("#metrics");
  for (const page of [ann, bob]) {
    await page.measures("connections", /^2$/, "two connections");
    await page.measures("rooms", /^1$/, "one room");
    await page.measures("closed", /^1000: [1-9]/, "close codes");
  }
  const uptime = await ann.page.textContent("#panel-note");
  const talking = setInterval(() => ann.say("how fast?").catch(() => {}), 100);
  try {
    await ann.measures("messages_in", /^[1-9]/, "messages come in");
    await bob.measures("bytes_out", /^[1-9]/, "bytes go out");
    await ann.measures("round_trip", /[µm]?s$/, "round trips");
    const points = () => ann.page.$eval('[data-spark="messages_in"] path:last-child', (path) => path.getAttribute("d").split("L").length);
    const before = await points();
    await ann.page.waitForFunction((before) => document.querySelector('[data-spark="messages_in"] path:last-child').getAttribute("d").split("L").length > before + 1, before);
    check("Ann's panel: the plot grows", true);
  } finally {
    clearInterval(talking);
  }
  check("Ann's panel: it moves", await ann.page.textContent("#panel-note") !== uptime);
  for (const page of [ann, bob]) {
    await page.fits("panel");
    await page.shot(`panel-${page === ann ? "desktop" : "phone"}`);
  }
  await bob.page.tap("#metrics");
  check("Bob's panel is closed", await bob.page.isHidden("#panel"));
}

// A room with a password, from the start page on; Cat's page is in the dark.
async function privateRoom() {
  const cat = await PageMember.open(browser, "Cat", { ...PHONE, colorScheme: "dark" });
  await cat.page.goto(origin + "/");
  await ann.knock("den", "salmon 🐟", false);
  await ann.isTurnedAway("No private room of this name", "password");
  await ann.shot("refused-desktop");
  await ann.knock("den", "salmon 🐟", true);
  await ann.isOpen();
  await ann.notices("This room is private. It ends when the last person leaves.");
  check("Ann's page: the room is marked as private", await ann.page.isVisible("#lock"));
  await bob.knock("den");
  await bob.isTurnedAway("This room is private: enter its password.", "password");
  await bob.knock("den", "trout");
  await bob.isTurnedAway("No private room of this name", "password");
  await bob.knock("den", "trout", true);
  await bob.isTurnedAway("There is such a room already", "password");
  await bob.fits("refused");
  await bob.shot("refused-phone");
  await cat.page.fill("#password", "salmon 🐟");
  await cat.page.click("#show");
  check("Cat's page: a password is shown when asked", await cat.page.getAttribute("#password", "type"), "text");
  await cat.shot("start-phone-dark");
  for (const page of [bob, cat]) {
    await page.knock("den", "salmon 🐟");
    await page.isOpen();
  }
  await bob.say("behind the door");
  for (const page of [ann, bob, cat]) await page.hears("Bob", "behind the door");
  await cat.page.click("#leave");
  await bob.notices("Cat left");
  await cat.page.context().close();
  // The room ended with the server; whoever was in it opens it again.
  await server.stop("SIGKILL");
  await startServer();
  for (const page of [ann, bob]) await page.isOpen();
  for (const page of [ann, bob]) await page.people(2);
  check("Bob's page: it is a private room still", await bob.page.isVisible("#lock"));
  await bob.say("and again");
  for (const page of [ann, bob]) await page.hears("Bob", "and again");
}

// The page cuts its own network: what is said meanwhile comes when it is back, what is written waits, and nobody sees it leave.
async function cutNetwork(all) {
  const [, , npm] = all;
  await ann.page.click("#metrics");
  await ann.page.click("#cut");
  await ann.state("offline");
  check("the page says what it is", (await ann.page.textContent("#why")).includes("is cut"));
  check("a cut network is not cut again", await ann.page.isDisabled("#cut"));
  const theirs = [1, 2, 3].map((n) => `meanwhile ${n}`), hers = [1, 2].map((n) => `from the dark ${n}`);
  for (const text of theirs) {
    npm.say(text);
    for (const member of all.slice(1)) await member.hears("Nora of npm", text);
  }
  for (const text of hers) await ann.say(text);
  check("what she wrote waits", await ann.page.$$eval("#waiting .meta", (all) => all.map((node) => node.textContent)), hers.map(() => "Waiting for the network"));
  await ann.shot("cut-desktop");
  await ann.isOpen();
  for (const text of hers) for (const member of all) await member.hears("Ann", text);
  await ann.page.waitForFunction(() => document.querySelectorAll("#waiting > *").length === 0);
  await ann.shows([...theirs, ...hers], 1);
  check("theirs were said first", (await ann.texts()).slice(-5), [...theirs, ...hers]);
  check("nobody saw her leave", (await bob.page.$$eval(".notice", (all) => all.map((node) => node.textContent))).includes("Ann left"), false);
  await ann.page.click("#metrics");
}

// What the browser says of the network is believed as far as the banner goes; what arrives, arrives.
async function offline(all) {
  await bob.page.context().setOffline(true);
  await bob.state("offline");
  check("Bob's page says that the device is offline", (await bob.page.textContent("#why")).includes("This device is offline"));
  await bob.say("written offline");
  await bob.shot("offline-phone");
  await bob.page.context().setOffline(false);
  await bob.isOpen();
  for (const member of all) await member.hears("Bob", "written offline");
  await bob.shows(["written offline"], 1);
}

// Who comes later sees what was said last, and asks for more.
async function past() {
  const writer = await JsonMember.ofNpm("library", "Scribe");
  const lines = Array.from({ length: 120 }, (_, n) => `line ${n}`);
  for (const line of lines) writer.say(line);
  for (const line of lines) await writer.inbox.find(({ payload }) => payload.text === line, line);
  const reader = await PageMember.open(browser, "Reader", PHONE);
  await reader.page.goto(`${origin}/?room=library`);
  await reader.join();
  await reader.hears("Scribe", "line 119");
  check("the last fifty are there", await reader.texts(), lines.slice(70));
  const announced = await reader.page.getAttribute("#log", "aria-live");
  check("what is old is not read out, what comes is", ["off", "polite"].includes(announced));
  const top = () => reader.page.$eval("#log .text", (node) => node.textContent);
  for (const first of ["line 20", "line 0"]) {
    await reader.page.tap("#older");
    await reader.page.waitForFunction((first) => document.querySelector("#log .text").textContent === first, first);
    check(`older messages from ${first}`, await top(), first);
  }
  check("there is no more", await reader.page.isHidden("#older"));
  await reader.shows(lines, 1);
  await reader.fits("the past");
  await reader.shot("past-phone");
  // A page that was not loaded anew has them once, when it is told again.
  writer.say("and on it goes");
  await reader.hears("Scribe", "and on it goes");
  await reader.page.reload();
  await reader.isOpen();
  await reader.hears("Scribe", "and on it goes");
  check("after a reload the last fifty", (await reader.texts()).length, 50);
  await reader.page.context().close();
  await writer.leave();
}

// The session goes on after a reload: in the room at once, and nobody sees it.
async function reload() {
  await ann.say("before the reload");
  await bob.hears("Ann", "before the reload");
  const before = await bob.page.$$eval(".notice", (all) => all.length);
  check("while a page runs its session is in no storage", await bob.page.evaluate(() => sessionStorage.getItem("sockeye-chat.session")), null);
  for (let round = 1; round <= 2; round++) {
    await bob.page.reload();
    await bob.isOpen();
    check(`reload ${round}: no form`, await bob.page.isHidden("#start"));
    await bob.people(2);
    await bob.hears("Ann", "before the reload");
  }
  await ann.say("after the reload");
  for (const page of [ann, bob]) await page.hears("Ann", "after the reload");
  await bob.say("still me");
  for (const page of [ann, bob]) await page.hears("Bob", "still me");
  for (const page of [ann, bob]) await page.shows(["before the reload", "after the reload", "still me"], 1);
  const seen = await ann.page.$$eval(".notice", (all) => all.map((node) => node.textContent));
  check("Ann saw nobody leave or come", [seen.filter((text) => text === "Bob left").length, before >= 0], [0, true]);
}

// What can be used has a name, and comes in an order that makes sense.
async function accessible() {
  const nameless = (page) => page.page.evaluate(() => [...document.querySelectorAll("button, input, textarea, [role], aside")]
    .filter((node) => node.checkVisibility() && !["presentation", "none"].includes(node.role))
    .filter((node) => !(node.ariaLabel || node.labels?.length || node.textContent.trim() || node.getAttribute("aria-labelledby")) && node.role !== "status")
    .map((node) => node.id));
  for (const page of [ann, bob]) check(`${page.name}'s page: everything has a name`, await nameless(page), []);
  const order = [];
  await ann.page.focus("#people");
  for (let i = 0; i < 8; i++) {
    order.push(await ann.page.evaluate(() => document.activeElement.id));
    await ann.page.keyboard.press("Tab");
  }
  check("the order of the focus", order, ["people", "metrics", "leave", "messages", "members", "panel", "cut", "text"]);
  await ann.page.focus("#members");
  await ann.page.keyboard.press("Escape");
  check("out of the list with Escape", [await ann.page.isHidden("#members"), await ann.page.evaluate(() => document.activeElement.id)], [true, "people"]);
  check("what is said is announced", await ann.page.$eval("#log", (log) => [log.getAttribute("role"), log.ariaLive]), ["log", "polite"]);
}

async function restart(signal) {
  await server.stop(signal);
  for (const page of [ann, bob]) await page.page.waitForSelector('#state[data-state="reconnecting"]');
  check(`${signal}: the pages say that they reconnect`, await ann.page.isVisible("#banner"));
  await bob.fits("reconnecting");
  await bob.shot(`reconnecting-phone-${signal}`);
  // It goes behind the wish to be let in again.
  const waiting = `while it was away (${signal})`;
  await ann.say(waiting);
  await startServer();
  for (const page of [ann, bob]) await page.isOpen();
  for (const page of [ann, bob]) await page.people(2);
  for (const page of [ann, bob]) await page.hears("Ann", waiting);
  for (const page of [ann, bob]) await page.notices("The server has begun anew.");
  const text = `back after ${signal}`;
  await bob.say(text);
  for (const page of [ann, bob]) await page.hears("Bob", text);
}

async function dark() {
  for (const page of [ann, bob]) await page.page.emulateMedia({ colorScheme: "dark" });
  await ann.shot("dark-desktop");
  await bob.shot("dark-phone");
}
