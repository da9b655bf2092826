// What happens now, on each view: three charts, one sentence on what holds work back, and the connection.

import { request } from "./api.js";
import { announce } from "./announce.js";
import { Chart } from "./chart.js";
import { byId, inNextFrame, setAttr, setText } from "./dom.js";
import { showSamples } from "./workers.js";

const KEPT = 300;
const WHY_EVERY = 5_000;
const CHARTS = [
  new Chart("roadmaps running", "roadmaps"),
  new Chart("concepts in flight", "concepts"),
  new Chart("LLM calls", "calls"),
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
      inNextFrame("header", show);
    },
    connection,
    loaded: loadHistory,
  });
  explain();
  setInterval(explain, WHY_EVERY);
}

async function loadHistory() {
  const live = await request("api/live").catch(() => null);
  if (!live) return;
  samples = live.history.map(timed);
  inNextFrame("header", show);
}

function show() {
  for (const chart of CHARTS) chart.show(samples);
  showSamples(samples);
  const now = samples.at(-1);
  document.title = now?.roadmaps ? `${now.concepts} in flight · paceline` : "paceline";
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

/** One plain sentence: which limit holds work back. */
async function explain() {
  if (document.hidden) return;
  const answer = await request("api/strategy").catch(() => null); // the line of the connection shows it
  if (answer) inNextFrame("sentence", () => setText(byId("sentence"), answer.held_back));
}
