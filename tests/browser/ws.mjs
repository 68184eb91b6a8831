// Echo interop with `ws` from npm: its client with our server, our client with its server.
import { once } from "node:events";
import { Inbox, Program, check, finish, require, within } from "./support.mjs";

const { WebSocket, WebSocketServer } = require("ws");

await theirClient();
await ourClient();
finish();

async function theirClient() {
  const server = Program.example("echo", "--port", "0");
  const url = `ws://${(await server.lines.next("the address")).split(" ").pop()}/echo`;
  for (const perMessageDeflate of [true, false]) {
    const socket = new WebSocket(url, { perMessageDeflate });
    const inbox = new Inbox();
    socket.on("message", (data, isBinary) => inbox.push({ data, isBinary }));
    await within(once(socket, "open"), "open");
    const bytes = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 31) & 255));
    for (const [what, data, isBinary] of [
      ["text", "hello 🐟", false], ["empty text", "", false], ["binary", bytes.subarray(0, 256), true],
      ["125", "x".repeat(125), false], ["126", "x".repeat(126), false], ["65535", bytes.subarray(0, 65535), true],
      ["65536", bytes.subarray(0, 65536), true], ["1 MiB of binary", bytes, true], ["1 MiB of text", "🐟".repeat(1 << 18), false],
    ]) {
      socket.send(data);
      const echo = await inbox.next(what);
      check(`ws client, deflate offered ${perMessageDeflate}: ${what}`, [echo.data.equals(Buffer.from(data)), echo.isBinary], [true, isBinary]);
    }
    for (const part of ["frag", "men", "t"]) socket.send(part, { fin: false });
    socket.ping("between fragments");
    socket.send("ed", { fin: true });
    const [pong] = await within(once(socket, "pong"), "pong");
    check("ws client: pong between fragments", pong.toString(), "between fragments");
    check("ws client: fragmented text", (await inbox.next()).data.toString(), "fragmented");
    check("ws client: nothing was negotiated", socket.extensions, "");
    socket.close(1000, "done");
    check("ws client: closed", (await within(once(socket, "close"), "close"))[0], 1000);
  }
  for (const code of [undefined, 1000, 1001, 1011, 3000, 4999]) {
    const socket = new WebSocket(url);
    await within(once(socket, "open"), "open");
    socket.close(code, code && "why");
    check(`ws client: close ${code}`, (await within(once(socket, "close"), "close"))[0], code ?? 1005);
  }
  await server.stop();
}

async function ourClient() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
  await within(once(server, "listening"), "listening");
  const pongs = new Inbox(), closes = new Inbox();
  server.on("connection", (socket, request) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("pong", (data) => pongs.push(data.toString()));
    socket.on("close", (code, reason) => closes.push([code, reason.toString()]));
    if (request.url === "/greet") {
      socket.ping("are you there?");
      socket.send("in ", { fin: false });
      socket.send("pieces", { fin: true });
      socket.send(Buffer.alloc(1 << 20));
      socket.close(4001, "that was all");
    }
  });
  const url = `ws://127.0.0.1:${server.address().port}`;

  const echoed = Program.example("client", `${url}/`);
  for (const line of ["hello", "🐟", "", "x".repeat(1 << 20)]) {
    echoed.write(line);
    check(`our client, ws server: ${line.length} characters`, (await echoed.lines.next()) === line);
  }
  echoed.process.stdin.end();
  check("our client, ws server: exit code", await within(echoed.ended, "the client's end"), 0);
  check("our client, ws server: what it saw", echoed.errors.trim(), "closed: 1000");
  check("our client, ws server: what the server saw", await closes.next(), [1000, ""]);

  const greeted = Program.example("client", `${url}/greet`);
  check("our client, ws server: fragments", await greeted.lines.next(), "in pieces");
  check("our client, ws server: 1 MiB", await greeted.lines.next(), "binary, 1048576 bytes");
  check("our client, ws server: exit code after its close", await within(greeted.ended, "the client's end"), 0);
  check("our client, ws server: its code", greeted.errors.trim(), "closed: 4001 that was all");
  check("our client, ws server: pong", await pongs.next(), "are you there?");
  check("our client, ws server: close answered", await closes.next(), [4001, ""]);
  server.close();
}
