// One card for each function.

import { el, fill, mark, say, show } from "./dom.js";
import { clock, count, dollars, duration, percent, plural, rate, words } from "./format.js";
import { History, Spark } from "./history.js";
import { Picture } from "./slots.js";

// A Card shows one function: what it does now, why it does not, what it has cost.
export class Card {
  #history = new History();
  #picture = new Picture();
  #last = new Failures();
  #state = el("span", { class: "pill" });
  #brief = el("span", { class: "brief" });
  #notes = el("div", { class: "notes" });
  #rollout = el("div", { class: "rollout", hidden: "" });
  #numbers = {
    requests: new Figure("Requests per second", true),
    slots: new Figure("Slots in use", false, true),
    queue: new Figure("Waiting", true),
    wait: new Figure("Wait for a slot, 99 of 100"),
    instances: new Figure("Instances ready"),
    cost: new Figure("Cost per hour now"),
  };
  #tables = {
    ended: new Table("Requests that got no slot, so far"),
    failures: new Table("Starts that failed, so far"),
    waited: new Table("Requests that waited last"),
    ends: new Table("Why instances ended, so far"),
    versions: new Table("Ready instances by version"),
    bill: new Table("Bill, so far"),
  };

  constructor(f, open) {
    this.node = el(
      "details",
      { class: "card function", id: cardOf(f.name), open: open ? "" : null },
      el("summary", {}, el("h2", {}, f.name), this.#state, this.#brief),
      this.#notes,
      el("div", { class: "numbers" }, ...Object.values(this.#numbers).map((n) => n.node)),
      this.#rollout,
      this.#picture.node,
      this.#last.node,
      el("div", { class: "tables" }, ...Object.values(this.#tables).map((t) => t.node)),
    );
  }

  show(f, instances, recent, at) {
    this.#history.add(f, at);
    const [word, kind] = stateOf(f);
    say(this.#state, word);
    mark(this.#state, "class", `pill ${kind}`);
    say(this.#brief, briefOf(f, this.#history.rate()));
    if (!this.node.open) return;
    fill(this.#notes, notesOf(f), (notes) => notes.map(([kind, text]) => el("p", { class: `note ${kind}` }, text)));
    this.#showNumbers(f);
    this.#showRollout(f.rollout);
    this.#picture.show(instances);
    this.#last.show(recent.failures);
    this.#showTables(f, recent.waited);
  }

  #showNumbers(f) {
    const n = this.#numbers;
    const wait = this.#history.wait(0.99);
    n.requests.show(rate(this.#history.rate()), `${count(f.requests.reduce((sum, r) => sum + r.count, 0))} so far`, this.#history.rates());
    n.slots.show(`${count(f.in_flight)} of ${count(f.capacity)}`, f.foreign ? `${count(f.foreign)} more are foreign` : `${count(f.free)} free`);
    n.slots.meter(f.in_flight, f.foreign, f.capacity);
    n.queue.show(count(f.queue_depth), `room for ${count(f.queue_limit)}`, this.#history.queues());
    n.wait.show(waitText(wait), "in the last two minutes");
    n.instances.show(count(f.ready), phases(f));
    n.cost.show(dollars(f.bill.dollars_per_hour), savedText(f.bill));
  }

  #showRollout(r) {
    show(this.#rollout, Boolean(r));
    fill(this.#rollout, r, (r) => (r ? rolloutOf(r) : []));
  }

  #showTables(f, waited) {
    const t = this.#tables;
    t.ended.show(f.requests.filter((r) => r.cause).map((r) => [`${words(r.cause)} (${r.outcome})`, count(r.count)]));
    t.failures.show(pairs(f.start_failures));
    t.waited.show(waited.slice(0, 8).map((w) => [`${clock(new Date(w.at))}  ${w.request_id}`, `${w.queue_ms} ms, ${starts[w.start] ?? w.start}`])); // as log and trace have it
    t.ends.show(pairs(f.ends));
    const versions = Object.entries(f.versions);
    t.versions.show(versions.length > 1 ? versions.map(([version, n]) => [version, count(n)]) : []);
    t.bill.show(billOf(f.bill));
  }
}

// A Figure is one number with a name and a line below it; with a line of the last two minutes, or a meter.
class Figure {
  #value = el("strong");
  #more = el("small");
  #spark;
  #meter;

  constructor(name, spark, meter) {
    this.#spark = spark ? new Spark() : null;
    this.#meter = meter ? el("div", { class: "meter" }) : null;
    this.node = el("div", { class: "number" }, el("span", { class: "name" }, name), this.#value, this.#more, this.#spark?.node ?? null, this.#meter);
  }

  show(value, more, line) {
    say(this.#value, value);
    say(this.#more, more);
    this.#spark?.draw(line);
  }

  meter(leased, foreign, all) {
    this.#meter.style.setProperty("--leased-part", `${(100 * leased) / Math.max(1, all)}%`);
    this.#meter.style.setProperty("--taken-part", `${(100 * (leased + foreign)) / Math.max(1, all)}%`);
  }
}

// Failures are the last ones, with their cause; without any it is not there.
class Failures {
  #rows = el("ul", { class: "failures" });

  constructor() {
    this.node = el("section", { class: "table", hidden: "" }, el("h3", {}, "Last failures"), this.#rows);
  }

  show(list) {
    show(this.node, list.length > 0);
    fill(this.#rows, list.slice(0, 8), (list) => list.map(failureOf));
  }
}

function failureOf(one) {
  const who = [one.what, one.instance, one.request_id, one.queue_ms ? `waited ${duration(one.queue_ms / 1000)}` : ""];
  return el(
    "li",
    {},
    el("time", { datetime: one.at }, clock(new Date(one.at))),
    el("span", { class: "pill bad" }, words(one.cause) + (one.count > 1 ? ` × ${count(one.count)}` : "")),
    el("span", { class: "what" }, one.detail || whats[one.what] || one.what, el("small", {}, who.filter(Boolean).join(" · "))),
  );
}

const whats = { request: "a request got no slot", start: "a start failed", instance: "an instance failed" };
const starts = { none: "no start", warm: "warm start", cold: "cold start" };

// A Table is rows of a name and a value; without rows it is not there.
class Table {
  #rows = el("dl", { class: "facts" });

  constructor(name) {
    this.node = el("section", { class: "table", hidden: "" }, el("h3", {}, name), this.#rows);
  }

  show(rows) {
    show(this.node, rows.length > 0);
    fill(this.#rows, rows, (rows) => rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  }
}

const cardOf = (name) => `function-${name}`;

// stuck says which functions start nothing although they should, and why, with links to their cards: many functions do not fit a screen.
export function stuck(functions, open) {
  const of = (list, kind, what) =>
    list.length === 0 ? null : el("p", { class: `note ${kind}` }, what, ...list.flatMap((f, n) => [n ? ", " : "", linkTo(f, open)]));
  const held = functions.filter((f) => f.blocked && f.blocked !== "never" && !f.leaving && !f.disabled);
  return [
    of(held.filter((f) => f.ready === 0), "bad", "No start: "),
    of(held.filter((f) => f.ready > 0), "warn", "No more starts: "),
  ].filter(Boolean);
}

const linkTo = (f, open) => el("a", { href: `#${cardOf(f.name)}`, onclick: () => open(f.name) }, `${f.name} (${words(f.blocked)})`);

const atRest = "at rest"; // nothing runs, and the next request may start something

// stateOf is a function's state in a word or two, and how it is to be looked at.
function stateOf(f) {
  if (f.leaving) return ["leaves", "warn"];
  if (f.disabled) return ["switched off", ""];
  if (f.blocked && f.ready === 0 && f.blocked !== "never") return [`no start: ${words(f.blocked)}`, "bad"];
  if (f.blocked && f.blocked !== "never") return [`no more starts: ${words(f.blocked)}`, "warn"];
  if (f.ready > 0) return ["serving", "good"];
  if (f.starting > 0) return ["starting", "warn"];
  return [atRest, ""];
}

function briefOf(f, perSecond) {
  const parts = [`${rate(perSecond)} requests/s`, plural(f.ready, "instance")];
  if (f.queue_depth) parts.push(`${count(f.queue_depth)} waiting`);
  return parts.join(" · ");
}

// notesOf are the sentences that somebody should read, with how urgent they are.
function notesOf(f) {
  const notes = [];
  if (f.leaving) notes.push(["info", "The configuration does not have it any more. It is gone when its last request and instance have ended."]);
  if (f.blocked_detail && f.blocked !== "never") notes.push([f.ready === 0 ? "bad" : "warn", f.blocked_detail]);
  for (const w of f.warnings ?? []) notes.push(["info", w.detail]);
  if (stateOf(f)[0] === atRest && f.draining + f.down === 0) {
    if (f.provider === "static") notes.push(["info", "No peer has registered."]);
    else if (f.queue_depth === 0) notes.push(["info", restText(f)]);
  }
  return notes;
}

function restText(f) {
  const frozen = f.frozen ? ` Lambda probably keeps ${plural(f.frozen, "environment")} frozen, which start in milliseconds.` : "";
  return `No instance runs, and nothing is billed. The next request starts one.${frozen}`;
}

function waitText(wait) {
  if (wait === null) return "–";
  if (wait === 0) return "none";
  return wait === Infinity ? "very long" : `≤ ${duration(wait)}`;
}

function phases(f) {
  const parts = [
    [f.starting, "starting"],
    [f.draining, "draining"],
    [f.down, "down"],
    [f.frozen, "frozen, for free"],
  ];
  return parts.filter(([n]) => n).map(([n, name]) => `${count(n)} ${name}`).join(", ") || "none in another state";
}

// savedText compares with plain Lambda once there is something to compare.
function savedText(bill) {
  if (bill.plain.dollars <= 0) return `${dollars(bill.dollars)} so far`;
  const share = bill.saved_dollars / bill.plain.dollars;
  return share >= 0 ? `${percent(share)} saved against plain Lambda` : `${percent(-share)} dearer than plain Lambda`;
}

function billOf(bill) {
  if (bill.billed_invocations + bill.running_invocations === 0) return [];
  return [
    ["This function", dollars(bill.dollars)],
    ["Plain Lambda, for the same requests", dollars(bill.plain.dollars)],
    [bill.saved_dollars < 0 ? "Dearer by" : "Saved", dollars(Math.abs(bill.saved_dollars))],
    ["Invocations that have ended", count(bill.billed_invocations) + (bill.estimated_invocations ? `, ${count(bill.estimated_invocations)} of them estimated` : "")],
    ["GB-seconds", count(bill.gb_seconds)],
    ["Memory", bill.memory_mb ? `${count(bill.memory_mb)} MB` : "not known yet"],
  ];
}

function rolloutOf(r) {
  const what = r.from === r.to ? "All instances are replaced" : `Rollout ${r.from || "?"} → ${r.to || "?"}`;
  const title = `${what}: ${words(r.phase)}${r.cause ? ` (${words(r.cause)})` : ""}`;
  const all = Math.max(1, r.fresh + r.starting + r.old);
  const bar = el("div", { class: "versions", role: "img", "aria-label": `${r.fresh} instances of ${r.to}, ${r.starting} starting, ${r.old} of ${r.from}` });
  bar.style.setProperty("--fresh", `${(100 * r.fresh) / all}%`);
  bar.style.setProperty("--coming", `${(100 * (r.fresh + r.starting)) / all}%`);
  const lines = [
    `${count(r.fresh)} of ${count(r.instances)} instances run ${r.to}, ${count(r.starting)} start; ${count(r.old)} run ${r.from}.`,
    served(r.to, r.fresh_served),
    served(r.from, r.old_served),
    r.back ? `What it had brought is being replaced by ${r.from}.` : "",
    r.detail,
  ];
  return [el("h3", {}, title), ...(r.ended_at ? [] : [bar]), ...lines.filter(Boolean).map((line) => el("p", {}, line))];
}

function served(version, s) {
  if (!s.answers) return "";
  const slow = s.p99_seconds ? `, 99 of 100 within ${duration(s.p99_seconds)}` : "";
  return `${version}: ${plural(s.answers, "answer")}, ${plural(s.errors, "error")}${slow}.`;
}

const pairs = (counts) => Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([word, n]) => [words(word), count(n)]);
