"use strict";
(() => {
  const PAST_MS = 120e3;         // what the plots show
  const ANSWER_MS = 10e3;        // how long the server may take to let us in, or to say how it is
  const STEADY_MS = 5e3;         // a connection this old starts the backoff from anew
  const BASE_MS = 1e3, CAP_MS = 30e3;
  const BAD_TOKEN = 4401;        // its time is over

  const $ = (id) => document.getElementById(id);
  const count = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, notation: "compact" });

  function bytes(n) {
    const unit = n < 1e3 ? 0 : n < 1e6 ? 1 : n < 1e9 ? 2 : 3;
    return `${+(n / 1e3 ** unit).toPrecision(3)} ${["B", "kB", "MB", "GB"][unit]}`;
  }
  function duration(us) { return us < 1e3 ? `${+us.toFixed(1)} µs` : us < 1e6 ? `${+(us / 1e3).toPrecision(3)} ms` : `${+(us / 1e6).toPrecision(3)} s`; }

  // Of each plot: its series (name, value of a point) and how values are written.
  const PLOTS = [
    { id: "connections", title: "Connections", text: (n) => count.format(n), series: [["", (p) => p.connections]] },
    { id: "messages-in", title: "Messages in, per second", text: (n) => count.format(n), series: [["", (p) => p.messages_in]] },
    { id: "messages-out", title: "Messages out, per second", text: (n) => count.format(n), series: [["", (p) => p.messages_out]] },
    { id: "bytes", title: "Bytes per second", text: bytes, series: [["out", (p) => p.bytes_out], ["in", (p) => p.bytes_in]] },
    { id: "queued", title: "Messages queued in outboxes", text: (n) => count.format(n), series: [["", (p) => p.queued_messages]] },
    { id: "dropped", title: "Dropped and refused, per second", text: (n) => count.format(n), series: [["dropped", (p) => p.dropped], ["refused", (p) => p.refused]] },
    { id: "round-trip", title: "Round trip of pings", text: duration, series: [["median", (p) => p.round_trip_us?.[0]], ["99 %", (p) => p.round_trip_us?.[1]]] },
    { id: "broadcast", title: "Broadcast to the last outbox", text: duration, series: [["median", (p) => p.broadcast_us?.[0]], ["99 %", (p) => p.broadcast_us?.[1]]] },
  ];

  // ---- Plots ---------------------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  const EDGE = { left: 46, right: 6, top: 8, bottom: 20 };
  let points = [];               // the last two minutes, the oldest first
  let back = 0;                  // seconds before now that are looked at

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function draw(parent, tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  for (const plot of PLOTS) {
    const figure = make("figure"), caption = make("figcaption");
    plot.values = make("div", "values");
    caption.append(make("h2", "", plot.title), plot.values);
    plot.svg = draw(figure, "svg", { class: "plot", id: `plot-${plot.id}`, role: "img" });
    figure.prepend(caption);
    $("plots").append(figure);
    plot.svg.addEventListener("pointermove", (event) => {
      const box = plot.svg.getBoundingClientRect(), wide = box.width - EDGE.left - EDGE.right;
      const share = 1 - (event.clientX - box.left - EDGE.left) / wide;
      lookBack(Math.round(Math.min(1, Math.max(0, share)) * PAST_MS / 1e3));
    });
    plot.svg.addEventListener("pointerleave", () => lookBack(0));
  }
  $("look").addEventListener("input", () => lookBack(Number($("look").max) - Number($("look").value)));

  function lookBack(seconds) {
    if (seconds === back) return;
    back = seconds;
    $("look").value = String(Number($("look").max) - seconds);
    drawPlots();
  }

  let frame = 0;
  function drawPlots() {         // once a frame is enough
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; drawAll(); });
  }
  addEventListener("resize", drawPlots);

  function drawAll() {
    const now = points.at(-1)?.at_ms ?? 0;
    const seen = nearest(now - back * 1e3);
    const text = back === 0 || !seen ? "now" : `${Math.round((now - seen.at_ms) / 1e3)} s ago`;
    $("when").textContent = text;
    $("look").setAttribute("aria-valuetext", text);
    $("uptime").textContent = now ? `Up for ${uptime(now)}` : "";
    for (const plot of PLOTS) drawPlot(plot, now, seen);
  }

  function nearest(at) {
    let best = null;
    for (const point of points) if (!best || Math.abs(point.at_ms - at) < Math.abs(best.at_ms - at)) best = point;
    return best;
  }

  // The next round number, so that the axis does not jump about.
  function round(n) {
    const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
    return power * ([1, 2, 3, 4, 6, 8, 10].find((step) => n <= step * power) ?? 10);
  }

  function drawPlot(plot, now, seen) {
    const { svg, series, text } = plot;
    const width = svg.clientWidth, height = svg.clientHeight;
    if (!width || !height) return;
    const values = series.map(([, value]) => points.map(value));
    const highest = Math.max(...values.flat().map((value) => value ?? 0), 0);
    const top = Math.max(2, round(highest));
    const x = (at) => width - EDGE.right - (now - at) / PAST_MS * (width - EDGE.left - EDGE.right);
    const y = (value) => height - EDGE.bottom - value / top * (height - EDGE.top - EDGE.bottom);

    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const value of [0, top / 2, top]) {
      draw(svg, "line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) });
      draw(svg, "text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, value ? text(value) : "0");
    }
    for (const [share, label, anchor] of [[1, "−2 min", "start"], [.5, "−1 min", "middle"], [0, "now", "end"]]) {
      draw(svg, "text", { x: x(now - share * PAST_MS), y: height - 4, "text-anchor": anchor }, label);
    }
    series.forEach(([, value], i) => {
      for (const run of runs(value)) {
        const line = run.map((point) => `${x(point.at_ms).toFixed(1)},${y(value(point)).toFixed(1)}`).join("L");
        if (i === 0) draw(svg, "path", { class: "area", d: `M${x(run[0].at_ms).toFixed(1)},${y(0)}L${line}L${x(run.at(-1).at_ms).toFixed(1)},${y(0)}z` });
        draw(svg, "path", { class: i ? "second" : "first", d: `M${line}` });
      }
    });
    if (seen && back > 0) draw(svg, "line", { class: "cursor", x1: x(seen.at_ms), x2: x(seen.at_ms), y1: EDGE.top, y2: height - EDGE.bottom });
    const said = series.map(([name, value], i) => {
      const current = seen ? value(seen) : undefined;
      if (seen && current !== undefined && current !== null) draw(svg, "circle", { class: i ? "second" : "first", cx: x(seen.at_ms), cy: y(current), r: 4 });
      return { name, value: current === undefined || current === null ? "–" : text(current) };
    });
    svg.setAttribute("aria-label", `${plot.title}: ${said.map(({ name, value }) => `${name} ${value}`.trim()).join(", ")}; highest of two minutes ${text(highest)}`);
    showValues(plot, said);
  }

  // Points in a row that have a value: nothing is drawn across a gap.
  function runs(value) {
    const all = [];
    let run = [];
    points.forEach((point, i) => {
      const gap = i > 0 && point.at_ms - points[i - 1].at_ms > 5e3;
      const has = value(point) !== undefined && value(point) !== null;
      if ((gap || !has) && run.length) { all.push(run); run = []; }
      if (has) run.push(point);
    });
    if (run.length) all.push(run);
    return all;
  }

  function showValues(plot, said) {
    plot.values.replaceChildren(...said.map(({ name, value }, i) => {
      const node = make("span");
      if (name) node.append(make("i", i ? "key second" : "key"));
      node.append(make("b", "", value));
      if (name) node.append(make("small", "", name));
      return node;
    }));
  }

  function uptime(ms) {
    const s = Math.floor(ms / 1e3), two = (n) => String(n).padStart(2, "0");
    return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  }

  // ---- What the server says ------------------------------------------------------------------------------

  function show(state, isFirst) {
    const fresh = Array.isArray(state.points) ? state.points.filter((p) => p && Number.isFinite(p.at_ms)) : [];
    if (isFirst) points = [];
    const last = points.at(-1)?.at_ms ?? -1;
    points.push(...fresh.filter((point) => point.at_ms > last));
    const now = points.at(-1)?.at_ms ?? 0;
    points = points.filter((point) => now - point.at_ms <= PAST_MS);
    drawPlots();
    const rooms = Array.isArray(state.rooms) ? state.rooms : [];
    const more = (Number(state.rooms_total) || 0) - rooms.length;
    list("rooms", rooms, more > 0 ? `and ${count.format(more)} more` : "There are none: switch the load on.");
    list("closed", Object.entries(state.closed ?? {}), "None.");
    list("rejected", Object.entries(state.rejected ?? {}), "None.");
    if (!more || rooms.length === 0) $("rooms-none").hidden = rooms.length > 0;
    for (const button of $("load").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.load) === state.load));
    }
  }

  function list(id, entries, otherwise) {
    const highest = Math.max(1, ...entries.map(([, n]) => Number(n) || 0));
    $(id).replaceChildren(...entries.map(([name, n]) => {
      const row = make("li"), track = make("span", "track"), bar = make("span");
      bar.style.width = `${100 * (Number(n) || 0) / highest}%`;
      track.append(bar);
      const label = make("bdi", "name", String(name));
      label.title = String(name);
      row.append(label, track, make("span", "count", count.format(Number(n) || 0)));
      return row;
    }));
    $(`${id}-none`).textContent = otherwise;
    $(`${id}-none`).hidden = entries.length > 0 && id !== "rooms";
  }

  $("load").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ load: Number(button.dataset.load) }));
  });

  // ---- The connection ------------------------------------------------------------------------------------

  let token = "";
  let socket = null;             // the one in use; events of any other are ignored
  let attempt = 0;               // failures in a row
  let retryTimer = 0, tickTimer = 0, answerTimer = 0, retryAt = 0;

  function setState(state, word, wait = "") {
    $("state").dataset.state = state;
    if ($("state-word").textContent !== word) $("state-word").textContent = word;
    $("state-wait").textContent = wait;
    $("load").hidden = state !== "open";
    $("live").classList.toggle("stale", state !== "open");
  }

  function connect() {
    drop();
    $("login").hidden = true;
    $("live").hidden = false;
    setState("connecting", attempt ? "Reconnecting" : "Connecting", "…");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    let ws, isFirst = true;
    try {
      ws = new WebSocket(`${scheme}//${location.host}/live`, ["monitor", `bearer.${token}`]);
    } catch {
      return login("This is no token.");
    }
    socket = ws;
    ws.onmessage = (event) => {
      if (socket !== ws) return;
      let state;
      try { state = JSON.parse(event.data); } catch { return; }
      if (!state || typeof state !== "object") return;
      if (isFirst) opened(ws);
      show(state, isFirst);
      isFirst = false;
      expectAnswer();
    };
    ws.onclose = (event) => {
      if (socket !== ws) return;
      if (event.code === BAD_TOKEN) login("The time of the token is over.");
      else if (isFirst) refusedOrLost(ws);
      else lost(event.reason ? `The server said: ${event.reason}.` : "The server cannot be reached.");
    };
    expectAnswer();
  }

  // A state comes every second: silence means that the connection is dead.
  function expectAnswer() {
    clearTimeout(answerTimer);
    answerTimer = setTimeout(() => lost("The server does not answer."), ANSWER_MS);
  }

  function opened(ws) {
    attempt = Math.min(attempt, 2);
    setTimeout(() => { if (socket === ws) attempt = 0; }, STEADY_MS);
    $("banner").hidden = true;
    setState("open", "Connected");
  }

  // A page is not told why it got no WebSocket; a request with the same token is.
  async function refusedOrLost(ws) {
    let status = 0;
    try {
      const answer = await fetch("/metrics", { headers: { Authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(ANSWER_MS) });
      status = answer.status;
    } catch { /* it is not there */ }
    if (socket !== ws) return;
    if (status === 401 || status === 403) login("The server does not take this token.");
    else lost(status === 200 ? "The server takes no more pages now." : navigator.onLine === false ? "This device is offline." : "The server cannot be reached.");
  }

  function drop() {
    clearTimeout(retryTimer);
    clearInterval(tickTimer);
    clearTimeout(answerTimer);
    retryTimer = tickTimer = answerTimer = 0;
    const old = socket;
    socket = null;
    if (!old) return;
    old.onmessage = old.onclose = null;
    try { old.close(1000); } catch { /* closed already */ }
  }

  function lost(why) {
    drop();
    $("banner").hidden = false;
    $("why").textContent = `${why} What you see is old.`;
    // Exponential backoff with full jitter: a restarted server is not hit by everyone at once.
    const wait = Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
    attempt = Math.min(attempt + 1, 16);
    retryAt = Date.now() + wait;
    retryTimer = setTimeout(connect, wait);
    tickTimer = setInterval(tick, 250);
    tick();
  }

  function tick() { setState("reconnecting", "Reconnecting", ` in ${Math.max(1, Math.ceil((retryAt - Date.now()) / 1e3))} s`); }
  function hurry() { if (retryTimer) connect(); }
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) hurry(); });
  $("retry").addEventListener("click", connect);

  // ---- The token -----------------------------------------------------------------------------------------
  // It comes behind the # of the address, which browsers send to nobody, and is taken out of it at once.

  const store = {
    get() { try { return sessionStorage.getItem("sockeye-monitor.token") ?? ""; } catch { return ""; } },
    set(value) { try { sessionStorage.setItem("sockeye-monitor.token", value); } catch { /* private mode */ } },
  };

  function login(why) {
    drop();
    store.set("");
    setState("closed", "Not connected");
    $("refused").textContent = why;
    $("live").hidden = true;
    $("login").hidden = false;
    $("token").value = "";
    $("token").focus();
  }

  function use(value) {
    token = value.trim();
    if (!token) return login("");
    store.set(token);
    attempt = 0;
    connect();
  }

  function takeFromAddress() {
    const given = location.hash.slice(1);
    if (given) history.replaceState(null, "", location.pathname);
    return given;
  }

  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    // The whole address will do as well.
    use($("token").value.split("#").pop());
  });
  addEventListener("hashchange", () => { const given = takeFromAddress(); if (given) use(given); });
  drawPlots();
  use(takeFromAddress() || store.get());
})();
