// The chat between two Chromium pages, a member from npm (ws) and one from PyPI (websockets).
import { DESKTOP, PHONE, fits, launch, nothingBad, openPage, shot } from "./pages.mjs";
import { Inbox, Program, check, finish, require, within } from "./support.mjs";

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

const urlOf = (room, name) => `${origin.replace("http", "ws")}/chat?room=${encodeURIComponent(room)}&name=${encodeURIComponent(name)}`;

const brief = (text) => JSON.stringify(text.slice(0, 30));

// ---- Members ---------------------------------------------------------------------------------------------

class PageMember {
  constructor(page, name) { Object.assign(this, { page, name }); }

  static async open(browser, name, settings) { return new PageMember(await openPage(browser, settings), name); }

  async join(room) {
    await this.knock(room);
    await this.isOpen();
  }

  // Sends the form off, with the keyboard alone.
  async knock(room, password = "", creates = false) {
    if (room !== undefined) await this.page.fill("#room", room);
    await this.page.fill("#name", this.name);
    await this.page.fill("#password", password);
    if (password) {
      await this.page.focus("#create");
      if (await this.page.isChecked("#create") !== creates) await this.page.keyboard.press("Space");
    }
    await this.page.focus("#join");
    await this.page.keyboard.press("Enter");
  }

  // Back at the start, with a word that says why; the cursor is where to mend it.
  async isTurnedAway(why, field) {
    await this.page.waitForFunction((why) => document.getElementById("join-error").textContent.includes(why), why);
    check(`${this.name}'s page: ${why}`, await this.page.isVisible("#start"));
    check(`${this.name}'s page: the cursor is in the ${field}`, await this.page.evaluate(() => document.activeElement.id), field);
  }

  metric(key) { return this.page.textContent(`[data-metric="${key}"]`); }

  // Waits until a number of the panel is one that fits.
  async measures(key, fits, what) {
    await this.page.waitForFunction(([key, fits]) => new RegExp(fits).test(document.querySelector(`[data-metric="${key}"]`).textContent), [key, fits.source]);
    check(`${this.name}'s panel: ${what}`, true);
  }

  isOpen() { return this.page.waitForSelector('#state[data-state="open"]'); }

  async people(n) {
    const text = n === 1 ? "1 person" : `${n} people`;
    await this.page.waitForFunction((text) => document.getElementById("people").textContent === text, text);
    check(`${this.name}'s page: ${text}`, true);
  }

  async say(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  // A message as it is shown: author, text as text, whose it is, and no element but ours.
  async hears(author, text) {
    const seen = await this.page.waitForFunction((text) => {
      const body = [...document.querySelectorAll("#messages .message .text")].find((body) => body.textContent === text);
      if (!body) return null;
      const message = body.closest(".message");
      return {
        author: message.querySelector(".author").textContent,
        own: message.dataset.own,
        elements: message.querySelector(".text").childElementCount + message.querySelector(".author").childElementCount,
      };
    }, text);
    const expected = { author, own: String(author === this.name), elements: 0 };
    check(`${this.name}'s page: ${author} says ${brief(text)}`, await seen.jsonValue(), expected);
  }

  async notices(text) {
    await this.page.waitForFunction((text) => [...document.querySelectorAll(".notice")].some((n) => n.textContent === text), text);
    check(`${this.name}'s page: ${text}`, true);
  }

  texts() { return this.page.$$eval("#messages .text", (nodes) => nodes.map((node) => node.textContent)); }

  fits(what) { return fits(this.page, `${this.name}'s page, ${what}`); }

  shot(name) { return shot(this.page, name); }
}

// A member without a page: the same questions, asked of JSON.
class JsonMember {
  constructor(name, inbox, send, leave) { Object.assign(this, { name, inbox, send, leave }); }

  static async ofNpm(room, name) {
    const socket = new WebSocket(urlOf(room, name)), inbox = new Inbox();
    socket.on("message", (data) => inbox.push(JSON.parse(data)));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    return new JsonMember(name, inbox, (json) => socket.send(json), () => { socket.close(1000); return within(closed, "close"); }).joined(room);
  }

  static async ofPyPI(room, name) {
    const program = new Program(PYTHON, [new URL("member.py", import.meta.url).pathname, urlOf(room, name)]);
    const inbox = new Inbox();
    program.lines.push = (line) => inbox.push(JSON.parse(line));
    return new JsonMember(name, inbox, (json) => program.write(json), () => { program.process.stdin.end(); return within(program.ended, "the member's end"); }).joined(room);
  }

  async joined(room) {
    const { type, id, room: joinedRoom, name, people } = await this.inbox.next("joined");
    this.id = id;
    this.welcome = people;
    check(`${this.name} joined`, [type, typeof id, joinedRoom, name], ["joined", "string", room, this.name]);
    return this;
  }

  say(text) { this.send(JSON.stringify({ type: "message", text })); }

  async people(n) {
    await this.inbox.find((message) => message.type === "people" && message.people === n, `${n} people`);
    check(`${this.name}: ${n} people`, true);
  }

  async hears(author, text) {
    const message = await this.inbox.find((message) => message.type === "message", text);
    check(`${this.name}: ${author} says ${brief(text)}`, [message.name, message.text], [author, text]);
    check(`${this.name}: own or other`, message.id === this.id, author === this.name);
  }

  async notices(text) {
    await this.inbox.find((message) => message.type === "notice" && message.text === text, text);
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
  const all = [ann, bob, npm, pypi];
  for (const author of all) {
    const text = `hello from ${author.name} 🐟`;
    await author.say(text);
    for (const member of all) await member.hears(author.name, text);
  }
  await anotherRoom(all);
  await nastyText(all);
  for (const page of [ann, bob]) await page.shot(`chat-${page === ann ? "desktop" : "phone"}`);

  await npm.leave();
  await ann.notices("Nora of npm left");
  await pypi.notices("Nora of npm left");
  await pypi.leave();
  for (const page of [ann, bob]) await page.people(2);
  await panel();
  await reload();
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
  await cat.page.context().close();
  await bob.notices("Cat left");
  // The room ended with the server; whoever was in it opens it again.
  await server.stop("SIGKILL");
  await startServer();
  for (const page of [ann, bob]) await page.people(2);
  check("Bob's page: it is a private room still", await bob.page.isVisible("#lock"));
  await bob.say("and again");
  for (const page of [ann, bob]) await page.hears("Bob", "and again");
}

async function reload() {
  await bob.page.reload();
  await ann.notices("Bob left");
  await ann.people(1);
  check("a reload keeps name and room", [await bob.page.inputValue("#name"), await bob.page.inputValue("#room")], ["Bob", "lobby"]);
  await bob.join();
  for (const page of [ann, bob]) await page.people(2);
}

async function restart(signal) {
  await server.stop(signal);
  for (const page of [ann, bob]) await page.page.waitForSelector('#state[data-state="reconnecting"]');
  check(`${signal}: the pages say that they reconnect`, await ann.page.isVisible("#banner"));
  await bob.fits("reconnecting");
  await bob.shot(`reconnecting-phone-${signal}`);
  await startServer();
  for (const page of [ann, bob]) await page.isOpen();
  for (const page of [ann, bob]) await page.people(2);
  const text = `back after ${signal}`;
  await bob.say(text);
  for (const page of [ann, bob]) await page.hears("Bob", text);
}

async function dark() {
  for (const page of [ann, bob]) await page.page.emulateMedia({ colorScheme: "dark" });
  await ann.shot("dark-desktop");
  await bob.shot("dark-phone");
}
