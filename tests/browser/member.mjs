// Somebody in the chat, in a page.
import { fits, openPage, shot } from "./pages.mjs";
import { check } from "./support.mjs";

export const brief = (text) => JSON.stringify(text.slice(0, 30));

export class PageMember {
  constructor(page, name) { Object.assign(this, { page, name }); }

  static async open(browser, name, settings) { return new PageMember(await openPage(browser, settings), name); }

  async join(room) {
    await this.knock(room);
    await this.isOpen();
  }

  // Sends the form off, with the keyboard alone.
  async knock(room, password = "", creates = false) {
    if (room !== undefined) await this.page.fill("#room", room);
    await this.page.fill("#name", this.name);
    if (await this.page.isVisible("#password")) await this.page.fill("#password", password);
    if (password) {
      await this.page.focus("#create");
      if (await this.page.isChecked("#create") !== creates) await this.page.keyboard.press("Space");
    }
    await this.page.focus("#join");
    await this.page.keyboard.press("Enter");
  }

  // Back at the start, with a word that says why; the cursor is where to mend it.
  async isTurnedAway(why, field) {
    await this.page.waitForFunction((why) => document.getElementById("join-error").textContent.includes(why), why);
    check(`${this.name}'s page: ${why}`, await this.page.isVisible("#start"));
    check(`${this.name}'s page: the cursor is in the ${field}`, await this.page.evaluate(() => document.activeElement.id), field);
  }

  metric(key) { return this.page.textContent(`[data-metric="${key}"]`); }

  // Waits until a number of the panel is one that fits.
  async measures(key, fits, what) {
    await this.page.waitForFunction(([key, fits]) => new RegExp(fits).test(document.querySelector(`[data-metric="${key}"]`).textContent), [key, fits.source]);
    check(`${this.name}'s panel: ${what}`, true);
  }

  isOpen() { return this.page.waitForSelector('#state[data-state="open"]'); }

  async people(n) {
    const text = n === 1 ? "1 person" : `${n} people`;
    await this.page.waitForFunction((text) => document.getElementById("people").textContent === text, text);
    check(`${this.name}'s page: ${text}`, true);
  }

  async say(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  // A message as it is shown: author, text as text, whose it is, and no element but ours.
  async hears(author, text) {
    const seen = await this.page.waitForFunction((text) => {
      const body = [...document.querySelectorAll("#log .text")].find((body) => body.textContent === text);
      if (!body) return null;
      const message = body.closest(".message");
      return {
        author: message.querySelector(".author").textContent,
        own: message.dataset.own,
        elements: message.querySelector(".text").childElementCount + message.querySelector(".author").childElementCount,
      };
    }, text);
    const expected = { author, own: String(author === this.name), elements: 0 };
    check(`${this.name}'s page: ${author} says ${brief(text)}`, await seen.jsonValue(), expected);
  }

  async notices(text) {
    await this.page.waitForFunction((text) => [...document.querySelectorAll(".notice")].some((n) => n.textContent === text), text);
    check(`${this.name}'s page: ${text}`, true);
  }

  texts() { return this.page.$$eval("#log .text", (nodes) => nodes.map((node) => node.textContent)); }

  // Those who are listed, and no other.
  async lists(...names) {
    if (await this.page.isHidden("#members")) await this.page.click("#people");
    const shown = () => this.page.$$eval("#list bdi", (all) => all.map((name) => name.textContent));
    await this.page.waitForFunction((n) => document.querySelectorAll("#list li").length === n, names.length);
    check(`${this.name}'s page: who is here`, (await shown()).sort(), names.sort());
  }

  // How often each of these is shown.
  async shows(texts, times) {
    const all = await this.texts();
    check(`${this.name}'s page: ${texts.length} messages are there ${times === 1 ? "once" : `${times} times`}`, texts.map((text) => all.filter((one) => one === text).length), texts.map(() => times));
  }

  async state(state) {
    await this.page.waitForSelector(`#state[data-state="${state}"]`);
    check(`${this.name}'s page is ${state}`, true);
  }

  fits(what) { return fits(this.page, `${this.name}'s page, ${what}`); }

  shot(name) { return shot(this.page, name); }
}
