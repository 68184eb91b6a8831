// A network that can be cut. The client is given `CuttableSocket` instead of the browser's WebSocket: while the network is cut
// nothing passes in either direction, what is under way is lost, and the server learns nothing of it.

const UNNOTICED_MS = 400;        // a network that is cut looks well for a while
const FORGOTTEN_MS = 60e3;       // by then the server has closed what it believed in

export const network = {
  cutUntil: 0,
  sockets: new Set(),
  get isCut() { return performance.now() < this.cutUntil; },

  cut(seconds) {
    this.cutUntil = performance.now() + seconds * 1e3;
    for (const socket of this.sockets) socket.cut();
    setTimeout(() => dispatchEvent(new Event("online")), seconds * 1e3 + 1);      // as a browser does
  },
};

export class CuttableSocket {
  #socket = null;
  #isCut = false;                // for good: what a connection has missed does not come any more

  constructor(url, protocols) {
    if (network.isCut) {
      setTimeout(() => this.onclose({ code: 1006, reason: "" }), 50);
      return;
    }
    network.sockets.add(this);
    this.#socket = new WebSocket(url, protocols);
    this.#socket.onopen = (event) => this.#isCut || this.onopen(event);
    this.#socket.onmessage = (event) => this.#isCut || this.onmessage(event);
    this.#socket.onclose = (event) => network.sockets.delete(this) && this.onclose(event);
  }

  send(text) {
    if (!this.#isCut) this.#socket.send(text);
  }

  close(code) {
    network.sockets.delete(this);
    this.#socket?.close(code);
  }

  cut() {
    this.#isCut = true;
    setTimeout(() => this.#fall(), UNNOTICED_MS);
  }

  // What the page has is dead; the server still believes in it.
  #fall() {
    if (!network.sockets.delete(this)) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    const abandoned = this.#socket;
    setTimeout(() => abandoned.close(4408), FORGOTTEN_MS);
    this.#socket = null;
    this.onclose({ code: 1006, reason: "the network is cut" });
  }
}
