// WebSockets over HTTP/2 (RFC 8441): Chromium opens those of a page on the connection that the page came over.
import { DESKTOP, launch, openPage } from "./pages.mjs";
import { Program, check, finish } from "./support.mjs";

const server = Program.example("http2", "--port", "0");
const origin = (await server.lines.next("the URL")).split(" ").pop();
const browser = await launch();
const page = await openPage(browser, { ...DESKTOP, ignoreHTTPSErrors: true });
try {
  await page.goto(origin + "/");
  const how = await page.textContent("#page");
  const port = Number(how.match(/^the page came over HTTP\/2\.0 from port (\d+)$/)?.[1]);
  check("the page came over HTTP/2", port > 0);

  const talk = (count) => page.evaluate((count) => Promise.all(Array.from({ length: count }, (_, number) =>
    new Promise((resolve) => {
      const socket = new WebSocket(`wss://${location.host}/ws`);
      const seen = [];
      const long = "x".repeat(100_000 + number);
      socket.onopen = () => socket.send(long);
      socket.onmessage = ({ data }) => {
        seen.push(data === long ? "echo" : data);
        if (seen.length === 2) socket.close(4000 + number, "done");
      };
      socket.onclose = ({ code, wasClean }) => resolve([...seen, code, wasClean]);
    }))), count);
  const expected = Array.from({ length: 20 }, (_, number) =>
    [`CONNECT over HTTP/2.0 from port ${port}`, "echo", 4000 + number, true]);
  check("20 sockets share the connection of the page, by extended CONNECT", await talk(20), expected);

  // A stop of the server says goodbye over HTTP/2, too.
  await page.click("#more");
  await page.waitForSelector("#said li");
  check("one more", await page.textContent("#said li"), `CONNECT over HTTP/2.0 from port ${port}`);
  const ended = server.stop("SIGTERM");
  await page.waitForSelector("#said li:nth-child(2)");
  check("its end", await page.textContent("#said li:nth-child(2)"), "closed with 1001");
  check("the server has ended", await ended, 0);
} finally {
  await browser.close();
}
finish();
