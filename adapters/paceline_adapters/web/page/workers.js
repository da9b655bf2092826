// The workers, and what carries the work: queue, database connections, events, sinks, last errors.

import { Problem, request } from "./api.js";
import { Chart } from "./chart.js";
import { byId, inNextFrame, make, setText } from "./dom.js";
import { duration } from "./format.js";
import { runAddress } from "./place.js";

const EVERY = 2_000;
const ERROR_RUNS = 5;
const ERRORS = 10;
const CHARTS = [
  new Chart("DB connections", "connections", { max: "connections_max" }),
  new Chart("events", "events_per_second", { unit: "/s" }),
];
let timer = 0;
let rounds = 0;
let model;

export function startWorkers(runsModel) {
  model = runsModel;
  byId("system-charts").append(...CHARTS.map((chart) => chart.element));
}

/** Show or hide the view; it loads only while it is shown. */
export function showWorkers(on) {
  clearTimeout(timer);
  byId("workers").hidden = !on;
  rounds = 0;
  if (on) load();
}

/** Show the samples of the last minutes. */
export function showSamples(samples) {
  if (!byId("workers").hidden) for (const chart of CHARTS) chart.show(samples);
}

async function load() {
  clearTimeout(timer);
  timer = setTimeout(load, EVERY);
  if (document.hidden) return;
  try {
    const [workers, sinks, strategy] = await Promise.all([
      request("api/workers"),
      request("api/sinks"),
      request("api/strategy"),
    ]);
    inNextFrame("workers", () => {
      showTable(workers);
      showSinks(sinks.sinks);
      setText(byId("strategy-line"), strategy.strategy.join(" → "));
      setText(byId("strategy-why"), strategy.why);
    });
    if (rounds++ % 5 === 0) await loadErrors();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    setText(byId("workers-note"), error.message);
  }
}

function showTable({ workers, unreachable, queued }) {
  const waits = `${queued === 1 ? "1 roadmap waits" : `${queued} roadmaps wait`} for a worker.`;
  const none = workers.length ? "" : "No worker is running. To start one: paceline worker";
  setText(byId("workers-note"), [none, waits, ...unreachable].filter(Boolean).join(" "));
  byId("workers-table").hidden = !workers.length;
  const rows = workers.map((one) => {
    const trouble = Object.entries(one.trouble);
    const process = one.pid === null ? "" : `${one.host.split("/")[0]}, pid ${one.pid}`;
    return make(
      "tr",
      { "data-worker": one.worker_id },
      make("th", { scope: "row" }, one.worker_id, make("span", { class: "hint" }, process)),
      make("td", {}, one.version || "unknown"),
      make("td", {}, `${one.active.length} of ${one.concurrency}`),
      make("td", {}, String(one.reserved.length)),
      make("td", {}, String(one.concepts)),
      make("td", {}, String(one.calls)),
      make("td", {}, one.pool_max ? `${one.connections} of ${one.pool_max}` : String(one.connections)),
      make("td", {}, one.beat_age === null ? "none" : `${duration(one.beat_age)} ago`),
      make(
        "td",
        { class: "text" },
        ...(trouble.length ? trouble.map(([run, why]) => make("p", {}, link(run), ` ${why}`)) : ["none"]),
      ),
    );
  });
  byId("workers-rows").replaceChildren(...rows);
}

const link = (runId) =>
  make("a", { href: runAddress(runId) }, model.runs.get(runId)?.title ?? runId);

function showSinks(sinks) {
  byId("sinks-part").hidden = !sinks.length;
  const lines = sinks.map((sink) =>
    make(
      "li",
      sink.dead ? { class: "dead" } : {},
      make("b", {}, `Sink ${sink.sink}`),
      ` ${sink.state}`,
      sink.dead ? ` ${sink.dead} dead letters` : null,
      sink.reason ? make("span", { class: "hint" }, ` ${sink.reason}`) : null,
    ),
  );
  byId("sinks").replaceChildren(...lines);
}

/** The last concepts that failed, of the newest runs with failures. */
async function loadErrors() {
  const { runs } = await request(`api/runs?status=partial&status=failed&status=running&limit=20`);
  const failed = runs.filter((run) => run.failed).slice(0, ERROR_RUNS);
  const pages = await Promise.all(
    failed.map((run) =>
      request(`api/runs/${encodeURIComponent(run.run_id)}/concepts?status=failed&limit=${ERRORS}`).then(
        (page) => page.concepts.map((concept) => ({ run, concept })),
      ),
    ),
  );
  const lines = pages
    .flat()
    .slice(0, ERRORS)
    .map(({ run, concept }) =>
      make(
        "li",
        {},
        make(
          "a",
          { href: `${runAddress(run.run_id)}/${encodeURIComponent(concept.concept_id)}` },
          `${run.title}: ${concept.name}`,
        ),
        make("p", { class: "reason" }, concept.reason ?? ""),
      ),
    );
  byId("errors-empty").hidden = lines.length > 0;
  byId("errors").replaceChildren(...lines);
}
