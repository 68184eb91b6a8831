// The event protocol end to end, in Node and in Chromium: the tagged form, requests of the server, tokens that end, and a page
// that is kept by the browser and shown again.
import { createHmac } from "node:crypto";
import { DESKTOP, FLAGS, launch, nothingBad, openPage, shot } from "./pages.mjs";
import { Program, check, finish, require, within } from "./support.mjs";
import { EventError, connect } from "../../src/app/browser/sockeye.js";

const { WebSocket } = require("ws");
const { chromium } = require("playwright-core");

const SECRET = process.env.SOCKEYE_SECRET = "a secret of the test, 32 bytes at least";

const BEST = [1, 0, 1];          // what the quiz wants to hear

function token(sub, seconds) {
  const now = Math.floor(Date.now() / 1e3);
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, iat: now, exp: now + seconds })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

const server = Program.example("quiz", "serve", "--port", "0");
const origin = (await server.lines.next("the URL")).split(" ").pop().replace(/\/$/, "");
const browser = await launch();
let page;
try {
  await questions();
  await overConnections();
  await aFreshToken();
  await noFreshToken();
  await inThePage();
  await shownAgain();
  nothingBad(origin);
} catch (error) {
  check(String(error), false);
  if (page) await shot(page, "failed-events");
}
await browser.close();
await server.stop("SIGINT");
finish();

// ---- In Node ---------------------------------------------------------------------------------------------

function play(options) {
  const sockets = [], states = [];
  class Socket extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
      this.on("message", (data) => { this.first ??= JSON.parse(data); });
    }
  }
  const client = connect(`${origin}/ws`, { codec: "tagged", token: token("ann", 600), WebSocket: Socket, backoff: { firstMs: 50 }, ...options });
  client.on("sys.state", (change) => { states.push(change); });
  const became = (state) => within(new Promise((resolve) => {
    if (states.some((change) => change.state === state)) return resolve();
    client.on("sys.state", (change) => { if (change.state === state) resolve(); });
  }), state);
  return { client, sockets, states, became, result: client.request("play", {}, { timeoutMs: 60e3 }) };
}

// What a handler returns answers the server's question; what it throws does, too, and so does that there is none.
async function questions() {
  const right = play();
  right.client.on("question", ({ number, text, choices }, { id }) => {
    check(`tagged: question ${number} has text, choices and an id of the server`, [typeof text, choices.length, id.startsWith("s-")], ["string", 3, true]);
    return { choice: BEST[number - 1] };
  });
  check("tagged: all answers were right", await within(right.result, "the result"), { player: "ann", right: 3, of: 3 });
  check("tagged: the messages are flat", [right.sockets[0].first.type, right.sockets[0].first.userId], ["sys.session.created", "ann"]);
  right.client.close();

  const half = play();
  half.client.on("question", ({ number }) => {
    if (number === 2) throw new EventError(4004, "no idea");
    return { choice: BEST[number - 1] };
  });
  check("tagged: an error is an answer", await within(half.result, "the result"), { player: "ann", right: 2, of: 3 });
  await half.client.request("nothing", {}).then(() => check("tagged: an unknown event", false), (error) => check("tagged: an unknown event is error 404", [error.name, error.code], ["EventError", 404]));
  half.client.close();

  const silent = play();
  check("tagged: nobody to ask is an answer", await within(silent.result, "the result"), { player: "ann", right: 0, of: 3 });
  silent.client.close();
}

// The connection falls while a question waits: it is answered over the next one.
async function overConnections() {
  const { client, sockets, result } = play();
  client.on("question", async ({ number }) => {
    if (number === 2) sockets.at(-1).terminate();
    await new Promise((resolve) => setTimeout(resolve, number === 2 ? 20 : 0));
    return { choice: BEST[number - 1] };
  });
  check("a question outlives its connection", await within(result, "the result"), { player: "ann", right: 3, of: 3 });
  check("there were two connections", sockets.length, 2);
  client.close();
}

// 4401 with a function: it is asked again, and the session goes on.
async function aFreshToken() {
  let asked = 0;
  const { client, states, result, became } = play({ token: async () => token("ann", ++asked === 1 ? 2 : 600) });
  let session;
  client.on("question", async ({ number }) => {
    session ??= client.session.id;
    if (number === 2) await became("reconnecting");
    return { choice: BEST[number - 1] };
  });
  check("4401 with a function: the game goes on", await within(result, "the result"), { player: "ann", right: 3, of: 3 });
  const ended = states.find(({ state }) => state === "reconnecting");
  check("4401 with a function: it was the token's end", ended.code, 4401);
  check("4401 with a function: the session goes on with a fresh token", [states.at(-1).restored, client.session.id, asked], [true, session, 2]);
  client.close();
}

// 4401 with a text: there is no other.
async function noFreshToken() {
  const { client, sockets, states, result, became } = play({ token: token("ann", 2) });
  client.on("question", () => became("closed"));
  const failed = result.then(() => null, (error) => error.code);
  await became("closed");
  check("4401 with a text is the end", [states.at(-1).state, states.at(-1).code, sockets.length], ["closed", 4401, 1]);
  check("4401 with a text: whoever waits is told", await failed, 499);
}

// ---- In Chromium -----------------------------------------------------------------------------------------

// A person answers by hand, and finds another token when the first has ended.
async function inThePage() {
  page = await openPage(browser, DESKTOP);
  await page.goto(origin + "/");
  await page.fill("#token", "not-a-token");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#form:not([hidden])");
  check("the page asks again for a token that is none", await page.evaluate(() => document.activeElement.id), "token");
  await page.fill("#token", token("<b>bob</b>", 3));
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("text").textContent.startsWith("1. "));
  await page.click("#choices button:nth-child(2)");
  await page.waitForFunction(() => document.getElementById("text").textContent.startsWith("2. "));
  await page.waitForSelector("#form:not([hidden])");
  check("the page says that it is not connected", await page.getAttribute("#state", "data-state"), "reconnecting");
  await page.fill("#token", token("<b>bob</b>", 600));
  await page.keyboard.press("Enter");
  await page.waitForSelector('#state[data-state="open"]');
  check("the question is there still", (await page.textContent("#text")).startsWith("2. "));
  await page.click("#choices button:nth-child(1)");
  await page.waitForFunction(() => document.getElementById("text").textContent.startsWith("3. "));
  await page.click("#choices button:nth-child(2)");
  await page.waitForFunction(() => document.getElementById("text").textContent.startsWith("<b>bob</b>: "));
  check("the game went on over the token's end", await page.textContent("#text"), "<b>bob</b>: 3 of 3");
  await shot(page, "quiz");
  await page.context().close();
}

// The browser keeps a page that one leaves, and shows it again when one comes back: its session goes on.
async function shownAgain() {
  // Playwright switches it off.
  const keeping = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  page = await openPage(keeping, DESKTOP);
  await page.goto(origin + "/");
  const session = await page.evaluate(async (token) => {
    const { connect } = await import("/sockeye.js");
    addEventListener("pageshow", ({ persisted }) => { window.isKept = persisted; });
    window.states = [];
    window.client = connect("/ws", { codec: "tagged", token, sessionStorageKey: "kept" });
    await new Promise((resolve) => client.on("sys.state", ({ state, restored }) => { states.push([state, restored]); resolve(); }));
    return client.session.id;
  }, token("cat", 600));
  await page.goto(origin + "/quiz.css");
  check("between two pages the session is in the storage", await page.evaluate((id) => JSON.parse(sessionStorage.getItem("kept")).session.id === id, session));
  await page.goBack({ waitUntil: "commit" });
  if (await page.evaluate(() => window.isKept !== true)) {
    console.log("NOT TESTED: this browser does not keep pages");
  } else {
    await page.waitForFunction(() => window.client.state === "open");
    const now = await page.evaluate(() => [client.session.id, states.at(-1), sessionStorage.getItem("kept")]);
    check("a page that is shown again goes on with its session", now, [session, ["open", true], null]);
  }
  await keeping.close();
}
