// @ts-self-types="./sockeye.d.ts"
// The event protocol's client for browsers and Node (18 or later with a WebSocket put in, 22 by itself). The protocol is
// specified in PROTOCOL.md; "counted" and "acknowledged" are its words.

const VERSION = "1.0";
const SUBPROTOCOL = "sockeye.v1";
const NAME_BYTES_MAX = 128;
const ACK_MS = 1e3;              // the longest that something received stays unacknowledged
const STEADY_MS = 5e3;           // a connection this old starts the backoff from anew
const LATER_MS = [5e3, 25e3];    // after 1012 and 1013: at least, and what is added by chance
const LEAVING = new Set([1001, 1012, 1013]);           // a server that is not to be asked again now
const PONG_MS = 10e3;            // the longest that a connection which is asked may say nothing
const NEVER = new Set([1000, 1002, 1003, 1005, 1007, 1008, 1009, 1010]);
const TIMED_OUT = 4408, LOGIN = 4401, TAKEN_OVER = 4001, BROKEN = 4400;

// An application's codes mean what they say: there is no way back.
const isNever = (code) => NEVER.has(code) || (code >= 4000 && code !== TIMED_OUT && code !== LOGIN);

const bytesOf = (text) => new TextEncoder().encode(text).length;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isSystem = (event) => event.startsWith("sys.");
const ofServer = (id) => typeof id === "string" && id.startsWith("s-");

// How a message is written; `undefined` members leave no trace in JSON.
const CODECS = {
  envelope: {
    encode: (event, payload, id) => JSON.stringify({ v: VERSION, e: event, p: payload, c: id }),
    decode({ v, e, p = {}, c, t }) {
      if (typeof v !== "string" || !v.startsWith("1.")) throw new Error(`version ${v} of the protocol`);
      return { event: e, payload: p, id: c, time: t };
    },
  },
  tagged: {
    encode(event, payload = {}, id) {
      if ("type" in payload || "requestId" in payload) throw new TypeError("a tagged payload has no type and no requestId of its own");
      return JSON.stringify({ type: event === "sys.error" ? "error" : event, requestId: id, ...payload });
    },
    decode: ({ type, requestId, ...payload }) => ({ event: type === "error" ? "sys.error" : type, payload, id: requestId }),
  },
};

function decode(codec, data) {
  if (typeof data !== "string") throw new Error("a binary message");
  const json = JSON.parse(data);
  if (!isObject(json)) throw new Error("a message that is no object");
  const message = codec.decode(json);
  if (typeof message.event !== "string" || !isObject(message.payload)) throw new Error("a message without event or payload");
  return message;
}

function checkEvent(event) {
  if (typeof event !== "string" || event === "" || bytesOf(event) > NAME_BYTES_MAX || /[\x00-\x1f\x7f-\x9f]/.test(event)) {
    throw new TypeError(`the name of an event is 1 to ${NAME_BYTES_MAX} bytes without control characters`);
  }
  if (isSystem(event)) throw new TypeError(`${event}: names that begin with "sys." belong to the protocol`);
}

/** What the other side answered instead of an answer, or why there is none. */
export class EventError extends Error {
  /**
   * @param {number} code 408 timed out, 410 session lost, 429 queue full and 499 closed are also the client's own
   * @param {string} message
   * @param {{ recoverable?: boolean, reason?: string, errors?: { field: string, rule: string, message: string }[] }} [more]
   */
  constructor(code, message, { recoverable = false, reason, errors } = {}) {
    super(message);
    Object.assign(this, { name: "EventError", code, recoverable, reason, errors });
  }

  static from({ code, message, ...more }) { return new EventError(code, message, more); }
}

/**
 * Connects, and stays connected until `close()` or until the server says that there is no way back.
 * @param {string | URL | (string | URL)[]} url `ws:`, `wss:`, or relative to the page; several for the servers of one
 *   application, which are tried in turn. The first is first: shuffle a list that many clients have alike
 * @param {import("./sockeye.d.ts").Options} [options]
 * @returns {Client}
 */
export const connect = (url, options) => new Client(url, options);

/** A session with the server, whatever happens to its connections. Made by `connect`. */
export class Client {
  #urls; #at = 0;                // where it is connected, or connects next: #urls[#at]
  #options; #codec; #clock; #random;
  #state = "connecting"; #session = null; #token = null;
  #connection = null;            // { socket, phase, openedAt }: the one in use; what any other says is ignored
  #timers = {};                  // by what they are for: retry, deadline, ack, watch
  #handlers = new Map();         // event -> Set of functions
  #pending = new Map();          // correlation id -> { resolve, reject, timer }
  #idPrefix; #ids = 0;
  #failures = 0; #failed1011 = false;
  #heardAt = 0; #isAsked = false;
  #isAwaited = false;            // a reconnect request was sent and never answered
  #globals = [];                 // listeners on the window, to be taken off again
  #flushed = [];                 // who waits until everything is acknowledged

  // Counts. Of the server's counted messages `#received` have come, `#unacked` of them since our last acknowledgement. Of
  // ours, `#acked` are acknowledged and gone; `#queue` has all that come after, and its first `#written` have been put on
  // some socket of this session: the server may have had them. 0 <= #written <= #queue.length <= queueMax
  #received = 0; #unacked = 0; #ackEvery = 16;
  #acked = 0; #queue = []; #queueBytes = 0; #written = 0;
  #first = null;                 // in a handler of a gap: where what it sends goes

  /** Use `connect`. @param {string | URL | (string | URL)[]} url @param {import("./sockeye.d.ts").Options} [options] */
  constructor(url, options = {}) {
    this.#options = {
      protocols: options.token ? [SUBPROTOCOL] : [], codec: "envelope", queueMax: 256, queueBytesMax: 1 << 20,
      requestTimeoutMs: 30e3, connectTimeoutMs: 15e3, heartbeatMs: 25e3, WebSocket: globalThis.WebSocket, ...options,
      backoff: { firstMs: 1e3, maxMs: 30e3, ...options.backoff },
    };
    this.#codec = CODECS[this.#options.codec];
    if (!this.#codec) throw new TypeError(`codec: "envelope" or "tagged", not ${this.#options.codec}`);
    if (!this.#options.WebSocket) throw new TypeError("no WebSocket here: give one in the options");
    this.#urls = [url].flat().map((url) => {
      const absolute = new URL(url, globalThis.location?.href);
      absolute.protocol = absolute.protocol.replace("http", "ws");
      absolute.hash = "";
      return absolute;
    });
    if (this.#urls.length === 0) throw new TypeError("no URL to connect to");
    this.#random = options.random ?? Math.random;
    // Wrapped: a browser's setTimeout wants to be called on the window.
    this.#clock = options.clock ?? {
      setTimeout: (run, ms) => setTimeout(run, ms), clearTimeout: (id) => clearTimeout(id), now: () => performance.now(),
    };
    // Another page of this session had other requests: their answers must not be taken for ours.
    this.#idPrefix = "c" + Math.floor(this.#random() * 36 ** 6).toString(36) + "-";
    this.#listen();
    this.#load();
    this.#open();
  }

  /** "connecting" (for the first time), "open", "reconnecting" or "closed" (for good). */
  get state() { return this.#state; }

  /** Where it is connected, or connects next: one of the URLs that it was given, made absolute. */
  get url() { return this.#urls[this.#at].href; }

  /** The session, `{ id, userId }`, or null where there is none. It outlives connections. */
  get session() { return this.#session; }

  /** How many of our events are not acknowledged yet, sent or not. */
  get queued() { return this.#queue.length; }

  /**
   * Calls `handler(payload, context)` for each event of this name, in order. What it returns answers a request of the
   * server; what it throws does, too (an `EventError` as it is). The client itself tells "sys.state", "sys.gap", "sys.error".
   * @returns {() => void} takes the handler off again
   */
  on(event, handler) {
    if (!this.#handlers.has(event)) this.#handlers.set(event, new Set());
    this.#handlers.get(event).add(handler);
    return () => { this.#handlers.get(event).delete(handler); };
  }

  /**
   * Sends an event; without a connection it waits for one.
   * @throws {EventError} 429 where the queue is full, 499 after the end
   */
  send(event, payload) {
    checkEvent(event);
    this.#enqueue(event, payload);
  }

  /**
   * Sends an event and waits for its answer, also over reconnects. A request that times out before it was ever sent is
   * not sent any more.
   * @returns {Promise<object>} the payload of the answer
   * @throws {EventError} the server's, or 408 timed out, 410 session lost, 429 queue full, 499 closed
   */
  async request(event, payload, { timeoutMs = this.#options.requestTimeoutMs } = {}) {
    checkEvent(event);
    return this.#ask(event, payload, timeoutMs);
  }

  /** Milliseconds to the server and back, through both queues. */
  async ping({ timeoutMs = this.#options.requestTimeoutMs } = {}) {
    const began = this.#clock.now();
    await this.#ask("sys.ping", undefined, timeoutMs);
    return this.#clock.now() - began;
  }

  /** Waits until everything that was sent is acknowledged. */
  flushed() {
    if (this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#flushed.push({ resolve, reject }));
  }

  /** Connects at once where it waits for its next attempt: a button "try now", a page that is looked at again. */
  retry() {
    if (this.#timers.retry !== undefined) this.#open();
  }

  /** Ends the session, on the server too. What is not acknowledged is dropped: `await flushed()` first. */
  close() {
    if (this.#state !== "closed") this.#finish(1000, "closed by the page");
  }

  // ---- Connections ---------------------------------------------------------------------------------------

  async #open() {
    this.#drop();
    const { token, protocols, connectTimeoutMs, WebSocket } = this.#options;
    const connection = this.#connection = { socket: null, phase: "opening", openedAt: null };
    const isCurrent = () => this.#connection === connection;
    this.#after("deadline", connectTimeoutMs, () => this.#ended(1006, "no answer"));
    let credential;
    try { credential = typeof token === "function" ? await token() : token; } catch (error) {
      if (!isCurrent()) return;
      this.#report(error);
      return this.#ended(1006, String(error));         // it may be had later
    }
    if (!isCurrent()) return;
    const url = new URL(this.url);
    if (this.#session) url.searchParams.set("resume", "1");
    try { connection.socket = new WebSocket(url.href, [protocols].flat().concat(credential ? `bearer.${credential}` : [])); } catch (error) {
      this.#report(error);
      return this.#finish(null, String(error));        // an address or a token that is none will never be one
    }
    const { socket } = connection;
    socket.onopen = () => isCurrent() && this.#begin();
    socket.onmessage = ({ data }) => isCurrent() && this.#receive(data);
    socket.onclose = ({ code, reason }) => isCurrent() && this.#ended(code, reason);
    socket.onerror = () => {};   // `close` follows
  }

  #begin() {
    this.#connection.phase = this.#session ? "resuming" : "creating";
    if (!this.#session) return;
    const { id: sessionId } = this.#session;
    this.#connection.isDoubtful = this.#isAwaited;
    this.#isAwaited = true;
    this.#write("sys.reconnect.request", { sessionId, token: this.#token, received: this.#received, acknowledged: this.#acked });
    this.#unacked = 0;
  }

  #ready(isRestored) {
    this.#clear("deadline");
    this.#connection.phase = "open";
    this.#connection.openedAt = this.#heardAt = this.#clock.now();
    // It has our count already, but now it knows that the new token is here.
    if (isRestored) this.#write("sys.ack", { received: this.#received });
    this.#flush();
    this.#watch(this.#options.heartbeatMs);
    this.#setState("open", { restored: isRestored });
  }

  // The connection is over: what comes next is in the code.
  #ended(code, reason) {
    const { openedAt, isDoubtful } = this.#connection;
    if (openedAt !== null && this.#clock.now() - openedAt >= STEADY_MS) {
      this.#failures = 0;
      this.#failed1011 = false;
    }
    // What took it over may be an earlier attempt of ours that came late.
    const isOver = (isNever(code) && !(code === TAKEN_OVER && isDoubtful)) || (code === 1011 && this.#failed1011)
      || (code === LOGIN && typeof this.#options.token !== "function");
    if (isOver) return this.#finish(code, reason);
    if (code === 1011) this.#failed1011 = true;
    this.#drop();
    const { firstMs, maxMs } = this.#options.backoff, count = this.#urls.length;
    // A session is looked for where it was. What cannot be reached, or goes away, is left for the next.
    if (openedAt === null || LEAVING.has(code)) this.#at = (this.#at + 1) % count;
    const backoffMs = this.#random() * Math.min(maxMs, firstMs * 2 ** Math.floor(this.#failures++ / count));
    // Others may have a place while this one has none.
    const isLater = (code === 1012 || code === 1013) && this.#failures >= count;
    const laterMs = isLater ? LATER_MS[0] + this.#random() * LATER_MS[1] : 0;
    const waitMs = Math.max(backoffMs, laterMs);
    this.#after("retry", waitMs, () => this.#open());
    this.#setState("reconnecting", { waitMs, code, reason });
  }

  #finish(code, reason) {
    this.#drop(1000);
    for (const [type, listener] of this.#globals) globalThis.removeEventListener(type, listener);
    this.#queue = [];
    this.#queueBytes = this.#written = 0;
    this.#session = this.#token = null;
    const error = new EventError(499, `closed${code ? ` (${code})` : ""}${reason ? `: ${reason}` : ""}`, { reason: "closed" });
    for (const id of [...this.#pending.keys()]) this.#settle(id, "reject", error);
    for (const { reject } of this.#flushed.splice(0)) reject(error);
    this.#setState("closed", { code, reason });
  }

  // Nothing of the old socket is heard from here on. Most codes end the session; this one suspends it.
  #drop(code = TIMED_OUT) {
    for (const name of Object.keys(this.#timers)) this.#clear(name);
    const socket = this.#connection?.socket;
    this.#connection = null;
    this.#isAsked = false;
    try { socket?.close(code); } catch { /* it is gone already */ }
  }

  // A connection may fall without a word: one that was silent for a while is asked.
  #watch(ms) {
    if (!(this.#options.heartbeatMs > 0)) return;
    this.#after("watch", ms, () => {
      const silentMs = this.#clock.now() - this.#heardAt;
      if (this.#isAsked) this.#ended(1006, "no pong");
      else if (silentMs < this.#options.heartbeatMs) this.#watch(Math.ceil(this.#options.heartbeatMs - silentMs));
      else this.#probe();
    });
  }

  #probe() {
    if (this.#isAsked || !(this.#options.heartbeatMs > 0)) return;
    this.#isAsked = true;
    try { this.#enqueue("sys.ping"); } catch { /* full: it owes us an acknowledgement anyway */ }
    this.#watch(PONG_MS);
  }

  #listen() {
    const { sessionStorageKey: key } = this.#options;
    const listen = (type, listener) => {
      globalThis.addEventListener?.(type, listener);
      this.#globals.push([type, listener]);
    };
    if (!globalThis.addEventListener) return;
    // Browsers err about being offline (a server may be on this machine): it is a reason to look, no more.
    const look = () => this.#connection?.phase === "open" && this.#probe();
    listen("offline", look);
    listen("online", () => (this.#timers.retry === undefined ? look() : this.#open()));
    if (!key) return;
    listen("pagehide", () => this.#save());
    // The page was kept and shown again: it goes on with what it has in memory.
    listen("pageshow", ({ persisted }) => {
      if (!persisted) return;
      sessionStorage.removeItem(key);
      if (!this.#connection && this.#timers.retry === undefined && this.#state !== "closed") this.#open();
    });
  }

  // ---- What comes ----------------------------------------------------------------------------------------

  #receive(data) {
    const connection = this.#connection;
    this.#heardAt = this.#clock.now();
    if (this.#isAsked) {
      this.#isAsked = false;
      this.#watch(this.#options.heartbeatMs);
    }
    let message, problem;
    try { message = decode(this.#codec, data); } catch (error) { problem = error; }
    switch (message?.event) {
      case "sys.session.created": return this.#created(message.payload);
      case "sys.session.restored": return this.#restored(message.payload);
      case "sys.ack": return this.#acknowledge(message.payload.received);
    }
    if (connection.phase === "open") this.#count();
    if (problem) return this.#report(problem);
    const { event, payload, id } = message;
    if (this.#pending.has(id)) {
      if (event === "sys.error") this.#settle(id, "reject", EventError.from(payload));
      else this.#settle(id, "resolve", payload);
    } else if (event === "sys.ping") this.#trySend("sys.pong", payload, id);
    else if (event === "sys.error") this.#emit(event, EventError.from(payload), message);
    else if (!isSystem(event)) this.#emit(event, payload, message);
  }

  #count() {
    this.#received++;
    this.#unacked++;
    if (this.#unacked >= this.#ackEvery) this.#sendAck();
    else if (this.#timers.ack === undefined) this.#after("ack", ACK_MS, () => this.#sendAck());
  }

  #sendAck() {
    this.#clear("ack");
    this.#unacked = 0;
    this.#write("sys.ack", { received: this.#received });
  }

  #created(payload) {
    const { phase } = this.#connection;
    if (phase === "resuming") return;      // it did not see resume=1, and gives this one up for ours
    if (phase !== "creating" || !this.#take(payload)) return this.#broken();
    this.#received = payload.sent;
    this.#acked = payload.received;
    this.#ready(false);
  }

  #restored(payload) {
    const connection = this.#connection;
    if (connection.phase !== "resuming") return this.#broken();
    this.#isAwaited = false;
    if (payload.restored !== true) {
      connection.phase = "creating";
      return this.#lose(payload.reason ?? "unknown");
    }
    const { sent, received } = payload;
    if (sent !== this.#received || !this.#mayAcknowledge(received) || !this.#take(payload)) return this.#broken();
    this.#acknowledge(received);
    this.#written = 0;           // the rest goes again, in order
    this.#ready(true);
    // It comes from what a store had of it: what was sent last may be missing, and what goes again be handled twice.
    if (payload.gap === true && this.#connection === connection) {
      this.#emit("sys.gap", { reason: "stored", sessionId: this.#session.id, uncertain: [] }, {});
    }
  }

  // The session as it is told. False: not as it must be.
  #take({ sessionId, userId = null, token, sent, received, ackEvery = 16 }) {
    if (typeof sessionId !== "string" || typeof token !== "string" || !isCount(sent) || !isCount(received) || !(ackEvery > 0)) return false;
    if (this.#session && this.#session.id !== sessionId) return false;
    this.#session ??= Object.freeze({ id: sessionId, userId });
    this.#token = token;
    this.#ackEvery = ackEvery;
    return true;
  }

  #mayAcknowledge(count) { return isCount(count) && count >= this.#acked && count <= this.#acked + this.#written; }

  #acknowledge(count) {
    if (!this.#mayAcknowledge(count)) return this.#broken();
    for (const { bytes } of this.#queue.splice(0, count - this.#acked)) this.#queueBytes -= bytes;
    this.#written -= count - this.#acked;
    this.#acked = count;
    if (this.#queue.length === 0) for (const { resolve } of this.#flushed.splice(0)) resolve();
  }

  // The server counts otherwise than we do: nothing can be said about this session any more.
  #broken() {
    const connection = this.#connection;
    connection.phase = "broken";                       // nothing is sent there any more
    if (this.#session) this.#lose("protocol_error");
    if (this.#connection !== connection) return;       // a handler has closed
    try { connection.socket.close(BROKEN, "counts or order of the event protocol"); } catch { /* it is gone already */ }
    this.#ended(1006, "the server does not keep to the event protocol");
  }

  // The session is gone. What was never on a socket goes to the next one, behind what the handlers of the gap send: rooms are
  // to be joined again first. Of the rest nobody knows.
  #lose(reason) {
    const { id: sessionId } = this.#session;
    const uncertain = this.#queue.slice(0, this.#written).filter(({ event, id }) => !isSystem(event) && !ofServer(id));
    this.#queue = this.#queue.slice(this.#written).filter(({ id }) => !ofServer(id));
    this.#queueBytes = this.#queue.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#session = this.#token = null;
    this.#received = this.#unacked = this.#acked = this.#written = 0;
    const unsent = new Set(this.#queue.map(({ id }) => id));
    const error = new EventError(410, `the session is lost (${reason})`, { reason: "session_lost" });
    for (const id of [...this.#pending.keys()].filter((id) => !unsent.has(id))) this.#settle(id, "reject", error);
    this.#first = 0;
    this.#emit("sys.gap", { reason, sessionId, uncertain: uncertain.map(({ event, payload }) => ({ event, payload })) }, {});
    this.#first = null;
  }

  // All handlers are called before this returns: order is theirs to keep.
  #emit(event, payload, { id, time }) {
    const context = { event, id, time };
    const values = [...this.#handlers.get(event) ?? []].map(async (handler) => handler(payload, context));
    const answer = Promise.all(values).then((all) => all.find((value) => value !== undefined));
    if (!ofServer(id) || isSystem(event)) return void answer.catch((error) => this.#report(error));
    const session = this.#session;
    const reply = (name, content) => this.#session === session && this.#trySend(name, content, id);
    if (values.length === 0) return reply("sys.error", { code: 404, message: `No handler for ${event}`, recoverable: false });
    answer.then((value) => reply(`${event}.ack`, value)).catch((error) => {
      const { code, message, recoverable, reason, errors } = error instanceof EventError ? error : new EventError(500, "Handler failed");
      if (error.code !== code) this.#report(error);
      reply("sys.error", { code, message, recoverable, reason, errors });
    });
  }

  // ---- What goes -----------------------------------------------------------------------------------------

  #ask(event, payload, timeoutMs) {
    return new Promise((resolve, reject) => {
      const id = this.#idPrefix + ++this.#ids;
      const entry = this.#enqueue(event, payload, id);
      const timer = this.#clock.setTimeout(() => {
        const at = this.#queue.indexOf(entry);
        if (at >= this.#written) this.#queueBytes -= this.#queue.splice(at, 1)[0].bytes;
        this.#settle(id, "reject", new EventError(408, `no answer to ${event} for ${timeoutMs} ms`, { recoverable: true, reason: "timeout" }));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
    });
  }

  #settle(id, how, value) {
    const request = this.#pending.get(id);
    this.#pending.delete(id);
    this.#clock.clearTimeout(request.timer);
    request[how](value);
  }

  #enqueue(event, payload, id) {
    const { queueMax, queueBytesMax } = this.#options;
    if (this.#state === "closed") throw new EventError(499, "closed", { reason: "closed" });
    if (payload !== undefined && !isObject(payload)) throw new TypeError("a payload is an object");
    const text = this.#codec.encode(event, payload, id), bytes = bytesOf(text);
    if (this.#queue.length >= queueMax || this.#queueBytes + bytes > queueBytesMax) {
      throw new EventError(429, `${this.#queue.length} events (${this.#queueBytes} bytes) wait for the server already`, { recoverable: true, reason: "queue_full" });
    }
    const entry = { text, bytes, event, payload, id };
    if (this.#first === null) this.#queue.push(entry);
    else this.#queue.splice(this.#first++, 0, entry);
    this.#queueBytes += bytes;
    this.#flush();
    return entry;
  }

  // For what nobody waits for.
  #trySend(event, payload, id) {
    try { this.#enqueue(event, payload, id); } catch (error) { this.#report(error); }
  }

  #flush() {
    if (this.#connection?.phase !== "open") return;
    while (this.#written < this.#queue.length) this.#connection.socket.send(this.#queue[this.#written++].text);
  }

  // For what does not count.
  #write(event, payload) { this.#connection.socket.send(this.#codec.encode(event, payload)); }

  // ---- The next page of the tab --------------------------------------------------------------------------

  // It is in the storage between two pages only: while a page runs there is nothing there that a copied tab could take.
  #save() {
    const { sessionStorageKey: key } = this.#options;
    if (this.#state === "closed") return;
    this.#drop();
    if (!this.#session) return;
    const queue = this.#queue.map(({ event, payload, id }) => ({ event, payload, id }));
    const kept = { url: this.url, session: this.#session, token: this.#token, received: this.#received, acked: this.#acked, written: this.#written, queue };
    try { sessionStorage.setItem(key, JSON.stringify(kept)); } catch { /* no room: a new session, then */ }
  }

  #load() {
    const { sessionStorageKey: key } = this.#options;
    const saved = key ? sessionStorage.getItem(key) : null;
    if (saved === null) return;
    sessionStorage.removeItem(key);
    const { url, session, token, received, acked, written, queue } = JSON.parse(saved);
    this.#at = Math.max(0, this.#urls.findIndex(({ href }) => href === url));
    this.#session = Object.freeze(session);
    [this.#token, this.#received, this.#acked] = [token, received, acked];
    for (const { event, payload, id } of queue) this.#enqueue(event, payload, id);
    this.#written = written;
  }

  // ---- Small things --------------------------------------------------------------------------------------

  #setState(state, detail) {
    this.#state = state;
    this.#emit("sys.state", { state, ...detail }, {});
  }

  #after(name, ms, run) {
    this.#clear(name);
    this.#timers[name] = this.#clock.setTimeout(() => {
      delete this.#timers[name];
      run();
    }, ms);
  }

  #clear(name) {
    this.#clock.clearTimeout(this.#timers[name]);
    delete this.#timers[name];
  }

  // An error of a handler is the page's, and must not disturb the counting.
  #report(error) {
    if (globalThis.reportError) globalThis.reportError(error);
    else console.error(error);
  }
}
