// Compression in every mode: `ws` from npm as client and as server, and Chromium as client.
import { once } from "node:events";
import { Inbox, Program, check, finish, require, within } from "./support.mjs";

const { WebSocket, WebSocketServer } = require("ws");
const { chromium } = require("playwright-core");
const { CHROMIUM } = process.env;

const SERVER_MODES = [["--deflate"], ["--deflate", "takeover"], ["--deflate", "no-context"]];
const CLIENT_MODES = ["takeover", "no-context", "off"];

// Alike, longer than any window, and not to be compressed at all.
const noise = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 255));
const MESSAGES = [
  ...Array.from({ length: 12 }, (_, i) => JSON.stringify({ id: i, name: "order", text: "the same again and again ".repeat(20) })),
  "", "short", "🐟".repeat(40_000), "x".repeat(300_000), noise, Buffer.alloc(100_000, 7), noise.subarray(0, 500),
];

await theirClient();
await ourClient();
await inChromium();
finish();

async function theirClient() {
  for (const mode of SERVER_MODES) {
    const server = Program.example("echo", "--port", "0", ...mode);
    const url = `ws://${(await server.lines.next("the address")).split(" ").pop()}/echo`;
    for (const perMessageDeflate of [
      { threshold: 0 },
      { threshold: 0, serverNoContextTakeover: true },
      { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true },
      { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 10 },
      { threshold: 0, serverMaxWindowBits: 12, clientMaxWindowBits: 9, clientNoContextTakeover: true },
    ]) {
      const what = `ws client ${JSON.stringify(perMessageDeflate)}, server ${mode.join(" ")}`;
      const socket = new WebSocket(url, { perMessageDeflate });
      const inbox = new Inbox();
      socket.on("message", (data) => inbox.push(data));
      await within(once(socket, "open"), "open");
      check(`${what}: negotiated`, socket.extensions.startsWith("permessage-deflate"));
      const before = socket._socket.bytesRead;
      let bytes = 0, intact = 0;
      for (const message of MESSAGES) {
        socket.send(message);
        bytes += Buffer.byteLength(message);
        intact += (await inbox.next(what)).equals(Buffer.from(message)) ? 1 : 0;
      }
      check(`${what}: messages`, intact, MESSAGES.length);
      check(`${what}: less than half on the wire`, socket._socket.bytesRead - before < bytes / 2);
      for (const part of MESSAGES.slice(0, 3)) socket.send(part, { fin: false });
      socket.send("end", { fin: true });
      check(`${what}: fragments`, (await inbox.next(what)).toString(), MESSAGES.slice(0, 3).join("") + "end");
      socket.close(1000, "done");
      check(`${what}: closed`, (await within(once(socket, "close"), "close"))[0], 1000);
    }
    await server.stop();
  }
}

async function ourClient() {
  for (const options of [
    { threshold: 0 },
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    { threshold: 0, serverMaxWindowBits: 10, clientMaxWindowBits: 11 },
  ]) {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: options });
    await within(once(server, "listening"), "listening");
    const extensions = new Inbox(), closes = new Inbox();
    server.on("connection", (socket) => {
      extensions.push(socket.extensions);
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      socket.on("close", (code) => closes.push(code));
    });
    for (const mode of CLIENT_MODES) {
      const what = `our client ${mode}, ws server ${JSON.stringify(options)}`;
      const client = Program.example("client", `ws://127.0.0.1:${server.address().port}/`, "--deflate", mode);
      let intact = 0;
      const lines = MESSAGES.filter((message) => typeof message === "string");
      for (const line of lines) {
        client.write(line);
        intact += (await client.lines.next(what)) === line ? 1 : 0;
      }
      check(`${what}: messages`, intact, lines.length);
      check(`${what}: negotiated`, (await extensions.next()).includes("permessage-deflate"), mode !== "off");
      client.process.stdin.end();
      check(`${what}: exit code`, await within(client.ended, "the client's end"), 0);
      check(`${what}: closed`, await closes.next(), 1000);
    }
    server.close();
  }
}

async function inChromium() {
  const browser = await chromium.launch({
    executablePath: CHROMIUM, args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  const page = await browser.newPage();
  for (const mode of SERVER_MODES) {
    const server = Program.example("echo", "--port", "0", "--allow-origin", "*", ...mode);
    const url = `ws://${(await server.lines.next("the address")).split(" ").pop()}/echo`;
    const texts = MESSAGES.filter((message) => typeof message === "string");
    const seen = await within(page.evaluate(async ([url, texts]) => {
      const socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error("no connection")); });
      const next = () => new Promise((resolve) => { socket.onmessage = (event) => resolve(event.data); });
      let intact = 0;
      for (const text of texts) {
        const echo = next();
        socket.send(text);
        intact += (await echo) === text ? 1 : 0;
      }
      const bytes = crypto.getRandomValues(new Uint8Array(60_000));
      const echo = next();
      socket.send(bytes);
      const back = new Uint8Array(await echo);
      const isSame = back.length === bytes.length && back.every((byte, i) => byte === bytes[i]);
      const closed = new Promise((resolve) => { socket.onclose = (event) => resolve([event.code, event.wasClean]); });
      socket.close(1000, "done");
      return { intact, isSame, extensions: socket.extensions, closed: await closed };
    }, [url, texts]), "the page");
    const what = `Chromium, server ${mode.join(" ")}`;
    check(`${what}: negotiated`, seen.extensions.startsWith("permessage-deflate"));
    check(`${what}: messages`, [seen.intact, seen.isSame], [texts.length, true]);
    check(`${what}: closed`, seen.closed, [1000, true]);
    await server.stop();
  }
  await browser.close();
}
