// Reads the API as long as somebody looks, and shows what it says.

import { Unauthorized, get, hasToken, keepToken } from "./api.js";
import { fill, keyed, say, show } from "./dom.js";
import { plural } from "./format.js";
import { Card, stuck } from "./functions.js";
import { showRole, showSystem } from "./system.js";

const every = 1000; // milliseconds between two looks, at least
const share = 5; // and at least as many times as long as a look takes
const longest = 10_000; // between two tries while nothing answers
const openAtFirst = 4; // so many functions are open without a click

const at = (id) => document.getElementById(id);
const cards = new Map();
let failed = 0; // looks in a row
let seen = null; // when the last one succeeded
let timer = null;

// look asks the API once, shows the answer, and plans the next look.
async function look() {
  timer = null;
  const began = performance.now();
  try {
    const status = await get("status");
    render(status, ...(status.role === "relay" ? nothing : await all()));
    failed = 0;
    seen = Date.now();
    plan(Math.max(every, share * (performance.now() - began)));
  } catch (error) {
    if (error instanceof Unauthorized) return askForToken();
    failed++;
    plan(Math.min(longest, every * 2 ** (failed - 1)));
    show(at("trouble"), true);
    trouble(error);
  }
  tell();
}

const nothing = [[], [], { failures: [], waited: [] }];

async function all() {
  const [{ functions }, { instances }, recent] = await Promise.all([get("functions"), get("instances"), get("recent")]);
  return [functions, instances, recent];
}

// of is the part of a list that is about one function.
const of = (list, f) => list.filter((one) => one.function === f.name);

function render(status, functions, instances, recent) {
  const now = performance.now();
  show(at("trouble"), false);
  show(at("login"), false);
  show(at("main"), true);
  document.body.classList.remove("stale");
  showRole(at("role"), status);
  showSystem(at("system"), at("notes"), status);
  const open = functions.length <= openAtFirst;
  keyed(at("functions"), cards, functions, (f) => f.name, (f) => new Card(f, open), (card, f) =>
    card.show(f, of(instances, f), { failures: of(recent.failures, f), waited: of(recent.waited, f) }, now),
  );
  const states = open ? [] : functions.map(({ name, blocked, leaving, disabled, ready }) => ({ name, blocked, leaving, disabled, ready: Math.min(ready, 1) }));
  fill(at("stuck"), states, (list) => stuck(list, (name) => (cards.get(name).node.open = true)));
  show(at("legend"), instances.length > 0);
  show(at("empty"), functions.length === 0);
  say(at("empty"), status.role === "relay" ? "A relay knows no functions. The control plane that leads shows them." : "No function is configured.");
  const waiting = functions.reduce((sum, f) => sum + f.queue_depth, 0);
  document.title = waiting ? `(${waiting} waiting) Lambda Dispatch` : "Lambda Dispatch";
}

function trouble(error) {
  const since = seen ? ` What you see is of ${new Date(seen).toLocaleTimeString([], { hour12: false })}.` : "";
  say(at("trouble"), `The control plane is gone: ${error.message}. It is asked again.${since}`);
  document.body.classList.add("stale");
}

function askForToken() {
  show(at("refused"), hasToken());
  keepToken(null);
  show(at("main"), false);
  show(at("trouble"), false);
  show(at("login"), true);
  say(at("fresh"), "waits for a token");
  at("token").focus();
}

function plan(pause) {
  clearTimeout(timer);
  timer = document.hidden ? null : setTimeout(look, pause);
}

// tell says how old what is shown is.
function tell() {
  if (!at("login").hidden) return;
  const age = seen ? Math.round((Date.now() - seen) / 1000) : null;
  say(at("fresh"), age === null ? "connecting" : age < 3 ? "live" : `${plural(age, "second")} old`);
  at("fresh").classList.toggle("live", failed === 0 && age !== null && age < 3);
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value.trim());
  at("token").value = "";
  look();
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : at("login").hidden && plan(0)));
setInterval(tell, 1000);
look();
