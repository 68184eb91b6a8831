// A network, a server of the event protocol and a time that a test holds in its hand. Nothing here waits for real.
import { readFileSync } from "node:fs";

const SOURCE = new URL("../../src/app/browser/sockeye.js", import.meta.url);

// The client with something wrong in it: `from` must be there, so that a planted error cannot rot away.
export function mutant(from, to) {
  const source = readFileSync(SOURCE, "utf8");
  if (source.split(from).length !== 2) throw new Error(`not once in sockeye.js: ${from}`);
  return import(`data:text/javascript;base64,${Buffer.from(source.replace(from, to)).toString("base64")}`);
}

// mulberry32
export function randomOf(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Promises have no deadline to wait for: a few turns are enough for all of the client's.
export async function turns() {
  for (let i = 0; i < 8; i++) await null;
}

export class Clock {
  time = 0;
  ids = 0;
  tasks = new Map();

  // Whole milliseconds: what is sent in order must not be rounded into another one.
  setTimeout(run, ms) {
    this.tasks.set(++this.ids, { at: this.time + Math.ceil(ms), run });
    return this.ids;
  }

  clearTimeout(id) { this.tasks.delete(id); }

  now() { return this.time; }

  async advance(ms) {
    const until = this.time + ms;
    await turns();
    for (;;) {
      let next = null;
      for (const [id, { at }] of this.tasks) if (at <= until && (next === null || at < this.tasks.get(next).at)) next = id;
      if (next === null) break;
      const { at, run } = this.tasks.get(next);
      this.tasks.delete(next);
      this.time = at;
      run();
      await turns();
    }
    this.time = until;
  }
}

// ---- A WebSocket that a test drives by hand ---------------------------------------------------------------

export class HandSocket {
  static all = [];
  readyState = 0;
  sent = [];
  closed = null;

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    HandSocket.all.push(this);
  }

  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.closed ??= { code }; this.readyState = 3; }

  open() { this.readyState = 1; this.onopen({}); }
  say(message) { this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) }); }
  end(code = 1006, reason = "") { this.readyState = 3; this.onclose({ code, reason }); }
}

// ---- A network with a server, and everything that can happen to them --------------------------------------

// One connection. What is under way in a direction stays in order; a cut loses what comes after it, and each end learns of
// it in its own time, or only by its own deadline.
class Link {
  constructor(network, socket, url) {
    Object.assign(this, { network, socket, url, peer: null });
    this.lanes = { up: { at: 0, cut: false }, down: { at: 0, cut: false } };
  }

  carry(direction, deliver) {
    const { clock, delay } = this.network, lane = this.lanes[direction];
    if (lane.cut) return;
    lane.at = Math.max(lane.at, clock.now() + delay());
    // What was sent before the cut may still arrive; so may nothing of it.
    clock.setTimeout(() => (!lane.cut || lane.keeps) && deliver(), lane.at - clock.now());
  }

  cut(random) {
    if (this.lanes.up.cut) return;
    for (const lane of Object.values(this.lanes)) Object.assign(lane, { cut: true, keeps: random() < 0.5 });
    const { clock } = this.network, later = () => (random() < 0.5 ? 100 * random() : 40e3 * random());
    if (random() < 0.8) clock.setTimeout(() => this.socket.ended(1006), later());
    clock.setTimeout(() => this.leave(1006), later());
  }

  // The server's end is over.
  leave(code) {
    if (this.isLeft) return;
    this.isLeft = true;
    this.network.links.delete(this);
    this.network.server.left(this.peer, code);
  }
}

export class Network {
  links = new Set();
  isUp = true;
  latencyMs = 30;

  constructor({ clock, random }) {
    Object.assign(this, { clock, random });
    this.delay = () => Math.floor(this.latencyMs * random());
    const network = this;
    this.WebSocket = class {
      readyState = 0;
      constructor(url) {
        this.link = new Link(network, this, new URL(url));
        network.clock.setTimeout(() => network.connected(this), 2 * network.delay());
      }
      send(text) {
        if (this.readyState === 0) throw new Error("not open yet");
        if (this.readyState === 1) this.link.carry("up", () => this.link.isLeft || network.server.received(this.link.peer, text));
      }
      close(code) {
        if (this.readyState === 1) this.link.carry("up", () => this.link.leave(code));
        if (this.readyState >= 2) return;
        // Some still tell what comes, and of the end much later.
        this.readyState = 2;
        network.clock.setTimeout(() => this.ended(1006), 5e3 * network.random());
      }
      ended(code) {
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.onclose({ code, reason: "" });
      }
    };
  }

  connected(socket) {
    if (socket.readyState !== 0) return;
    if (!this.isUp) return socket.ended(1006);
    socket.readyState = 1;
    this.links.add(socket.link);
    socket.link.peer = this.server.accept(socket.link);
    socket.onopen({});
  }

  down(link, text) {
    link.carry("down", () => link.socket.readyState < 3 && link.socket.onmessage({ data: text }));
  }

  // The server closes.
  close(link, code) {
    link.carry("down", () => link.socket.ended(code));
    link.leave(code);
  }
}

const RING_MAX = 256, ACK_EVERY = 16;

// The server's side of the protocol, in the form of PROTOCOL.md. `bug` is an error that the simulation has to find.
export class Server {
  sessions = new Map();
  lost = new Set();              // ids of sessions that may end with a gap
  ids = 0;

  constructor({ network, clock, random, handle, bug = "" }) {
    Object.assign(this, { network, clock, random, handle, bug });
    network.server = this;
  }

  accept(link) {
    const peer = { link, session: null, isFirst: true };
    if (link.url.searchParams.has("resume")) {
      this.clock.setTimeout(() => peer.isFirst && !link.isLeft && this.network.close(link, 4408), 10e3);
    } else this.create(peer);
    return peer;
  }

  create(peer) {
    const id = `session-${++this.ids}`;
    peer.session = { id, peer, token: this.token(), previous: null, ring: [], sent: 0, dropped: 0, received: 0, unacked: 0, ack: undefined };
    this.sessions.set(id, peer.session);
    this.say(peer, "sys.session.created", this.told(peer.session));
  }

  token() { return `token-${Math.floor(this.random() * 2 ** 50)}`; }

  told({ id, token, sent, received }) {
    return { sessionId: id, userId: null, token, expiresMs: 120e3, sent, received: received + (this.bug === "restored" && received > 0 ? 1 : 0), ackEvery: ACK_EVERY };
  }

  received(peer, text) {
    const { e: event, p: payload = {}, c: id } = JSON.parse(text);
    const isFirst = peer.isFirst;
    peer.isFirst = false;
    if (event === "sys.reconnect.request" && isFirst) return this.resume(peer, payload);
    const { session } = peer;
    if (session?.peer !== peer) return;              // another connection has it
    session.previous = null;                         // whoever speaks here has the new token
    if (event === "sys.ack") return this.forget(session, payload.received + (this.bug === "ring" ? 1 : 0));
    session.received++;
    if (++session.unacked >= ACK_EVERY) this.acknowledge(session);
    else session.ack ??= this.clock.setTimeout(() => this.acknowledge(session), 1e3);
    if (event === "sys.ping") this.send(session, "sys.pong", payload, id);
    else if (event !== "sys.pong") this.handle(session, event, payload, id);
  }

  acknowledge(session) {
    this.clock.clearTimeout(session.ack);
    session.ack = undefined;
    session.unacked = 0;
    if (session.peer) this.say(session.peer, "sys.ack", { received: session.received + (this.bug === "ack" ? 1 : 0) });
  }

  forget(session, count) {
    const n = Math.min(count, session.sent) - session.dropped;
    if (n <= 0) return;
    session.ring.splice(0, n);
    session.dropped += n;
  }

  // What is still under way on its old connection must not be handled after what the next session brings.
  end(session) {
    this.sessions.delete(session.id);
    if (session.peer) this.network.close(session.peer.link, 4001);
    session.peer = null;
  }

  // What the client may miss.
  drop(session, count) {
    this.forget(session, count);
    this.lost.add(session.id);
  }

  resume(peer, { sessionId, token, received }) {
    const given = peer.session;
    if (given) this.sessions.delete(given.id);
    peer.session = null;
    const session = this.sessions.get(sessionId);
    const isOf = session && (token === session.token || token === session.previous);
    const reason = !isOf || received > session.sent ? "unknown" : received < session.dropped ? "history_lost" : null;
    if (reason !== null) {
      if (isOf) this.end(session);
      this.say(peer, "sys.session.restored", { restored: false, reason });
      return this.create(peer);
    }
    const old = session.peer;
    Object.assign(session, { peer, token: this.token(), previous: token });
    peer.session = session;
    if (old) this.network.close(old.link, 4001);
    this.forget(session, received);
    this.say(peer, "sys.session.restored", { restored: true, ...this.told(session), sent: received });
    for (const text of session.ring) this.network.down(peer.link, text);
  }

  // An event that counts: it waits for a connection where there is none.
  send(session, event, payload, id) {
    const text = JSON.stringify({ v: "1.0", e: event, p: payload, c: id });
    session.sent++;
    session.ring.push(text);
    if (session.ring.length > RING_MAX) this.drop(session, session.dropped + 1);
    if (session.peer) this.network.down(session.peer.link, text);
  }

  say(peer, event, payload) { this.network.down(peer.link, JSON.stringify({ v: "1.0", e: event, p: payload })); }

  left(peer, code) {
    const session = peer?.session;
    if (session?.peer !== peer) return;
    session.peer = null;
    if (code === 1000 || code === 1005 || (code >= 4000 && code !== 4401 && code !== 4408)) this.sessions.delete(session.id);
  }

  // All is forgotten, as after a start; or only what is kept for replay.
  lose(what) {
    if (what === "history") for (const session of this.sessions.values()) this.drop(session, session.sent);
    else {
      for (const { id } of this.sessions.values()) this.lost.add(id);
      this.sessions.clear();
      for (const link of [...this.network.links]) link.cut(this.random);
    }
  }
}
