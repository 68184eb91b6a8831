// The browser client, in plain Node: each rule by hand, then whole lives under faults. No package is needed.
//
// node --test tests/browser/client.test.mjs
// SEED=17 replays one life, SEEDS=10000 runs so many.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import * as module from "../../src/app/browser/sockeye.js";
import { Clock, HandSocket, mutant, turns } from "./fake.mjs";
import { simulate } from "./simulation.mjs";

const { connect, EventError } = module;

// ---- By hand ---------------------------------------------------------------------------------------------

const told = (more) => ({ sessionId: "session", userId: "ann", token: "token", expiresMs: 120e3, sent: 0, received: 0, ackEvery: 16, ...more });
const envelope = (e, p, c) => ({ v: "1.0", e, ...(p && { p }), ...(c && { c }) });
const created = (more) => envelope("sys.session.created", told(more));
const restored = (more) => envelope("sys.session.restored", { restored: true, ...told(more) });

// A client, its time, and what it tells.
function begin({ urls = "ws://server.test/ws?a=b", ...options } = {}) {
  HandSocket.all = [];
  const clock = new Clock(), states = [], gaps = [];
  const client = connect(urls, { WebSocket: HandSocket, clock, random: () => 0.5, ...options });
  client.on("sys.state", (change) => { states.push(change); });
  client.on("sys.gap", (gap) => { gaps.push(gap); });
  return { client, clock, states, gaps, socket: () => HandSocket.all.at(-1) };
}

// The same with a session.
function opened(options) {
  const all = begin(options);
  all.socket().open();
  all.socket().say(created());
  return all;
}

async function reconnected(all, code = 1006) {
  all.socket().end(code);
  await all.clock.advance(40e3);
  all.socket().open();
  return all.socket().sent[0].p;
}

const events = (socket) => socket.sent.map(({ e }) => e);
const errorsOf = (t) => t.mock.method(console, "error", () => {}).mock;

test("SE-01: a session begins with what the server says", async () => {
  const { client, clock, socket, states } = begin();
  client.send("early", { n: 1 });
  assert.equal(client.state, "connecting");
  assert.equal(socket().url, "ws://server.test/ws?a=b");
  socket().open();
  assert.deepEqual(socket().sent, [], "nothing is sent before there is a session");
  socket().say(created());
  await clock.advance(0);
  assert.deepEqual(socket().sent, [envelope("early", { n: 1 })]);
  assert.deepEqual([client.state, client.session], ["open", { id: "session", userId: "ann" }]);
  assert.deepEqual(states, [{ state: "open", restored: false }]);
});

test("EV-01: envelopes carry version, event, payload, correlation id and time", () => {
  const { client, socket } = opened(), seen = [];
  const off = client.on("chat.message", (payload, context) => { seen.push([payload, context]); });
  client.on("chat.message", () => { seen.push("a second handler"); });
  socket().say({ v: "1.3", e: "chat.message", p: { text: "hi" }, c: "c9", t: 17, unknown: [] });
  off();
  socket().say(envelope("chat.message"));
  assert.deepEqual(seen, [[{ text: "hi" }, { event: "chat.message", id: "c9", time: 17 }], "a second handler", "a second handler"]);
  client.send("bare");
  assert.deepEqual(socket().sent.at(-1), { v: "1.0", e: "bare" });
});

test("EV-08: tagged messages are flat", async () => {
  const { client, socket } = begin({ codec: "tagged" }), seen = [];
  client.on("room-message", (payload) => { seen.push(payload); });
  socket().open();
  socket().say({ type: "sys.session.created", ...told() });
  socket().say({ type: "room-message", content: "hi" });
  assert.deepEqual(seen, [{ content: "hi" }]);
  const answer = client.request("join", { roomId: "r" });
  const { requestId, ...rest } = socket().sent.at(-1);
  assert.deepEqual(rest, { type: "join", roomId: "r" });
  socket().say({ type: "error", requestId, code: 403, message: "no", recoverable: true });
  await assert.rejects(answer, { name: "EventError", code: 403, message: "no", recoverable: true });
  assert.throws(() => client.send("a", { type: "b" }), TypeError);
});

test("names and payloads that cannot be sent are refused at once", () => {
  const { client } = opened();
  for (const event of ["", "sys.ping", "a\nb", "é".repeat(65), 7, undefined]) assert.throws(() => client.send(event), TypeError, String(event));
  client.send("é".repeat(64));
  for (const payload of [[], "text", 7, null]) assert.throws(() => client.send("a", payload), TypeError);
  assert.throws(() => connect("ws://server.test", { WebSocket: HandSocket, codec: "xml" }), TypeError);
});

test("BY-31: acknowledgements are lazy: 16 events, or a second", async (t) => {
  errorsOf(t);
  const { socket, clock } = opened();
  const acks = () => socket().sent.filter(({ e }) => e === "sys.ack").map(({ p }) => p.received);
  for (let i = 0; i < 15; i++) socket().say(envelope("tick"));
  await clock.advance(999);
  assert.deepEqual(acks(), []);
  socket().say(envelope("tick"));
  assert.deepEqual(acks(), [16]);
  socket().say(envelope("sys.ack", { received: 0 }));
  await clock.advance(5e3);
  assert.deepEqual(acks(), [16], "an acknowledgement is not acknowledged");
  socket().say(envelope("sys.error", { code: 429, message: "slow down", recoverable: true }));
  await clock.advance(999);
  socket().say("not even JSON");
  await clock.advance(1);
  assert.deepEqual(acks(), [16, 18], "everything else counts");
});

test("BY-31: what is not acknowledged goes again, in order, and what was received is named", async () => {
  const all = opened(), { client, socket } = all;
  for (let n = 1; n <= 4; n++) client.send("note", { n });
  for (let i = 0; i < 3; i++) socket().say(envelope("tick"));
  socket().say(envelope("sys.ack", { received: 1 }));
  assert.equal(client.queued, 3);
  const request = await reconnected(all);
  assert.match(socket().url, /\?a=b&resume=1$/);
  assert.deepEqual(request, { sessionId: "session", token: "token", received: 3, acknowledged: 1 });
  client.send("note", { n: 5 });
  assert.equal(socket().sent.length, 1, "nothing before the answer");
  socket().say(restored({ token: "second", sent: 3, received: 2 }));
  assert.deepEqual(socket().sent.slice(1), [envelope("sys.ack", { received: 3 }), ...[3, 4, 5].map((n) => envelope("note", { n }))]);
  const again = await reconnected(all);
  assert.deepEqual([again.token, again.received], ["second", 3]);
});

test("the old socket is not heard any more", async () => {
  const all = opened(), { client, clock, states } = all, seen = [];
  client.on("tick", () => { seen.push(1); });
  const [old] = HandSocket.all;
  await clock.advance(25e3 + 10e3);                   // no pong
  assert.equal(client.state, "reconnecting");
  await clock.advance(40e3);
  old.say(envelope("tick"));
  old.end(1000);
  assert.deepEqual([seen, client.state], [[], "reconnecting"]);
  assert.deepEqual(old.closed, { code: 4408 }, "another would end the session");
  assert.equal(states.at(-1).state, "reconnecting");
});

test("BY-25: close codes say what comes next", async () => {
  const kinds = { closed: [1000, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 4000, 4001, 4401, 4403, 4999], reconnecting: [1001, 1006, 1011, 1015, 3000, 4408], later: [1012, 1013] };
  for (const [kind, codes] of Object.entries(kinds)) {
    for (const code of codes) {
      const { client, clock, socket, states } = opened();
      socket().end(code, "because");
      await clock.advance(0);
      assert.equal(client.state, kind === "later" ? "reconnecting" : kind, String(code));
      const { waitMs, ...rest } = states.at(-1);
      assert.deepEqual(rest, { state: client.state, code, reason: "because" });
      assert.equal(waitMs, { closed: undefined, reconnecting: 500, later: 17500 }[kind]);
    }
  }
});

test("4001 is the end, unless an attempt of ours may have come late", async () => {
  const all = opened(), { client, clock, socket } = all;
  await reconnected(all);
  await clock.advance(20e3);                          // no answer: that one is given up
  socket().open();
  socket().say(restored());
  socket().end(4001);
  assert.equal(client.state, "reconnecting");
  await clock.advance(40e3);
  socket().open();
  socket().say(restored({ token: "another" }));
  socket().end(4001);
  assert.equal(client.state, "closed");
});

test("1011 is tried once more", async () => {
  const all = opened(), { client, clock, socket } = all;
  await reconnected(all, 1011);
  socket().say(restored());
  socket().end(1011);
  assert.equal(client.state, "closed");
  const other = opened();
  await reconnected(other, 1011);
  other.socket().say(restored());
  await other.clock.advance(5e3);                     // it stood
  other.socket().end(1011);
  assert.equal(other.client.state, "reconnecting");
  assert.equal(clock.tasks.size, 0, "nothing is left of a closed client");
});

test("waits double up to 30 s, are random, and begin anew after a steady connection", async () => {
  const { clock, socket, states } = opened({ random: () => 0.999999 });
  const waits = () => states.filter(({ waitMs }) => waitMs !== undefined).map(({ waitMs }) => Math.round(waitMs));
  const wait = async () => {
    socket().end();
    await turns();
    await clock.advance(waits().at(-1));
  };
  for (let i = 0; i < 7; i++) await wait();
  assert.deepEqual(waits(), [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  socket().open();
  socket().say(restored());
  await clock.advance(4999);
  await wait();
  socket().open();
  socket().say(restored());
  await clock.advance(5e3);
  await wait();
  assert.deepEqual(waits().slice(7), [30000, 1000]);
});

// Three servers of one application.
const THREE = ["ws://a.test/ws", new URL("https://b.test/ws#part"), "ws://c.test/ws"];
const host = ({ url }) => new URL(url).host;

test("several URLs are tried in turn, and the waits double from one round to the next", async () => {
  const { client, clock, socket, states } = begin({ urls: THREE }), tried = [];
  for (let i = 0; i < 7; i++) {
    assert.equal(host(client), host(socket()));
    tried.push(host(socket()));
    socket().end();
    await turns();
    await clock.advance(states.at(-1).waitMs);
  }
  assert.deepEqual(tried, ["a.test", "b.test", "c.test", "a.test", "b.test", "c.test", "a.test"]);
  assert.deepEqual(states.map(({ waitMs }) => waitMs), [500, 500, 500, 1000, 1000, 1000, 2000]);
  assert.equal(HandSocket.all[1].url, "wss://b.test/ws", "each is made absolute");
  assert.throws(() => begin({ urls: [] }), TypeError);
});

// The next connection, where one is waited for.
async function again({ clock, states, socket }) {
  await turns();
  await clock.advance(states.at(-1).waitMs);
  socket().open();
}

test("BY-30: with several URLs a session is looked for where it was, then elsewhere", async () => {
  const all = begin({ urls: THREE }), { client, clock, socket, gaps } = all;
  socket().end();
  await again(all);
  socket().say(created());
  client.send("note");
  socket().end();
  await again(all);
  assert.equal(socket().url, "wss://b.test/ws?resume=1");
  assert.deepEqual(socket().sent[0].p, { sessionId: "session", token: "token", received: 0, acknowledged: 0 });
  await clock.advance(15e3);                          // no answer: that server is dead
  await again(all);
  assert.equal(socket().url, "ws://c.test/ws?resume=1");
  socket().say(envelope("sys.session.restored", { restored: false, reason: "unknown" }));
  socket().say(created({ sessionId: "next" }));
  assert.deepEqual([gaps.length, client.session.id, client.url], [1, "next", "ws://c.test/ws"]);
});

test("BY-25: with several URLs a server that goes is left for the next, and the long wait is for when all were tried", async () => {
  for (const [code, long] of [[1001, 1000], [1012, 17500], [1013, 17500]]) {
    const all = begin({ urls: THREE }), { client, socket, states } = all, hosts = [];
    socket().open();
    for (let n = 0; n < 4; n++) {
      socket().say(created({ sessionId: `${n}` }));
      hosts.push(host(client));
      socket().end(code);
      await again(all);
      if (n < 3) socket().say(envelope("sys.session.restored", { restored: false, reason: "unknown" }));
    }
    assert.deepEqual(hosts, ["a.test", "b.test", "c.test", "a.test"]);
    const waits = states.filter(({ state }) => state === "reconnecting").map(({ waitMs }) => waitMs);
    assert.deepEqual(waits, code === 1001 ? [500, 500, 500, long] : [500, 500, long, long]);
  }
});

test("BY-32: requests are answered, fail, and time out", async () => {
  const { client, clock, socket } = opened();
  const [good, bad, late] = ["good", "bad", "late"].map((event) => client.request(event, {}, { timeoutMs: 1000 }));
  const [{ c: goodId }, { c: badId }] = socket().sent;
  assert.notEqual(goodId, badId);
  assert.doesNotMatch(goodId, /^s-/);
  socket().say(envelope("sys.error", { code: 422, message: "invalid", recoverable: true, errors: [{ field: "/a", rule: "required", message: "a is missing" }] }, badId));
  socket().say(envelope("good.ack", { n: 1 }, goodId));
  assert.deepEqual(await good, { n: 1 });
  await assert.rejects(bad, { code: 422, errors: [{ field: "/a", rule: "required", message: "a is missing" }] });
  clock.advance(1000);
  await assert.rejects(late, { code: 408, reason: "timeout", recoverable: true });
});

test("BY-32: a pending answer survives a reconnect", async () => {
  const all = opened(), { client, socket } = all;
  const answer = client.request("slow", {}, { timeoutMs: 300e3 }), { c } = socket().sent[0];
  await reconnected(all);
  socket().say(restored({ received: 1 }));
  assert.deepEqual(events(socket()), ["sys.reconnect.request", "sys.ack"], "the request itself is not sent again");
  socket().say(envelope("slow.ack", { done: true }, c));
  assert.deepEqual(await answer, { done: true });
});

test("a request that timed out before it was sent is not sent any more", async () => {
  const all = begin(), { client, clock, socket } = all;
  const answer = client.request("pay", {}, { timeoutMs: 100 });
  client.send("note");
  clock.advance(100);
  await assert.rejects(answer, { code: 408 });
  socket().open();
  socket().say(created());
  assert.deepEqual(events(socket()), ["note"]);
});

test("BY-32: requests of the server are answered, by value or by error", async (t) => {
  const errors = errorsOf(t), { client, socket } = opened();
  client.on("value", async () => ({ n: 1 }));
  client.on("nothing", () => {});
  client.on("refused", () => { throw new EventError(403, "no", { recoverable: true }); });
  client.on("broken", () => { throw new Error("a secret of the page"); });
  for (const event of ["value", "nothing", "refused", "broken", "unknown"]) socket().say(envelope(event, {}, `s-${event}`));
  await turns();
  const answers = Object.fromEntries(socket().sent.map(({ e, p, c }) => [c, [e, p]]));
  assert.deepEqual(answers, {
    "s-value": ["value.ack", { n: 1 }],
    "s-nothing": ["nothing.ack", undefined],
    "s-refused": ["sys.error", { code: 403, message: "no", recoverable: true }],
    "s-broken": ["sys.error", { code: 500, message: "Handler failed", recoverable: false }],
    "s-unknown": ["sys.error", { code: 404, message: "No handler for unknown", recoverable: false }],
  });
  assert.equal(errors.callCount(), 1, "the page is told of its own error");
});

test("a handler that throws disturbs nobody", async (t) => {
  const errors = errorsOf(t), { client, socket } = opened(), seen = [];
  client.on("tick", () => { throw new Error("a handler's"); });
  client.on("tick", () => { seen.push(1); });
  for (let i = 0; i < 16; i++) socket().say(envelope("tick"));
  await turns();
  assert.deepEqual([seen.length, errors.callCount(), socket().sent.at(-1).p], [16, 16, { received: 16 }]);
});

test("SE-03: a gap is told with what is uncertain; what was never sent goes to the next session", async () => {
  const all = opened(), { client, socket, gaps } = all;
  client.send("sure");
  socket().say(envelope("sys.ack", { received: 1 }));
  client.send("unsure", { n: 1 });
  const asked = client.request("asked", { n: 2 }), failed = assert.rejects(asked, { code: 410, reason: "session_lost" });
  socket().end();
  client.send("unsent", { n: 3 });
  const later = client.request("later", { n: 4 }, { timeoutMs: 300e3 });
  await all.clock.advance(1e3);
  socket().open();
  socket().say(envelope("sys.session.restored", { restored: false, reason: "expired" }));
  assert.equal(client.session, null);
  assert.deepEqual(gaps, [{ reason: "expired", sessionId: "session", uncertain: [{ event: "unsure", payload: { n: 1 } }, { event: "asked", payload: { n: 2 } }] }]);
  await failed;
  socket().say(created({ sessionId: "next" }));
  assert.deepEqual(events(socket()), ["sys.reconnect.request", "unsent", "later"]);
  socket().say(envelope("later.ack", {}, socket().sent.at(-1).c));
  await later;
  assert.equal(client.session.id, "next");
});

test("BY-42: a session that comes from a store goes on, and its gap is told", async () => {
  const all = opened(), { client, socket, gaps, states } = all;
  for (const n of [1, 2, 3]) client.send("item", { n });
  socket().say(envelope("sys.ack", { received: 1 }));
  const answer = client.request("ask", {}, { timeoutMs: 1e6 });
  const asked = await reconnected(all);
  assert.deepEqual([asked.received, asked.acknowledged], [0, 1], "what the server has acknowledged is said");
  client.on("sys.gap", () => client.send("what is missing?"));
  socket().say(restored({ received: 2, token: "next", gap: true }));
  await turns();
  assert.deepEqual(gaps, [{ reason: "stored", sessionId: "session", uncertain: [] }]);
  assert.deepEqual([client.session.id, states.at(-1)], ["session", { state: "open", restored: true }]);
  // What was not acknowledged goes again, before what the handler asks for; requests wait on.
  const [, ack, ...again] = socket().sent;
  assert.deepEqual([ack.e, ...again.map(({ e, p }) => p?.n ?? e)], ["sys.ack", 3, "ask", "what is missing?"]);
  socket().say(envelope("ask.ack", { yes: true }, again[1].c));
  assert.deepEqual(await answer, { yes: true });
  const back = async () => {
    socket().end(1006);
    await all.clock.advance(9e3);
    socket().open();
  };
  // Once only, and not where the page has closed it.
  await back();
  socket().say(restored({ received: 5, sent: 1, token: "third" }));
  await turns();
  assert.equal(gaps.length, 1);
  await back();
  client.on("sys.state", ({ state }) => state === "open" && client.close());
  socket().say(restored({ received: 5, sent: 1, token: "fourth", gap: true }));
  await turns();
  assert.deepEqual([client.state, gaps.length], ["closed", 1]);
});

test("SE-03: what the handler of a gap sends goes before what waits", async () => {
  const all = opened(), { client, socket } = all;
  client.on("sys.gap", () => {
    client.send("room.join");
    client.request("who").catch(() => {});
  });
  socket().end();
  for (let n = 1; n <= 2; n++) client.send("note", { n });
  await all.clock.advance(40e3);
  socket().open();
  socket().say(envelope("sys.session.restored", { restored: false, reason: "expired" }));
  client.send("note", { n: 3 });
  socket().say(created({ sessionId: "next" }));
  assert.deepEqual(events(socket()).slice(1), ["room.join", "who", "note", "note", "note"]);
  assert.deepEqual(socket().sent.slice(3).map(({ p }) => p.n), [1, 2, 3]);
});

test("what the handler of a gap sends is not lost with the connection that is given up", async () => {
  const all = opened(), { client, socket } = all;
  client.on("sys.gap", () => { client.send("room.join"); });
  socket().say(envelope("sys.ack", { received: 99 }));
  await all.clock.advance(40e3);
  assert.deepEqual(events(HandSocket.all[0]), [], "it is broken");
  socket().open();
  socket().say(created({ sessionId: "next" }));
  assert.deepEqual(events(socket()), ["room.join"]);
});

test("retry: at once where it waits, and nothing where it does not", async () => {
  const all = opened(), { client, socket } = all;
  client.retry();
  assert.equal(HandSocket.all.length, 1);
  socket().end();
  client.retry();
  await turns();
  assert.equal(HandSocket.all.length, 2);
  client.retry();
  await turns();
  assert.equal(HandSocket.all.length, 2, "an attempt is under way");
  client.close();
  client.retry();
  await turns();
  assert.equal(HandSocket.all.length, 2);
});

test("a server that counts otherwise is not believed", async () => {
  const wrong = [
    (say) => say(envelope("sys.ack", { received: 2 })),
    (say) => say(envelope("sys.ack", {})),
    (say) => say(created()),
    (say) => say(restored()),
  ];
  for (const speak of wrong) {
    const { client, clock, socket, gaps } = opened(), [old] = HandSocket.all;
    client.send("note");
    speak((message) => socket().say(message));
    assert.deepEqual([gaps.length, gaps[0]?.reason, old.closed?.code, client.state], [1, "protocol_error", 4400, "reconnecting"]);
    await clock.advance(1e3);
    assert.doesNotMatch(socket().url, /resume/);
  }
  for (const counts of [{ sent: 1 }, { received: 2 }, { received: -1 }, { sessionId: "another" }, { token: 7 }]) {
    const all = opened();
    all.client.send("note");
    await reconnected(all);
    all.socket().say(restored(counts));
    assert.deepEqual([all.gaps.length, all.client.state], [1, "reconnecting"], JSON.stringify(counts));
  }
});

test("the queue is bounded, in events and in bytes", async () => {
  const { client, socket } = begin({ queueMax: 3, queueBytesMax: 130 });
  client.send("a", { text: "x".repeat(50) });
  assert.throws(() => client.send("b", { text: "é".repeat(10) }), { code: 429, reason: "queue_full" }, "bytes, not characters");
  client.send("b");
  socket().open();
  socket().say(created());
  assert.equal(client.queued, 2, "sent is not yet acknowledged");
  const flushed = client.flushed();
  socket().say(envelope("sys.ack", { received: 2 }));
  await flushed;
  for (let i = 0; i < 3; i++) client.send("c");
  assert.throws(() => client.send("d"), { code: 429 });
  await assert.rejects(client.request("d"), { code: 429 });
});

test("close is the end, and says so to all who wait", async () => {
  const { client, clock, socket, states } = opened();
  const waiting = [client.request("a"), client.flushed(), client.ping()].map((promise) => assert.rejects(promise, { code: 499, reason: "closed" }));
  client.close();
  client.close();
  await Promise.all(waiting);
  assert.deepEqual([socket().closed, client.state, client.session, client.queued], [{ code: 1000 }, "closed", null, 0]);
  assert.throws(() => client.send("a"), { code: 499 });
  await assert.rejects(client.request("a"), { code: 499 });
  await clock.advance(600e3);
  assert.deepEqual([HandSocket.all.length, states.length], [1, 2]);
});

test("tokens go in a subprotocol; after 4401 a function is asked for another", async () => {
  let n = 0;
  const all = begin({ token: async () => `token${++n}` }), { client, clock, socket } = all;
  await turns();
  assert.deepEqual(socket().protocols, ["sockeye.v1", "bearer.token1"]);
  socket().open();
  socket().say(created());
  socket().end(4401);
  await clock.advance(1e3);
  assert.deepEqual([socket().protocols, client.state], [["sockeye.v1", "bearer.token2"], "reconnecting"]);
  const other = begin({ token: "t", protocols: "chat" });
  assert.deepEqual(other.socket().protocols, ["chat", "bearer.t"]);
  other.socket().open();
  other.socket().say(created());
  other.socket().end(4401);
  assert.equal(other.client.state, "closed", "there is no other token");
  assert.deepEqual(opened().socket().protocols, []);
});

test("a token that cannot be had now is asked for again", async (t) => {
  const errors = errorsOf(t);
  let n = 0;
  const { clock } = begin({ token: async () => { if (++n === 1) throw new Error("offline"); return "t"; } });
  await clock.advance(1e3);
  assert.deepEqual([HandSocket.all.length, errors.callCount()], [1, 1]);
});

test("an address that is none ends it", (t) => {
  errorsOf(t);
  class Picky { constructor() { throw new SyntaxError("not a URL"); } }
  assert.equal(begin({ WebSocket: Picky }).client.state, "closed");
});

test("SV-07: pings are answered, and the round trip is measured", async () => {
  const { client, clock, socket } = opened();
  socket().say(envelope("sys.ping", { any: [1] }, "p1"));
  assert.deepEqual(socket().sent, [envelope("sys.pong", { any: [1] }, "p1")]);
  const ping = client.ping();
  await clock.advance(30);
  socket().say(envelope("sys.pong", {}, socket().sent.at(-1).c));
  assert.equal(await ping, 30);
});

test("a silent connection is asked, and given up when it stays silent", async () => {
  const { client, clock, socket } = opened();
  await clock.advance(20e3);
  socket().say(envelope("sys.ack", { received: 0 }));
  await clock.advance(24e3);
  assert.deepEqual(events(socket()), []);
  await clock.advance(1e3);
  assert.deepEqual(events(socket()), ["sys.ping"]);
  socket().say(envelope("sys.pong"));
  await clock.advance(34e3);
  assert.equal(client.state, "open", "whatever comes will do as an answer");
  await clock.advance(1e3);
  assert.equal(client.state, "reconnecting");
});

test("a handshake or a session that does not come is given up", async () => {
  for (const opens of [false, true]) {
    const { client, clock, socket } = begin();
    if (opens) socket().open();
    await clock.advance(15e3 - 1);
    assert.equal(client.state, "connecting");
    await clock.advance(1);
    assert.equal(client.state, "reconnecting");
  }
});

test("online: at once; offline: a reason to look", async (t) => {
  const listeners = {};
  globalThis.addEventListener = (type, listener) => { listeners[type] = listener; };
  globalThis.removeEventListener = (type, listener) => { if (listeners[type] === listener) delete listeners[type]; };
  t.after(() => { delete globalThis.addEventListener; delete globalThis.removeEventListener; });
  const all = opened(), { client, socket } = all;
  listeners.offline({});
  assert.deepEqual(events(socket()), ["sys.ping"]);
  listeners.online({});
  assert.deepEqual(events(socket()), ["sys.ping"], "one question is enough");
  socket().end();
  listeners.online({});
  assert.equal(HandSocket.all.length, 2, "without a wait");
  client.close();
  assert.deepEqual(listeners, {});
});

test("the next page of the tab goes on with the session, where that is asked for", async (t) => {
  const listeners = {}, stored = new Map();
  globalThis.addEventListener = (type, listener) => { listeners[type] = listener; };
  globalThis.removeEventListener = () => {};
  globalThis.sessionStorage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value), removeItem: (key) => stored.delete(key) };
  t.after(() => { for (const name of ["addEventListener", "removeEventListener", "sessionStorage"]) delete globalThis[name]; });
  opened();
  assert.equal(listeners.pagehide, undefined, "not unless it is asked for");
  const first = opened({ sessionStorageKey: "key" });
  first.client.send("note", { n: 1 });
  first.client.send("note", { n: 2 });
  first.socket().say(envelope("tick"));
  first.socket().say(envelope("sys.ack", { received: 1 }));
  assert.equal(stored.size, 0, "while a page runs there is nothing that a copied tab could take");
  listeners.pagehide({});
  first.socket().say(envelope("tick"));               // not counted any more: it is replayed
  assert.equal(stored.size, 1);
  const second = begin({ sessionStorageKey: "key" });
  assert.equal(stored.size, 0);
  second.socket().open();
  assert.deepEqual(second.socket().sent[0].p, { sessionId: "session", token: "token", received: 1, acknowledged: 1 });
  second.socket().say(restored({ sent: 1, received: 1 }));
  assert.deepEqual(second.socket().sent.slice(1), [envelope("sys.ack", { received: 1 }), envelope("note", { n: 2 })]);
});

test("with several URLs the next page begins where the session is", async (t) => {
  const listeners = {}, stored = new Map();
  globalThis.addEventListener = (type, listener) => { listeners[type] = listener; };
  globalThis.removeEventListener = () => {};
  globalThis.sessionStorage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value), removeItem: (key) => stored.delete(key) };
  t.after(() => { for (const name of ["addEventListener", "removeEventListener", "sessionStorage"]) delete globalThis[name]; });
  for (const [urls, expected] of [[THREE.toReversed(), "b.test"], [["ws://d.test/"], "d.test"]]) {
    const { clock, socket } = begin({ urls: THREE, sessionStorageKey: "key" });
    socket().end();
    await clock.advance(500);
    socket().open();
    socket().say(created());
    listeners.pagehide({});
    assert.equal(host(begin({ urls, sessionStorageKey: "key" }).socket()), expected);
  }
});

test("a server that does not know resume=1 is understood", async () => {
  const all = opened(), { client, socket } = all;
  await reconnected(all);
  socket().say(created({ sessionId: "given up" }));
  socket().say(restored({ token: "second" }));
  assert.deepEqual([client.state, client.session.id], ["open", "session"]);
});

test("errors that answer nothing are told, without their secrets", () => {
  const { client, socket } = opened(), seen = [];
  client.on("sys.error", (error) => { seen.push(error); });
  client.on("sys.secret", () => { seen.push("never"); });
  socket().say(envelope("sys.error", { code: 429, message: "slow down", recoverable: true }));
  socket().say(envelope("sys.secret", {}));
  assert.equal(seen.length, 1);
  assert.ok(seen[0] instanceof EventError);
  assert.deepEqual([seen[0].code, seen[0].message], [429, "slow down"]);
});

test("the types name what is there", () => {
  const types = readFileSync(new URL("../../src/app/browser/sockeye.d.ts", import.meta.url), "utf8");
  for (const name of Object.keys(module)) assert.match(types, new RegExp(`export (class|function) ${name}\\b`));
  const typed = types.slice(types.indexOf("class Client")).split("\n}")[0];
  for (const name of Object.getOwnPropertyNames(module.Client.prototype)) assert.match(typed, new RegExp(`\\b${name}[(:<]`), name);
});

// ---- Whole lives -----------------------------------------------------------------------------------------

const SEED = process.env.SEED ? Number(process.env.SEED) : null;
const SEEDS = Number(process.env.SEEDS ?? 200);

test("BY-31: over all seeds every event is seen once and in order, or a gap was told that had a cause", async (t) => {
  errorsOf(t);                                        // a full queue is told to the page
  const sum = { gaps: 0, restored: 0, up: 0, down: 0 };
  for (let seed = SEED ?? 1; seed <= (SEED ?? SEEDS); seed++) {
    const life = await simulate(seed, connect);
    assert.deepEqual(life.problems, [], `replay this with SEED=${seed} node --test tests/browser/client.test.mjs`);
    for (const key of Object.keys(sum)) sum[key] += life[key];
  }
  t.diagnostic(JSON.stringify(sum));
  if (SEED === null) for (const [key, n] of Object.entries(sum)) assert.ok(n >= SEEDS, `${key}: hardly anything happened`);
});

// What is wrong: the line of the client and what stands there instead, or the name of a fault in the server.
const PLANTED = {
  "an acknowledgement of one too many": ["    this.#clear(\"ack\");\n    this.#unacked = 0;\n    this.#write(\"sys.ack\", { received: this.#received });", "    this.#write(\"sys.ack\", { received: this.#received + 1 });"],
  "a reconnect that claims one too many": ["received: this.#received, acknowledged", "received: this.#received + 1, acknowledged"],
  "an acknowledgement that drops one too many": ["this.#queue.splice(0, count - this.#acked)", "this.#queue.splice(0, count - this.#acked + 1)"],
  "acknowledgements that count": ["case \"sys.ack\": return", "case \"sys.ack\": this.#count(); return"],
  "no replay": ["    this.#written = 0;           // the rest goes again, in order\n", ""],
  "an old socket that is heard": ["const isCurrent = () => this.#connection === connection;", "const isCurrent = () => this.#connection !== null;"],
  "a lost session's events in the next one": ["this.#queue = this.#queue.slice(this.#written).filter", "this.#queue = this.#queue.filter"],
  "an abandoned socket that ends the session": ["#drop(code = TIMED_OUT)", "#drop(code = 1000)"],
  "a server whose ring drops one too many": "ring",
  "a server that acknowledges one too many": "ack",
  "a server that restores one too many": "restored",
};

for (const [what, planted] of Object.entries(PLANTED)) {
  test(`the simulation finds ${what}`, { skip: SEED !== null }, async (t) => {
    errorsOf(t);
    const wrong = Array.isArray(planted) ? await mutant(...planted) : null;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { problems } = await simulate(seed, wrong?.connect ?? connect, { bug: wrong ? "" : planted });
      if (problems.length > 0) return t.diagnostic(`seed ${seed}: ${problems[0]}`);
    }
    assert.fail("nothing was found");
  });
}
