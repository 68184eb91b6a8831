// One life of a client and a server under faults, all of it from a seed.
import { Clock, Network, Server, randomOf } from "./fake.mjs";

const CHAOS_MS = 120e3, QUIET_MS = 150e3;

// What the server's application and the page's application saw, and what of it cannot be.
class Witness {
  problems = [];
  sentUp = 0; seenUp = []; excused = new Set();       // numbers of the client's events
  session = null; told = new Set(); next = 1;         // of the server's: those of one session are 1, 2, 3, ...
  requests = 0; settled = 0; questions = 0; answered = new Set();

  problem(what) { this.problems.push(what); }

  up(n) {
    if (n <= (this.seenUp.at(-1) ?? 0)) this.problem(`the server saw ${n} after ${this.seenUp.at(-1)}`);
    this.seenUp.push(n);
  }

  down(session, n) {
    if (session !== this.session) {
      if (this.session !== null && !this.told.has(this.session)) this.problem(`${session} came after ${this.session} without a gap`);
      this.session = session;
      this.next = 1;
    }
    if (n !== this.next) this.problem(`the page saw ${n} instead of ${this.next} in ${session}`);
    this.next = n + 1;
  }

  gap({ reason, sessionId, uncertain }, server) {
    if (!server.lost.has(sessionId)) this.problem(`${sessionId} was given up without a cause: ${reason}`);
    this.told.add(sessionId);
    for (const { payload } of uncertain) this.excused.add(payload.n);
  }

  end(client, server) {
    if (client.state !== "open") return this.problem(`the client is ${client.state} at the end`);
    const seen = new Set(this.seenUp);
    for (let n = 1; n <= this.sentUp; n++) if (!seen.has(n) && !this.excused.has(n)) this.problem(`the server never saw ${n}`);
    const session = server.sessions.get(client.session.id);
    if (this.session !== client.session.id && session.ticks > 0) this.problem(`nothing of ${client.session.id} came`);
    else if (this.session === client.session.id && this.next !== session.ticks + 1) this.problem(`the page never saw ${this.next} of ${session.ticks}`);
    if (this.settled !== this.requests) this.problem(`${this.requests - this.settled} requests are under way for ever`);
    if (client.queued > 0) this.problem(`${client.queued} events wait for ever`);
  }
}

/** Runs a seed; returns what went wrong, and how much happened. */
export async function simulate(seed, connect, { bug } = {}) {
  const clock = new Clock(), random = randomOf(seed), network = new Network({ clock, random: randomOf(seed + 1) });
  const witness = new Witness();
  const server = new Server({ network, clock, random: randomOf(seed + 2), bug, handle(session, event, { n }, id) {
    if (event === "question.ack") return witness.answered.add(id);
    if (event === "sys.error") return witness.problem("an error of the client");
    witness.up(n);
    if (event === "ask") server.send(session, "ask.ack", { n }, id);
  } });
  // Some know several ways to the server.
  const urls = ["", "a.", "b."].slice(0, 1 + seed % 3).map((name) => `ws://${name}server.test/ws`);
  const client = connect(urls, { WebSocket: network.WebSocket, clock, random: randomOf(seed + 3), requestTimeoutMs: 60e3 });
  let gaps = 0, restored = 0;
  client.on("tick", ({ n }) => witness.down(client.session.id, n));
  client.on("question", ({ n }) => ({ n }));
  client.on("sys.gap", (gap) => { gaps++; witness.gap(gap, server); });
  client.on("sys.state", (change) => { restored += change.restored ? 1 : 0; });

  const life = { clock, random, network, server, client, witness };
  while (clock.now() < CHAOS_MS && witness.problems.length === 0) {
    act(life);
    if (random() < 0.04) fault(life);
    await clock.advance(Math.floor(400 * random()));
  }
  network.isUp = true;
  network.latencyMs = 30;
  for (let i = 0; i < 5 && witness.problems.length === 0; i++) {
    await clock.advance(QUIET_MS / 5);
    speak(server, witness);
  }
  await clock.advance(10e3);
  if (witness.problems.length === 0) witness.end(client, server);
  client.close();
  return { problems: witness.problems, gaps, restored, up: witness.seenUp.length, down: witness.next - 1 };
}

// Somebody says something.
function act({ random, server, client, witness }) {
  const bursts = random() < 0.05 ? 40 : 1;
  for (let i = 0; i < bursts; i++) {
    if (random() < 0.6) speak(server, witness);
    if (random() < 0.4) say(client, witness, random() < 0.3 ? "ask" : "note");
  }
}

function speak(server, witness) {
  for (const session of server.sessions.values()) {
    session.ticks = (session.ticks ?? 0) + 1;
    server.send(session, "tick", { n: session.ticks });
    if (session.ticks % 7 === 0) server.send(session, "question", {}, `s-${++witness.questions}`);
  }
}

function say(client, witness, event) {
  const n = witness.sentUp + 1;
  if (client.queued >= 256) return;                   // send would throw
  witness.sentUp = n;
  if (event === "note") return client.send(event, { n });
  witness.requests++;
  client.request(event, { n }).then((answer) => {
    witness.settled++;
    if (answer.n !== n) witness.problem(`${n} was answered with ${answer.n}`);
  }, ({ code }) => {
    witness.settled++;
    if (code === 408) witness.excused.add(n);         // withdrawn, or its answer is late
    else if (code !== 410 && code !== 499) witness.problem(`${n} failed with ${code}`);
  });
}

// Something goes wrong.
function fault({ random, network, server, clock }) {
  const links = [...network.links], kind = random();
  if (kind < 0.6) {
    for (const link of links) link.cut(random);
    // Again while they are at it.
    if (random() < 0.4) clock.setTimeout(() => [...network.links].forEach((link) => link.cut(random)), 1500 * random());
  } else if (kind < 0.75) {
    for (const link of links) network.close(link, [1001, 1012, 1013, 1006, 4408][Math.floor(5 * random())]);
  } else if (kind < 0.85) {
    network.isUp = false;
    for (const link of links) link.cut(random);
    clock.setTimeout(() => { network.isUp = true; }, 20e3 * random());
  } else if (kind < 0.92) {
    // So slow that the client gives connections up whose requests arrive all the same.
    network.latencyMs = 20e3 * random();
    clock.setTimeout(() => { network.latencyMs = 30; }, 30e3);
  } else if (kind < 0.97) server.lose("history");
  else server.lose("sessions");
}
