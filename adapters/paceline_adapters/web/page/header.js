// Both layers at a glance: the sentence, its charts, and what the strategy says of itself.

import { Problem, ask } from "./api.js";
import { announce } from "./announce.js";
import { Chart } from "./chart.js";
import { byId, inFrame, make, mark, say } from "./dom.js";

const KEPT = 300;
const STRATEGY_EVERY = 5_000;
const CHARTS = [
  new Chart("roadmaps running", "roadmaps"),
  new Chart("concepts in flight", "concepts"),
  new Chart("LLM calls", "calls"),
  new Chart("DB connections", "connections", { most: "connections_max" }),
  new Chart("events", "events_per_second", { unit: "/s" }),
];

let samples = [];
let connected = null;

const timed = (sample) => ({ ...sample, time: Date.parse(sample.at) });

export function startHeader(model) {
  byId("charts").append(...CHARTS.map((chart) => chart.element));
  model.listen({
    live(sample) {
      if (samples.at(-1)?.at === sample.at) return;
      samples = [...samples, timed(sample)].slice(-KEPT);
      inFrame("header", () => show(sample.sentence));
    },
    connection,
    loaded: loadHistory,
  });
  explain();
  setInterval(explain, STRATEGY_EVERY);
}

async function loadHistory() {
  const live = await ask("api/live").catch(() => null);
  if (!live) return;
  samples = live.history.map(timed);
  inFrame("header", () => show(live.sentence));
}

function show(sentence) {
  const place = byId("sentence");
  if (place.textContent !== sentence) {
    const parts = sentence.split(/(\d[\d,.]*)/);
    place.replaceChildren(...parts.map((part, i) => (i % 2 ? make("b", {}, part) : part)));
  }
  for (const chart of CHARTS) chart.show(samples);
  document.title = samples.at(-1)?.roadmaps
    ? `${samples.at(-1).concepts} in flight · paceline`
    : "paceline";
}

function connection(state) {
  const open = state === "open";
  if (open === connected) return;
  const known = connected !== null;
  connected = open;
  const place = byId("connection");
  const at = new Date().toLocaleTimeString();
  mark(place, "data-state", open ? "open" : "lost");
  say(place, open ? "live" : `disconnected since ${at} · trying again`);
  document.body.classList.toggle("stale", !open);
  if (!open) announce("Disconnected. The page tries again by itself.");
  else if (known) announce("Connected again.");
}

async function explain() {
  if (document.hidden) return;
  let told;
  try {
    told = await ask("api/strategy");
  } catch (error) {
    if (error instanceof Problem) return; // the connection's own line says so
    throw error;
  }
  inFrame("strategy", () => showStrategy(told));
}

function showStrategy({ strategy, options, workers, why }) {
  const chosen = strategy.map((name) => {
    const limits = Object.entries(options[name] ?? {}).filter(([, value]) => value !== null);
    return limits.length ? `${name} (${limits.map(([k, v]) => `${k} ${v}`).join(", ")})` : name;
  });
  // What a worker says of itself names the strategies too; without a worker the settings do.
  const said = [...new Set(workers.map((worker) => worker.explain).filter(Boolean))];
  const more = said.length > 1 ? ` (and ${said.length - 1} more)` : "";
  const text = said.length ? said[0] + more : chosen.join(" → ");
  const line = byId("strategy-line");
  if (line.textContent !== `Strategy ${text}`) line.replaceChildren(make("b", {}, "Strategy "), text);
  say(byId("strategy-why"), why);
  const list = byId("strategy-workers");
  // One worker's words are in the line already.
  const several = said.length > 1 ? workers : [];
  const lines = several.map((worker) => `${worker.worker_id}: ${worker.explain}`);
  if (list.dataset.shown === lines.join("\n")) return;
  list.dataset.shown = lines.join("\n");
  list.replaceChildren(...lines.map((one) => make("li", {}, one)));
}
