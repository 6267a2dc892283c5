// What the API's counters did lately: rates, waits, and lines to look at.

import { el, mark } from "./dom.js";

const kept = 120; // samples
const shown = 30; // that a line is at least wide enough for
const width = 120;
const height = 28;

// A History holds samples of one function's counters.
export class History {
  #samples = [];

  // add takes a function as the API has it. Counters that fall are those of another process: what was before tells nothing.
  add(f, at) {
    const sample = { at, requests: f.requests.reduce((sum, r) => sum + r.count, 0), queue: f.queue_depth, waits: f.queue_wait };
    const last = this.#samples.at(-1);
    if (last && (sample.requests < last.requests || sample.waits.counts.length !== last.waits.counts.length)) this.#samples = [];
    this.#samples.push(sample);
    if (this.#samples.length > kept) this.#samples.shift();
  }

  // rates are the requests per second between samples, the oldest first.
  rates() {
    return this.#samples.slice(1).map((sample, i) => {
      const before = this.#samples[i];
      return (sample.requests - before.requests) / Math.max(0.001, (sample.at - before.at) / 1000);
    });
  }

  // rate is that of the last few seconds.
  rate() {
    const last = this.rates().slice(-5);
    return last.length ? last.reduce((a, b) => a + b) / last.length : 0;
  }

  queues() {
    return this.#samples.map((sample) => sample.queue);
  }

  // wait is the bound in seconds below which a share of the waits since the page was opened, or of two minutes, stayed; null:
  // there were none. Infinity: it is above all bounds.
  wait(share) {
    const first = this.#samples[0]?.waits;
    const last = this.#samples.at(-1)?.waits;
    if (!first) return null;
    const counts = last.counts.map((n, i) => n - first.counts[i]);
    const all = counts.reduce((a, b) => a + b, 0);
    if (all === 0) return null;
    let below = 0;
    const bucket = counts.findIndex((n) => (below += n) >= share * all);
    return last.bounds_seconds[bucket] ?? Infinity;
  }
}

// A Spark is a line of numbers.
export class Spark {
  #line = el("polyline", { class: "line" });
  #area = el("polygon", { class: "area" });

  constructor() {
    this.node = el("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.#area, this.#line);
  }

  draw(values) {
    const top = Math.max(1e-9, ...values);
    const step = width / (Math.max(shown, values.length) - 1);
    const x = (i) => (width - (values.length - 1 - i) * step).toFixed(1);
    const points = values.map((v, i) => `${x(i)},${(height - 1.5 - (v / top) * (height - 4)).toFixed(1)}`);
    mark(this.#line, "points", points.join(" "));
    mark(this.#area, "points", points.length ? `${x(0)},${height} ${points.join(" ")} ${width},${height}` : "");
  }
}
