
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const box = document.getElementById("timeline");
  addEventListener("beforeprint", () => document.querySelectorAll("details:not([open],.more)").forEach((one) => {
    one.dataset.closed = "1"; one.open = true;
  }));
  addEventListener("afterprint", () => document.querySelectorAll("details[data-closed]").forEach((one) => {
    one.open = false; delete one.dataset.closed;
  }));
  const reveal = () => {
    const to = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (to && to.tagName === "DETAILS") to.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
  if (!box) return;
  box.hidden = false;

  const summed = (deltas) => {
    const out = new Float64Array(deltas.length);
    let sum = 0;
    for (let i = 0; i < deltas.length; i++) out[i] = sum += deltas[i];
    return out;
  };
  const lanes = data.lanes.map(([id, url, state, attempt, open, closed, times, ids, bits, lengths, texts]) => ({
    id, url, state, attempt, open, closed, times: summed(times), ids: summed(ids), bits, lengths, texts, faults: [],
  }));
  const byId = new Map(lanes.map((lane) => [lane.id, lane]));
  for (const [time, id] of data.faults) if (byId.has(id)) byId.get(id).faults.push(time);

  const canvas = document.getElementById("canvas");
  const pen = canvas.getContext("2d");
  const where = document.getElementById("where");
  const LANE = 34, TOP = 24, MOST = 10;
  const end = Math.max(data.end, 1000);
  const view = { from: -end * 0.01, to: end * 1.01, first: 0 };
  let chosen = 0, width = 0, height = 0, gutter = 0, colors = [], asked = false, listed = 0;

  const kind = (bits) => bits & 256 ? 5 : bits & 128 ? 4 : (bits & 15) === 8 ? 3 : (bits & 15) > 8 ? 2 : (bits & 15) === 2 ? 1 : 0;
  const rows = () => Math.min(lanes.length, MOST);
  const x = (time) => gutter + (time - view.from) / (view.to - view.from) * (width - gutter);
  const time = (at) => view.from + (at - gutter) / (width - gutter) * (view.to - view.from);
  const seconds = (us) => (us / 1e6).toFixed(6);
  const lower = (times, value) => {
    let low = 0, high = times.length;
    while (low < high) { const mid = (low + high) >> 1; if (times[mid] < value) low = mid + 1; else high = mid; }
    return low;
  };
  const ask = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } };

  const measure = () => {
    const ratio = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
    width = canvas.clientWidth || 600;
    height = TOP + rows() * LANE + 4;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    gutter = width < 500 ? 70 : 170;
    const color = (name) => style.getPropertyValue(name).trim();
    colors = ["--k0", "--k1", "--k2", "--k3", "--k4", "--k5", "--fg", "--soft", "--line", "--panel"].map(color);
    draw();  // now: a new size has emptied the canvas, and a printed page has no next animation frame
  };

  const axis = () => {
    const span = view.to - view.from, rough = span / Math.max(2, (width - gutter) / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    pen.fillStyle = colors[7];
    pen.strokeStyle = colors[8];
    pen.lineWidth = 1;
    pen.beginPath();
    const digits = Math.max(0, Math.min(6, 6 - Math.floor(Math.log10(step))));
    for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
      const place = Math.round(x(at)) + 0.5;
      if (place < gutter) continue;
      pen.moveTo(place, TOP - 4);
      pen.lineTo(place, height);
      pen.fillText((at / 1e6).toFixed(digits) + " s", place + 3, 14);
    }
    pen.stroke();
  };

  const draw = () => {
    pen.clearRect(0, 0, width, height);
    pen.font = "12px ui-monospace, monospace";
    axis();
    const span = view.to - view.from;
    for (let row = 0; row < rows(); row++) {
      const index = view.first + row, lane = lanes[index];
      if (!lane) break;
      const top = TOP + row * LANE, middle = top + LANE / 2;
      if (index === chosen) { pen.fillStyle = colors[9]; pen.fillRect(0, top, width, LANE); pen.fillStyle = colors[0]; pen.fillRect(0, top, 3, LANE); }
      pen.save();
      pen.beginPath();
      pen.rect(gutter, top, width - gutter, LANE);
      pen.clip();
      const from = lane.attempt ?? lane.times[0] ?? 0, until = lane.closed ?? Math.max(end, from);
      pen.fillStyle = colors[8];
      pen.fillRect(x(from), middle - 1, Math.max(2, x(until) - x(from)), 2);
      if (lane.state === "refused" || lane.state === "failed") { pen.fillStyle = colors[4]; pen.fillText("✕ " + lane.state, x(from) + 3, middle - 4); }
      const last = lower(lane.times, view.to), scale = (width - gutter) / span;
      // Marks that touch are one rectangle: of frames close to each other there would be thousands.
      const marks = [[], [], [], [], [], [], [], [], [], [], [], []], ends = new Int32Array(12).fill(-9);
      for (let i = lower(lane.times, view.from); i < last; i++) {
        const bits = lane.bits[i], slot = kind(bits) * 2 + (bits >> 4 & 1), list = marks[slot];
        const place = (gutter + (lane.times[i] - view.from) * scale) | 0;
        if (place > ends[slot]) list.push(place, 2);
        else list[list.length - 1] = place + 2 - list[list.length - 2];
        ends[slot] = place + 2;
      }
      marks.forEach((list, slot) => {
        pen.fillStyle = colors[slot >> 1];
        for (let i = 0; i < list.length; i += 2) pen.fillRect(list[i], slot & 1 ? middle + 2 : middle - 13, list[i + 1], 11);
      });
      pen.fillStyle = colors[5];
      for (const at of lane.faults) { const place = x(at); pen.beginPath(); pen.moveTo(place - 4, top + 1); pen.lineTo(place + 4, top + 1); pen.lineTo(place, top + 7); pen.fill(); }
      pen.restore();
      pen.fillStyle = colors[6];
      pen.save();
      pen.beginPath();
      pen.rect(0, top, gutter - 6, LANE);
      pen.clip();
      pen.fillText(label(lane, Math.floor((gutter - 16) / pen.measureText("0").width)), 8, middle + 4);
      pen.restore();
    }
  };

  // What tells connections apart is the path: of a URL that does not fit its end is shown.
  const label = (lane, room) => {
    const start = "#" + lane.id + " ", url = lane.url.replace(/^wss?:\/\//, "");
    if (start.length + url.length <= room) return start + url;
    const place = url.split("?")[0], left = Math.max(1, room - start.length);
    return start + (place.length <= left ? place : "…" + place.slice(1 - left));
  };

  const words = (lane, i) => {
    const bits = lane.bits[i], text = data.texts[lane.texts[i]];
    return "frame " + lane.ids[i] + ", connection " + lane.id + ", " + seconds(lane.times[i]) + " s, " + way(bits) + ", " +
      data.opcodes[bits & 15] + ", " + lane.lengths[i].toLocaleString("en") + " bytes" + (text ? ": " + text : "");
  };
  const way = (bits) => bits & 16 ? "server to client" : "client to server";
  const tell = (text) => { where.textContent = text; };
  const state = () => {
    const lane = lanes[chosen];
    const count = lower(lane.times, view.to) - lower(lane.times, view.from);
    tell("connection " + lane.id + " (" + lane.state + "): " + count.toLocaleString("en") + " frames from " + seconds(view.from) + " s to " + seconds(view.to) + " s");
  };

  const move = (by) => { const span = (view.to - view.from) * by; view.from += span; view.to += span; keep(); };
  const zoom = (by, at) => {
    const span = Math.min(Math.max((view.to - view.from) * by, 10), end * 1.2), share = (at - view.from) / (view.to - view.from);
    view.from = at - span * share;
    view.to = view.from + span;
    keep();
  };
  const keep = () => {
    const span = view.to - view.from;
    view.from = Math.max(-end * 0.1, Math.min(view.from, end * 1.1 - span));
    view.to = view.from + span;
    ask();
  };
  const fit = () => { view.from = -end * 0.01; view.to = end * 1.01; ask(); };
  const choose = (index) => {
    chosen = Math.max(0, Math.min(index, lanes.length - 1));
    if (chosen < view.first) view.first = chosen;
    if (chosen >= view.first + rows()) view.first = chosen - rows() + 1;
    ask();
  };
  const acts = {
    in: () => zoom(0.6, (view.from + view.to) / 2), out: () => zoom(1 / 0.6, (view.from + view.to) / 2),
    left: () => move(-0.2), right: () => move(0.2), fit,
  };
  document.querySelectorAll("[data-do]").forEach((one) => one.addEventListener("click", () => { acts[one.dataset.do](); state(); }));
  canvas.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: acts.left, ArrowRight: acts.right, "+": acts.in, "=": acts.in, "-": acts.out, 0: fit, Home: fit,
      ArrowUp: () => choose(chosen - 1), ArrowDown: () => choose(chosen + 1), PageUp: () => choose(chosen - rows()), PageDown: () => choose(chosen + rows()),
      Enter: () => list(chosen, lower(lanes[chosen].times, view.from)),
    };
    const act = event.ctrlKey || event.altKey || event.metaKey ? null : keys[event.key];
    if (act) { event.preventDefault(); act(); if (event.key !== "Enter") state(); }
  });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    if (event.shiftKey) move(Math.sign(event.deltaY || event.deltaX) * 0.1);
    else zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 120), time(event.offsetX));
  }, { passive: false });

  const nearest = (at, y) => {
    const index = view.first + Math.floor((y - TOP) / LANE), lane = lanes[index];
    if (!lane || y < TOP) return null;
    const i = lower(lane.times, time(at)), both = [i - 1, i].filter((one) => one >= 0 && one < lane.times.length);
    const best = both.sort((a, b) => Math.abs(x(lane.times[a]) - at) - Math.abs(x(lane.times[b]) - at))[0];
    return { index, lane, frame: best === undefined || Math.abs(x(lane.times[best]) - at) > 8 ? null : best };
  };
  const held = new Map();
  let moved = false;
  canvas.addEventListener("pointerdown", (event) => { canvas.focus({ preventScroll: true }); canvas.setPointerCapture(event.pointerId); held.set(event.pointerId, event.offsetX); moved = false; });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (before === undefined) {
      const found = nearest(event.offsetX, event.offsetY);
      if (found) tell(found.frame === null ? "connection " + found.lane.id + ": " + found.lane.url + " (" + found.lane.state + ")" : words(found.lane, found.frame));
      return;
    }
    if (held.size === 2) {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const apart = Math.abs(event.offsetX - other), was = Math.abs(before - other);
      if (apart > 10 && was > 10) zoom(was / apart, time((event.offsetX + other) / 2));
      moved = true;
    } else if (Math.abs(event.offsetX - before) > 2 || moved) {
      moved = true;
      move((before - event.offsetX) / (width - gutter));
    } else return;
    held.set(event.pointerId, event.offsetX);
  });
  canvas.addEventListener("pointerup", (event) => {
    held.delete(event.pointerId);
    if (moved) return;
    const found = nearest(event.offsetX, event.offsetY);
    if (found) { choose(found.index); list(found.index, found.frame ?? lower(found.lane.times, view.from)); }
  });
  canvas.addEventListener("pointercancel", (event) => held.delete(event.pointerId));

  const which = document.getElementById("which"), body = document.querySelector("#frames tbody");
  const range = document.getElementById("range"), before = document.getElementById("before"), after = document.getElementById("after");
  const AT_ONCE = 100;
  let first = 0;
  for (const lane of lanes) which.add(new Option("#" + lane.id + " " + lane.url, lane.id));
  const list = (index, from) => {
    const lane = lanes[index];
    listed = index;
    which.value = String(lane.id);
    first = Math.max(0, Math.min(from, lane.times.length - AT_ONCE));
    const last = Math.min(first + AT_ONCE, lane.times.length);
    const made = [];
    for (let i = first; i < last; i++) {
      const row = document.createElement("tr"), bits = lane.bits[i];
      if (bits & 128) row.className = "l-error";
      for (const text of [lane.ids[i], seconds(lane.times[i]), way(bits), data.opcodes[bits & 15] + (bits & 64 ? " (compressed)" : "") + (bits & 32 ? "" : " (fragment)"), lane.lengths[i], data.texts[lane.texts[i]]]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      made.push(row);
    }
    body.replaceChildren(...made);
    range.textContent = lane.times.length ? (first + 1).toLocaleString("en") + " to " + last.toLocaleString("en") + " of " + lane.times.length.toLocaleString("en") : "no frames";
    before.disabled = first === 0;
    after.disabled = last >= lane.times.length;
  };
  which.addEventListener("change", () => { const index = lanes.indexOf(byId.get(Number(which.value))); choose(index); list(index, 0); });
  before.addEventListener("click", () => list(listed, first - AT_ONCE));
  after.addEventListener("click", () => list(listed, first + AT_ONCE));

  new ResizeObserver(measure).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", measure);
  measure();
  list(Math.max(0, lanes.findIndex((lane) => lane.times.length)), 0);
})();
