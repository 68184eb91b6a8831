// What the programs here share: packages, the examples as processes, and checks.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { isDeepStrictEqual, inspect } from "node:util";

const { PACKAGES, EXAMPLES } = process.env;
if (!PACKAGES || !EXAMPLES) throw new Error("start this with tests/browser/run");

export const require = createRequire(`${PACKAGES}/`);
export const PATIENCE_MS = 30e3;

let passed = 0, failed = 0;

export function check(what, actual, expected = true) {
  if (isDeepStrictEqual(actual, expected)) {
    passed++;
    console.log(`ok      ${what}`);
  } else {
    failed++;
    console.log(`FAILED  ${what}: ${inspect(actual)} instead of ${inspect(expected)}`);
  }
}

export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed || !passed ? 1 : 0);
}

// Rejects instead of waiting for ever.
export function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A process that is ended with this one; `lines` is what it prints.
export class Program {
  static all = new Set();

  constructor(command, args) {
    this.process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.ended = new Promise((resolve) => this.process.on("close", (code) => resolve(code)));
    this.errors = "";
    this.process.stderr.on("data", (data) => { this.errors += data; });
    this.lines = new Inbox();
    createInterface({ input: this.process.stdout }).on("line", (line) => this.lines.push(line));
    Program.all.add(this);
  }

  static example(name, ...args) { return new Program(`${EXAMPLES}/${name}`, args); }

  write(line) { this.process.stdin.write(line + "\n"); }

  async stop(signal) {
    this.process.kill(signal);
    Program.all.delete(this);
    return within(this.ended, "the end of a process");
  }
}
process.on("exit", () => Program.all.forEach((program) => program.process.kill("SIGKILL")));

// A queue that is waited for.
export class Inbox {
  items = [];
  waiting = [];

  push(item) {
    const resolve = this.waiting.shift();
    if (resolve) resolve(item);
    else this.items.push(item);
  }

  next(what = "a message") {
    if (this.items.length) return Promise.resolve(this.items.shift());
    return within(new Promise((resolve) => this.waiting.push(resolve)), what);
  }

  // The first that fits; those before it are passed over.
  async find(fits, what) {
    for (;;) {
      const item = await this.next(what);
      if (fits(item)) return item;
    }
  }
}
