// Instances as a living picture: a tile for each, with its slots.

import { el, keyed, mark, say, show } from "./dom.js";
import { duration, plural, words } from "./format.js";

const maxCells = 4000; // of one function; above that a tile is one bar
const maxTile = 40; // slots of a tile with cells

// A Picture shows the instances of one function.
export class Picture {
  #tiles = new Map();
  #grid = el("div", { class: "tiles", role: "group", "aria-label": "Instances", onclick: (e) => this.#choose(e), onkeydown: (e) => this.#move(e) });
  #detail = el("dl", { class: "facts instance", hidden: "" });
  #chosen = null;

  constructor() {
    this.node = el("div", {}, this.#grid, this.#detail);
  }

  show(instances) {
    const largest = instances.reduce((most, i) => Math.max(most, i.slots), 0);
    const bars = largest > maxTile || largest * instances.length > maxCells;
    const shape = bars ? "bars" : "cells";
    if (this.#grid.dataset.shape !== shape) {
      this.#grid.dataset.shape = shape;
      this.#tiles.clear();
      this.#grid.replaceChildren();
    }
    keyed(this.#grid, this.#tiles, instances, (i) => i.id, () => new Tile(bars), (tile, i) => tile.show(i));
    mark(this.#grid.querySelector("[tabindex='0']") ?? this.#grid.firstElementChild ?? this.#grid, "tabindex", instances.length ? 0 : null);
    this.#describe();
  }

  #choose(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    this.#chosen = this.#chosen === tile.dataset.id ? null : tile.dataset.id;
    this.#focus(tile);
    this.#describe();
  }

  #move(event) {
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    const next = step && event.target.closest(".tile")?.[step];
    if (!next) return;
    event.preventDefault();
    this.#focus(next);
    next.focus();
  }

  #focus(tile) {
    for (const other of this.#grid.querySelectorAll("[tabindex='0']")) other.setAttribute("tabindex", "-1");
    tile.setAttribute("tabindex", "0");
  }

  #describe() {
    for (const tile of this.#grid.querySelectorAll("[aria-pressed='true']")) {
      if (tile.dataset.id !== this.#chosen) tile.setAttribute("aria-pressed", "false");
    }
    const tile = this.#tiles.get(this.#chosen);
    show(this.#detail, Boolean(tile));
    if (!tile) return;
    mark(tile.node, "aria-pressed", "true");
    const facts = factsOf(tile.instance);
    if (this.#detail.childElementCount !== facts.length * 2) {
      this.#detail.replaceChildren(...facts.flatMap(() => [el("dt"), el("dd")]));
    }
    facts.forEach(([name, value], i) => {
      say(this.#detail.children[2 * i], name);
      say(this.#detail.children[2 * i + 1], value);
    });
  }
}

// A Tile is one instance.
class Tile {
  #bar;
  #cells = [];

  constructor(bar) {
    this.#bar = bar;
    this.node = el("button", { class: "tile", type: "button", tabindex: "-1", "aria-pressed": "false" });
  }

  show(i) {
    this.instance = i;
    this.node.dataset.id = i.id;
    if (this.node.dataset.state !== i.state) this.node.dataset.state = i.state;
    const words = `${i.endpoint}: ${i.state}, ${i.in_flight} of ${plural(i.slots, "slot")} leased${i.foreign ? `, ${i.foreign} foreign` : ""}`;
    if (this.node.title === words) return;
    this.node.title = words;
    this.node.setAttribute("aria-label", words);
    if (this.#bar) this.#drawBar(i);
    else this.#drawCells(i);
  }

  #drawBar(i) {
    const all = Math.max(1, i.slots);
    this.node.style.setProperty("--leased-part", `${(100 * i.in_flight) / all}%`);
    this.node.style.setProperty("--taken-part", `${(100 * (i.in_flight + i.foreign)) / all}%`);
  }

  #drawCells(i) {
    if (this.#cells.length !== i.slots) this.node.style.setProperty("--columns", Math.min(Math.max(1, i.slots), i.slots > 10 ? 10 : 5));
    while (this.#cells.length > i.slots) this.#cells.pop().remove();
    while (this.#cells.length < i.slots) {
      const cell = el("i", { class: "cell" });
      this.#cells.push(cell);
      this.node.append(cell);
    }
    this.#cells.forEach((cell, n) => {
      const kind = n < i.in_flight ? "cell leased" : n < i.in_flight + i.foreign ? "cell foreign" : "cell";
      if (cell.className !== kind) cell.className = kind;
    });
  }
}

// factsOf is what is known of one instance, as names and values; what is not known is left out.
function factsOf(i) {
  return [
    ["Instance", i.id],
    ["Endpoint", i.endpoint],
    ["State", words(i.state) + (i.drain_reason ? ` (${words(i.drain_reason)})` : "")],
    ["Waits for", i.waits_for],
    ["Slots", `${i.in_flight} leased, ${i.foreign} foreign, of ${i.slots}; its peer counts ${i.reported_in_flight}`],
    ["Age", duration(i.age_seconds)],
    ["Version", i.function_version],
    ["Environment", i.environment],
    ["Request id", i.request_id],
    ["Log stream", i.log_stream],
    ["lambdapeer", i.build],
    ["Lacks", (i.lacks ?? []).join(", ")],
  ].filter(([, value]) => value);
}
