// Both layers at a glance: the sentence, the charts, the strategy, and the sinks.

import { Problem, request } from "./api.js";
import { announce } from "./announce.js";
import { Chart } from "./chart.js";
import { byId, inNextFrame, make, setAttr, setText } from "./dom.js";

const KEPT = 300;
const STRATEGY_EVERY = 5_000;
const CHARTS = [
  new Chart("roadmaps running", "roadmaps"),
  new Chart("concepts in flight", "concepts"),
  new Chart("LLM calls", "calls"),
  new Chart("DB connections", "connections", { max: "connections_max" }),
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
      inNextFrame("header", () => show(sample.sentence));
    },
    connection,
    loaded: loadHistory,
  });
  explain();
  setInterval(explain, STRATEGY_EVERY);
}

async function loadHistory() {
  const live = await request("api/live").catch(() => null);
  if (!live) return;
  samples = live.history.map(timed);
  inNextFrame("header", () => show(live.sentence));
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
  setAttr(place, "data-state", open ? "open" : "lost");
  setText(place, open ? "live" : `disconnected since ${at} · reconnecting`);
  document.body.classList.toggle("stale", !open);
  if (!open) announce("Disconnected. The page reconnects by itself.");
  else if (known) announce("Reconnected.");
}

async function explain() {
  if (document.hidden) return;
  let answer, sinks;
  try {
    [answer, sinks] = await Promise.all([request("api/strategy"), request("api/sinks")]);
  } catch (error) {
    if (error instanceof Problem) return; // the line of the connection shows it
    throw error;
  }
  inNextFrame("strategy", () => {
    showStrategy(answer);
    showSinks(sinks.sinks);
  });
}

function showSinks(sinks) {
  const list = byId("sinks");
  const shown = sinks.map((sink) => `${sink.sink}: ${sink.state}`).join("\n");
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  const lines = sinks.map((sink) => make("li", {}, make("b", {}, `Sink ${sink.sink} `), sink.state));
  list.replaceChildren(...lines);
}

function showStrategy({ strategy, options, workers, why }) {
  const chosen = strategy.map((name) => {
    const limits = Object.entries(options[name] ?? {}).filter(([, value]) => value !== null);
    return limits.length ? `${name} (${limits.map(([k, v]) => `${k} ${v}`).join(", ")})` : name;
  });
  // The text of a worker names the strategies too. Without a worker, the settings name them.
  const texts = [...new Set(workers.map((worker) => worker.explain).filter(Boolean))];
  const more = texts.length > 1 ? ` (and ${texts.length - 1} more)` : "";
  const text = texts.length ? texts[0] + more : chosen.join(" → ");
  const line = byId("strategy-line");
  if (line.textContent !== `Strategy ${text}`) line.replaceChildren(make("b", {}, "Strategy "), text);
  setText(byId("strategy-why"), why);
  const list = byId("strategy-workers");
  // The line already has the text of a single worker.
  const several = texts.length > 1 ? workers : [];
  const lines = several.map((worker) => `${worker.worker_id}: ${worker.explain}`);
  if (list.dataset.shown === lines.join("\n")) return;
  list.dataset.shown = lines.join("\n");
  list.replaceChildren(...lines.map((one) => make("li", {}, one)));
}
