// WebSockets over HTTP/2 (RFC 8441) on Node's own http2, with frames made and read here: a client of a server at a port, or a
// server that says its port. What comes out is a line of JSON.
//
//     node http2.mjs client PORT
//     node http2.mjs server
import http2 from "node:http2";
import { once } from "node:events";

const TEXT = 1, CLOSE = 8, PING = 9, PONG = 10;

/** A final frame; `mask` as a client's. */
function frame(opcode, payload, mask) {
  const length = payload.length < 126 ? Buffer.from([payload.length])
    : payload.length < 65536 ? Buffer.from([126, payload.length >> 8, payload.length & 255])
    : Buffer.concat([Buffer.from([127]), Buffer.alloc(8)]);
  if (length[0] === 127) length.writeBigUInt64BE(BigInt(payload.length), 1);
  if (mask) length[0] |= 128;
  const masked = mask ? Buffer.from(payload.map((byte, at) => byte ^ mask[at % 4])) : payload;
  return Buffer.concat([Buffer.from([128 | opcode]), length, mask ?? Buffer.alloc(0), masked]);
}

/** Gives whole messages of a stream, however it is cut: opcode and payload, control frames between fragments. */
async function* messages(stream) {
  let bytes = Buffer.alloc(0), fragments = [];
  for await (const chunk of stream) {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      if (bytes.length < 2) break;
      const isMasked = bytes[1] > 127, short = bytes[1] & 127;
      let start = short === 127 ? 10 : short === 126 ? 4 : 2;
      if (bytes.length < start) break;
      const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
      const mask = isMasked ? bytes.subarray(start, start += 4) : null;
      if (bytes.length < start + length) break;
      const body = bytes.subarray(start, start + length);
      const payload = mask ? Buffer.from(body.map((byte, at) => byte ^ mask[at % 4])) : body;
      const isFinal = bytes[0] > 127, opcode = bytes[0] & 15;
      bytes = bytes.subarray(start + length);
      if (opcode >= 8) yield { opcode, payload, isMasked };
      else {
        fragments.push({ opcode, payload });
        if (!isFinal) continue;
        yield { opcode: fragments[0].opcode, payload: Buffer.concat(fragments.map((one) => one.payload)), isMasked };
        fragments = [];
      }
    }
  }
}

async function client(port) {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const [settings] = await once(session, "remoteSettings");
  const ask = async (path, protocol = "websocket", more = {}) => {
    const stream = session.request({
      ":method": "CONNECT", ":protocol": protocol, ":scheme": "http", ":path": path,
      ":authority": `127.0.0.1:${port}`, "sec-websocket-version": "13", ...more,
    });
    const [headers] = await once(stream, "response");
    return { stream, headers, status: headers[":status"] };
  };
  const mask = Buffer.from([1, 2, 3, 4]);
  const { stream, headers, status } = await ask("/ws", "websocket", { "sec-websocket-protocol": "other, chat" });
  const other = await ask("/ws");
  const read = messages(stream), seen = [];
  const texts = ["hello", "x".repeat(200), "y".repeat(100_000)];
  for (const text of texts) {
    const bytes = frame(TEXT, Buffer.from(text), mask);
    // In the middle of the header, and of the rest.
    for (const [from, to] of [[0, 1], [1, 5], [5, bytes.length]]) stream.write(bytes.subarray(from, to));
    const { value } = await read.next();
    seen.push(value.opcode === TEXT && !value.isMasked && value.payload.toString() === text);
  }
  // The other stream has not waited.
  other.stream.write(frame(TEXT, Buffer.from("other"), mask));
  const { value: beside } = await messages(other.stream).next();
  stream.write(frame(PING, Buffer.from("are you there"), mask));
  const { value: pong } = await read.next();
  stream.write(frame(CLOSE, Buffer.from([0x0f, 0xa0, ...Buffer.from("bye")]), mask));
  const { value: close } = await read.next();
  const { done: ended } = await read.next();
  const refused = await ask("/none");
  let body = "";
  for await (const chunk of refused.stream) body += chunk;
  const foreign = await ask("/ws", "connect-udp");
  session.destroy();
  return {
    takesWebSockets: settings.enableConnectProtocol, status, subprotocol: headers["sec-websocket-protocol"],
    accept: headers["sec-websocket-accept"] ?? null, seen, beside: beside.payload.toString(),
    pong: pong.opcode === PONG && pong.payload.toString(),
    close: close.opcode === CLOSE && close.payload.readUInt16BE(0), ended,
    refused: [refused.status, body], foreign: foreign.status,
  };
}

/** Sends back what it is sent; a refusal at any path but `/ws`. */
async function server() {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on("stream", async (stream, headers) => {
    if (headers[":protocol"] !== "websocket" || headers[":path"] !== "/ws") {
      stream.respond({ ":status": 403 });
      stream.end("not here");
      return;
    }
    const offered = headers["sec-websocket-protocol"];
    stream.respond(offered ? { ":status": 200, "sec-websocket-protocol": "chat" } : { ":status": 200 });
    for await (const { opcode, payload, isMasked } of messages(stream)) {
      if (!isMasked) return stream.close(http2.constants.NGHTTP2_PROTOCOL_ERROR);
      stream.write(frame(opcode === PING ? PONG : opcode, payload));
      if (opcode === CLOSE) return stream.end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: server.address().port };
}

const [what, port] = process.argv.slice(2);
console.log(JSON.stringify(await { client, server }[what](port)));
