// The example cluster: the chat's page in Chromium on three nodes, of which one after the other dies.
import { createConnection } from "node:net";
import { PageMember } from "./member.mjs";
import { DESKTOP, PHONE, launch, nothingBad } from "./pages.mjs";
import { Program, check, finish } from "./support.mjs";

// ---- The nodes -------------------------------------------------------------------------------------------

const whole = Program.example("cluster", "--nodes", "3", "--port", "0");
const origins = [];
// Redis has the sessions, too.
const broker = await whole.lines.next("the broker");
check("it starts a broker", /^redis-server is at /.test(broker));
while (origins.length < 3) origins.push((await whole.lines.next("a node")).split(" ").pop().replace(/\/$/, ""));
await whole.lines.find((line) => line.includes("quit"), "what can be typed");

async function typed(line, answer) {
  whole.write(line);
  check(line, (await whole.lines.next(line)).startsWith(answer));
}

// What Redis says, up to the end of the connection.
async function asked(command) {
  const { hostname, port } = new URL(broker.split(" ").pop());
  const socket = createConnection(Number(port), hostname);
  socket.setEncoding("utf8").setTimeout(10_000, () => socket.destroy(new Error("Redis does not answer")));
  socket.write(`${command}\r\nQUIT\r\n`);
  let said = "";
  for await (const piece of socket) said += piece;
  return said;
}

// So many sessions are written down: each when it begins.
async function written(count) {
  const deadline = Date.now() + 10_000;
  let seen = 0;
  while (seen < count && Date.now() < deadline) {
    seen = Number(/^\*(\d+)/.exec(await asked("KEYS sockeye:cluster:*"))[1]);
  }
  check(`${count} sessions are written down`, seen >= count);
}

// ---- The pages -------------------------------------------------------------------------------------------

const isServedBy = async ({ page, name }, node) => {
  await page.waitForFunction((node) => document.getElementById("node").textContent === node
    && document.querySelector('#state[data-state="open"]'), node);
  check(`${name}'s page is served by ${node}`, true);
};

// What each says is heard by all, once.
async function talk(what) {
  for (const author of [ann, bob]) {
    await author.say(`${author.name}, ${what}`);
    for (const page of [ann, bob]) await page.hears(author.name, `${author.name}, ${what}`);
  }
  for (const page of [ann, bob]) await page.shows([ann, bob].map(({ name }) => `${name}, ${what}`), 1);
}

const browser = await launch();
const ann = await PageMember.open(browser, "Ann", DESKTOP);
const bob = await PageMember.open(browser, "Bob", PHONE);
try {
  await ann.page.goto(origins[0] + "/");
  check("a room of many nodes has no password", await ann.page.isHidden("#password"));
  await ann.join("lobby");
  await bob.page.goto(`${origins[1]}/?room=lobby`);
  await bob.join();
  await isServedBy(ann, "node 1");
  await isServedBy(bob, "node 2");
  await ann.notices("Bob joined");
  for (const page of [ann, bob]) await page.people(2);
  await talk("over two nodes");
  await bob.fits("with its node");
  await bob.shot("cluster-phone");
  await killed();
  await another();
  await drained();
  await reload();
  nothingBad(...origins);
} catch (error) {
  check(String(error), false);
  console.log(whole.errors);
  for (const page of [ann, bob]) await page.shot(`failed-cluster-${page.name}`);
}
await browser.close();
check("all end", await whole.stop("SIGTERM"), 0);
finish();

// What is written meanwhile waits, as without a network. The session goes on from what was written of it, and the page is told.
async function killed() {
  await written(2);
  await typed("kill 1", "node 1 is killed");
  await ann.page.waitForSelector('#state:not([data-state="open"])');
  await ann.say("while the node is dead");
  await isServedBy(ann, "node 2");
  await ann.notices("This is node 2 now. You are in the room still.");
  for (const page of [ann, bob]) await page.hears("Ann", "while the node is dead");
  for (const page of [ann, bob]) await page.people(2);
  await talk("on one node");
  await ann.shot("cluster-desktop");
  await typed("start 1", "node 1 is at ");
}

// The next in the ring.
async function another() {
  await typed("kill 2", "node 2 is killed");
  for (const page of [ann, bob]) await isServedBy(page, "node 3");
  for (const page of [ann, bob]) await page.notices("This is node 3 now. You are in the room still.");
  for (const page of [ann, bob]) await page.people(2);
  await talk("on the third");
}

// A node that says goodbye, and whose sessions go on on another: nothing is begun anew.
async function drained() {
  await typed("start 2", "node 2 is at ");
  await typed("stop 3", "node 3 has stopped");
  for (const page of [ann, bob]) await isServedBy(page, "node 1");
  const notices = await ann.page.$$eval(".notice", (all) => all.map((notice) => notice.textContent));
  check("the session has come along", notices.some((text) => text.includes("This is node 1 now.")), false);
  for (const page of [ann, bob]) await page.people(2);
  await talk("on the first");
}

// The page comes from its own node, and its session is where it was.
async function reload() {
  const before = await ann.page.$$eval(".notice", (all) => all.length);
  await bob.page.reload();
  await isServedBy(bob, "node 1");
  await bob.people(2);
  await talk("after a reload");
  check("Ann saw nobody come or go", await ann.page.$$eval(".notice", (all) => all.length), before);
}
