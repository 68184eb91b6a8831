// Makes the picture of the chat in the README, examples/chat/page.png, in the folder of the screenshots:
// tests/browser/run must have run, then CHROMIUM=/its/path PACKAGES=$PWD/target/browser EXAMPLES=$PWD/target/debug/examples node tests/browser/picture.mjs
import { PageMember } from "./member.mjs";
import { launch } from "./pages.mjs";
import { Program } from "./support.mjs";

const server = Program.example("chat", "--port", "0");
const origin = (await server.lines.next("the URL")).split(" ").pop();
const browser = await launch();
const wide = { viewport: { width: 1180, height: 640 } };
const people = {};
for (const name of ["Dora", "Ben", "Ann"]) {
  people[name] = await PageMember.open(browser, name, wide);
  await people[name].page.goto(origin);
  await people[name].join("lobby");
  await people[name].isOpen();
}
const said = [
  ["Ben", "The train is in a tunnel again, can you still hear me?"], ["Ann", "Loud and clear."],
  ["Dora", "Your last three messages came all at once, and in order."],
  ["Ben", "That is the idea: the session outlives the socket."], ["Ann", "And nobody saw you leave."],
];
await people.Ann.page.click("#metrics");
for (const [name, text] of said) {
  await people[name].say(text);
  await people.Ann.hears(name, text);
}
await people.Ann.measures("broadcast", /s/, "a broadcast was measured");
await people.Ann.page.focus("#text");
await people.Ann.shot("page");
await browser.close();
server.process.kill();
