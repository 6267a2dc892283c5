// What is known of this process and of those around it.

import { el, fill, show } from "./dom.js";
import { bytes, count, duration, plural, words } from "./format.js";

const told = 600; // seconds for which a note tells of a connection that was refused
const soon = 14 * 86400; // seconds before a certificate ends at which people are told

// showSystem fills the strip at the top and the notes below it.
export function showSystem(strip, notes, status) {
  fill(strip, factsOf(status), (facts) =>
    facts.map(([name, value, more]) => el("div", { class: "fact" }, el("span", { class: "name" }, name), el("strong", {}, value), el("small", {}, more))),
  );
  fill(notes, notesOf(status), (list) => list.map(([kind, text]) => el("p", { class: `note ${kind}` }, text)));
}

const roles = { alone: "control plane and relay", leader: "leader", standby: "standby", relay: "relay" };

export function showRole(pill, status) {
  show(pill, true);
  pill.textContent = status.ready ? roles[status.role] : `${roles[status.role]}, not ready`;
  pill.className = `pill ${status.ready ? "good" : status.role === "standby" ? "" : "bad"}`;
}

function factsOf(s) {
  const facts = [];
  if (s.role === "leader") facts.push(["Leads", `term ${count(s.term)}`, `${plural(s.relays.length, "relay")}: ${s.relays.join(", ") || "none"}`]);
  if (s.role === "standby") facts.push(["Leads", "another one", s.leader ? `its admin address is ${s.leader}` : "nobody is known to"]);
  if (s.role !== "relay") facts.push(["Envoys", count(s.envoys), s.refused.length ? `${plural(s.refused.length, "resource")} refused` : "connected"]);
  if (s.uplink) {
    facts.push(["Leader", s.uplink.attached ? "attached" : "none", `highest term seen: ${count(s.uplink.term)}`]);
    facts.push(["Instances kept", count(s.uplink.instances), `${plural(s.uplink.untold, "end")} not told yet`]);
  }
  if (s.relay) {
    facts.push(["Tunnels", count(s.relay.idle_tunnels + s.relay.spliced_tunnels), `${count(s.relay.spliced_tunnels)} in use, of ${plural(s.relay.control_streams, "instance")}`]);
    facts.push(["Bytes through the relay", bytes(s.relay.bytes_to_peers + s.relay.bytes_from_peers), `${bytes(s.relay.bytes_from_peers)} from functions`]);
  }
  const [name, left] = nextEnd(s);
  if (name) facts.push(["Next certificate to end", left < 0 ? "has ended" : `in ${duration(left)}`, name]);
  const c = s.configuration;
  if (c) facts.push(["Configuration", `${duration(since(s, c.taken_at))} old`, c.changed.length ? `changed last: ${c.changed.join(", ")}` : "as at the start"]);
  return [...facts, ["Version", s.version, ""]];
}

const since = (s, at) => Math.max(0, (new Date(s.now) - new Date(at)) / 1000);

// nextEnd is the certificate that ends first, and in how many seconds.
function nextEnd(s) {
  const ends = Object.entries(s.certificates_expire).map(([name, at]) => [name, (new Date(at) - new Date(s.now)) / 1000]);
  return ends.sort((a, b) => a[1] - b[1])[0] ?? [];
}

function notesOf(s) {
  const notes = [];
  if (!s.ready) notes.push([s.role === "standby" ? "info" : "bad", `Not ready: ${s.detail}.`]);
  if (s.lease?.detail) {
    const means = s.role === "leader" ? "This control plane leads on while its relays answer it, and none can follow it" : "This standby cannot lead";
    notes.push(["bad", `The lease has not been read or renewed for ${duration(s.lease.age_seconds)}: ${s.lease.detail}. ${means}.`]);
  }
  if (s.uplink?.unkept) notes.push(["bad", `What is known of instances is not written down, and lost if relay and leader end together: ${s.uplink.unkept}`]);
  for (const r of s.refused) notes.push(["bad", `Envoy ${r.envoy} refuses ${r.service} ${r.resource}: ${r.detail}`]);
  const c = s.configuration;
  if (c?.refused) notes.push(["bad", `The configuration was read ${duration(since(s, c.at))} ago and is not used; the one before is: ${c.refused}`]);
  if (c?.needs_restart.length) notes.push(["warn", `Changed in the file, and used after a restart: ${c.needs_restart.join(", ")}.`]);
  const { configuration, ...files } = s.files_not_taken; // said above
  for (const [name, why] of Object.entries(files)) notes.push(["warn", `What the files of ${name} hold is not used: ${why}`]);
  const [name, left] = nextEnd(s);
  if (name && left < soon) notes.push(["warn", `The certificate of ${name} ${left < 0 ? "has ended" : `ends in ${duration(left)}`}.`]);
  for (const [reason, at] of Object.entries(s.relay?.refused_at ?? {})) {
    const ago = since(s, at);
    if (ago < told) notes.push(["info", `The relay has refused ${plural(s.relay.refused[reason], "connection")} so far, the last one ${duration(Math.max(1, ago))} ago: ${words(reason)}.`]);
  }
  return notes;
}
